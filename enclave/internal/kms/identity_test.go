package kms

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/enclave/internal/keys"
)

// refusing answers requests signed by one of these access keys with an error.
func refusing(code string, ids ...string) func(int, http.ResponseWriter, *http.Request) bool {
	return func(_ int, w http.ResponseWriter, r *http.Request) bool {
		for _, id := range ids {
			if strings.Contains(r.Header.Get("Authorization"), "Credential="+id+"/") {
				respond(w, http.StatusBadRequest, code)
				return true
			}
		}
		return false
	}
}

// pair are two sessions of a client; KMS answers the second with an error.
func pair(t *testing.T, f func(t *testing.T, fake *fakeKMS, good, bad *testClient)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeKMS(t)
		good, _ := newTestClient(t, fake)
		bad := newTestIdentity(good.Client)
		if err := bad.SetCredentials(testCredentials("AKIDBAD", time.Time{})); err != nil {
			t.Fatal(err)
		}
		f(t, fake, good, bad)
	})
}

func TestACallIsMadeWithTheCredentialsOfItsSession(t *testing.T) {
	pair(t, func(t *testing.T, fake *fakeKMS, good, bad *testClient) {
		fake.set(func(f *fakeKMS) { f.fail = refusing("UnrecognizedClientException", "AKIDBAD") })
		for range 2 { // bad credentials came last: they are the bad session's all the same
			mustUnwrap(t, good, vaultKey("v_1", "key"), "key")
			if failure := mustFail(t, bad, vaultKey("v_1", "key"), BadCredentials); !failure.OfCredentials() {
				t.Error("taken for a failure of everybody")
			}
		}
		_, err := good.Client.Unwrap(t.Context(), vaultKey("v_1", "key"))
		if failure := checkFailure(t, err, NoCredentials); !failure.OfCredentials() {
			t.Error("nobody's credentials are everybody's failure")
		}
	})
}

func TestASessionWhoseCredentialsKMSRefusesIsNotReadyAndOthersAre(t *testing.T) {
	pair(t, func(t *testing.T, fake *fakeKMS, good, bad *testClient) {
		valid := func(c *testClient) bool { _, ok := c.by.Valid(); return ok }
		if !valid(good) || !valid(bad) {
			t.Fatal("not valid before anything was asked")
		}
		fake.set(func(f *fakeKMS) { f.fail = refusing("UnrecognizedClientException", "AKIDBAD") })
		mustFail(t, bad, vaultKey("v_1", "key"), BadCredentials)
		if !valid(good) || valid(bad) {
			t.Errorf("good %v, bad %v", valid(good), valid(bad))
		}
		if _, ok := good.CredentialsValid(); !ok {
			t.Error("nobody has credentials")
		}
		fake.set(func(f *fakeKMS) { f.fail = nil })
		mustUnwrap(t, bad, vaultKey("v_1", "key"), "key")
		if !valid(bad) {
			t.Error("not valid although KMS takes them")
		}
		fake.set(func(f *fakeKMS) { f.fail = refusing("ExpiredTokenException", "AKIDBAD") })
		mustFail(t, bad, vaultKey("v_1", "key"), BadCredentials)
		time.Sleep(refusedFor)
		if !valid(bad) {
			t.Error("no other chance")
		}
	})
}

func TestARefusalOfWhoeverAsksIsToldFromOneOfTheKey(t *testing.T) {
	for code, personal := range map[string]bool{
		"AccessDeniedException": true, "KMSAccessDeniedException": true, "OptInRequired": true, "NoSuchThing": true,
		"ThrottlingException": true, "InvalidCiphertextException": false, "IncorrectKeyException": false,
		"DisabledException": false, "KMSInvalidStateException": false, "ValidationException": false,
		"DependencyTimeoutException": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := newFakeKMS(t)
			c, _ := newTestClient(t, fake)
			fake.set(func(f *fakeKMS) { f.fail = failing(-1, http.StatusBadRequest, code) })
			_, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			var failure *Error
			if !errors.As(err, &failure) || failure.OfCredentials() != personal {
				t.Errorf("%s: %v, of the credentials: %v", code, err, failure.OfCredentials())
			}
		})
	}
}

func TestEqualCredentialsAreHeldOnceAndWipedWithTheLastSession(t *testing.T) {
	pair(t, func(t *testing.T, _ *fakeKMS, first, second *testClient) {
		alone := second.by.current
		if err := second.SetCredentials(testCredentials("AKIDTEST", time.Time{})); err != nil {
			t.Fatal(err)
		}
		if !allZero(alone.secret) || alone.clients != nil {
			t.Error("credentials that were replaced are not wiped")
		}
		held := first.by.current
		if second.by.current != held || first.by.Number() != second.by.Number() || held.number == 0 {
			t.Fatal("equal credentials are not one set")
		}
		first.by.Close()
		if allZero(held.secret) {
			t.Fatal("wiped while another session has them")
		}
		mustUnwrap(t, second, vaultKey("v_1", "key"), "key")
		mustFail(t, first, vaultKey("v_1", "key"), NoCredentials)
		second.by.Close()
		second.by.Close()
		if !allZero(held.secret) || !allZero(held.token) || held.clients != nil || second.by.Number() != 0 {
			t.Error("not wiped at the end of the last session")
		}
		if err := second.SetCredentials(testCredentials("AKIDLATE", time.Time{})); err != nil || second.by.current != nil {
			t.Errorf("credentials after the session's end: %v", err)
		}
	})
}

func TestTheHMACKeyIsAskedForWithWhicheverCredentialsServe(t *testing.T) {
	pair(t, func(t *testing.T, fake *fakeKMS, good, bad *testClient) {
		wrapped := wrap(testARN, map[string]string{"purpose": "redoubt-hmac"}, "hmac key")
		for _, code := range []string{"UnrecognizedClientException", "AccessDeniedException"} {
			fake.set(func(f *fakeKMS) { f.fail = refusing(code, "AKIDBAD") })
			for _, last := range []*testClient{bad, good} { // whoever was the last to push
				if err := last.SetCredentials(testCredentials(last.by.current.accessKeyID, time.Time{})); err != nil {
					t.Fatal(err)
				}
				got, err := good.UnwrapHMACKey(t.Context(), testRegion, wrapped)
				if err != nil {
					t.Fatalf("%s: %v", code, err)
				}
				got.Destroy()
			}
		}
		before := len(fake.asked())
		_, err := good.UnwrapHMACKey(t.Context(), testRegion, wrap(testARN, vaultContext("v_1"), "a vault's key"))
		checkFailure(t, err, Denied)
		if n := len(fake.asked()) - before; n != 1 {
			t.Errorf("%d questions about a key that is wrapped wrongly", n)
		}
		good.by.Close()
		bad.by.Close()
		_, err = good.UnwrapHMACKey(t.Context(), testRegion, wrapped)
		checkFailure(t, err, NoCredentials)
	})
}

// A header that net/http does not send would look like a KMS out of reach, for everybody.
func TestCredentialsThatCannotBeSentAreRefused(t *testing.T) {
	pair(t, func(t *testing.T, fake *fakeKMS, good, bad *testClient) {
		for _, text := range []string{"a\nb", "a b", "a\x00", "\xff", "\r"} {
			for _, creds := range []Credentials{
				{AccessKeyID: []byte(text), SecretAccessKey: []byte("s")},
				{AccessKeyID: []byte("id"), SecretAccessKey: []byte("s"), SessionToken: []byte(text)},
			} {
				if err := bad.SetCredentials(creds); !errors.Is(err, ErrCredentials) {
					t.Errorf("%q: %v", text, err)
				}
			}
		}
	})
}

func TestASessionThatEndsWhileItsCallWaitsHoldsNobody(t *testing.T) {
	pair(t, func(t *testing.T, fake *fakeKMS, good, bad *testClient) {
		fake.set(func(f *fakeKMS) { f.fail = refusing("ExpiredTokenException", "AKIDBAD") })
		done := make(chan error, 1)
		go func() {
			_, err := bad.Unwrap(context.Background(), vaultKey("v_1", "key"))
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		bad.by.Close()
		if failure := checkFailure(t, <-done, NoCredentials); !failure.OfCredentials() || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), failure)
		}
	})
}

var _ keys.Unwrapper = (*testClient)(nil)
