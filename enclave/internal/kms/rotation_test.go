package kms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestADayOfRotation runs 24 hours of simulated time: credentials are replaced every hour and refused once over, RSA
// key pairs and documents are renewed by age, connections idle out; each call opens its key at the first attempt.
func TestADayOfRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		ends := make(map[string]time.Time)
		f.set(func(f *fakeKMS) {
			f.fail = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
				id, _, _ := strings.Cut(rest, "/")
				if r.Header.Get("X-Amz-Security-Token") != "TOKEN-"+id || !time.Now().Before(ends[id]) {
					respond(w, http.StatusBadRequest, "ExpiredTokenException")
					return true
				}
				return false
			}
		})
		const step = 20 * time.Minute
		calls := 0
		for hour := range 24 {
			id := fmt.Sprintf("AKID%02d", hour)
			f.set(func(*fakeKMS) { ends[id] = time.Now().Add(70 * time.Minute) })
			if err := c.SetCredentials(testCredentials(id, ends[id])); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(step) {
				mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
				mustUnwrap(t, c, vaultKey("v_2", "key"), "key")
				calls += 2
			}
		}
		time.Sleep(time.Minute) // past the end of the second key pair
		stats := c.Stats()
		if stats.Calls[OK] != uint64(calls) || stats.Retries != 0 {
			t.Errorf("%d calls, %d good, %d retries", calls, stats.Calls[OK], stats.Retries)
		}
		if stats.RSAKeys != 3 { // at 0, 12 and 24 hours
			t.Errorf("%d RSA key pairs", stats.RSAKeys)
		}
		// One for each pair of calls; one more where a key pair is renewed between the two.
		if want := uint64(calls / 2); stats.Documents < want || stats.Documents > want+2 {
			t.Errorf("%d documents for %d calls in pairs, want %d", stats.Documents, calls, want)
		}
		if stats.CredentialsRenewed != 25 || stats.RSAKeyAge > time.Hour {
			t.Errorf("stats %+v", stats)
		}
	})
}

func TestOncePreparedACallWaitsForNoKeyPair(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	<-c.Prepared()
	if c.recipients.current.Load() == nil {
		t.Error("prepared without a key pair")
	}
}

func TestDocumentsAreReusedWithinTheirLifeAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, module := newTestClient(t, f)
		for range 10 {
			mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		}
		if n := len(module.made()); n != 1 {
			t.Errorf("%d documents for 10 calls", n)
		}
		time.Sleep(DefaultDocumentLife - time.Second)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		if n := len(module.made()); n != 1 {
			t.Errorf("%d documents before the end of the first", n)
		}
		time.Sleep(time.Second)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		if n := len(module.made()); n != 2 {
			t.Errorf("%d documents after the end of the first", n)
		}
	})
}

func TestAModuleThatFailsIsBridgedByItsLastDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, module := newTestClient(t, f)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		module.set(func(m *testModule) { m.fail = errors.New("SENTINEL of the module") })
		time.Sleep(DefaultDocumentLife + time.Minute)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		time.Sleep(MaxDocumentLife)
		failure := mustFail(t, c, vaultKey("v_1", "key"), NoDocument)
		if !failure.OwnFault() || c.Stats().DocumentFailures == 0 {
			t.Errorf("own fault %v, failures %d", failure.OwnFault(), c.Stats().DocumentFailures)
		}
		module.set(func(m *testModule) { m.fail = nil })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	})
}

func TestAModuleThatHangsHoldsNobodyPastTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, module := newTestClient(t, f)
		release := make(chan struct{})
		module.set(func(m *testModule) { m.block = release })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Unwrap(ctx, vaultKey("v_1", "key"))
		checkFailure(t, err, NoDocument)
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		close(release)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	})
}

func TestADocumentThatKMSRefusesIsReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, module := newTestClient(t, f)
		f.set(func(f *fakeKMS) { f.fail = failing(1, 400, "ValidationException") })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		if n := len(module.made()); n != 2 {
			t.Errorf("%d documents, want 2", n)
		}
		f.set(func(f *fakeKMS) { f.fail = failing(-1, 400, "ValidationException") })
		before := len(f.asked())
		mustFail(t, c, vaultKey("v_1", "key"), Rejected)
		if n := len(f.asked()) - before; n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

func TestAnAnswerForTheFormerRSAKeyStillOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		entered, release := make(chan struct{}), make(chan struct{})
		f.set(func(f *fakeKMS) {
			f.fail = func(int, http.ResponseWriter, *http.Request) bool { close(entered); <-release; return false }
		})
		result := make(chan error, 1)
		go func() {
			got, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			got.Destroy()
			result <- err
		}()
		<-entered
		before := c.recipients.current.Load()
		if err := c.recipients.renew(); err != nil {
			t.Fatal(err)
		}
		close(release)
		if err := <-result; err != nil {
			t.Errorf("the call under way: %v", err)
		}
		if c.recipients.current.Load() == before {
			t.Error("the key pair was not renewed")
		}
		f.set(func(f *fakeKMS) { f.fail = nil })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	})
}

func TestCredentialsAreWipedAfterTheirLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		first := c.by.current
		entered, release := make(chan struct{}), make(chan struct{})
		f.set(func(f *fakeKMS) {
			f.fail = func(int, http.ResponseWriter, *http.Request) bool { close(entered); <-release; return false }
		})
		result := make(chan error, 1)
		go func() {
			got, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			got.Destroy()
			result <- err
		}()
		<-entered
		given := testCredentials("AKIDNEXT", time.Time{})
		if err := c.SetCredentials(given); err != nil {
			t.Fatal(err)
		}
		clear(given.SecretAccessKey) // the caller wipes its own
		if !bytes.Contains(first.secret, []byte("SENTINEL")) {
			t.Error("wiped under the call that uses them")
		}
		close(release)
		if err := <-result; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !allZero(first.secret) || !allZero(first.token) || first.clients != nil {
			t.Error("not wiped after the last call")
		}
		f.set(func(f *fakeKMS) { f.fail = nil })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		last := c.by.current
		c.Close()
		if !allZero(last.secret) || !allZero(last.token) {
			t.Error("not wiped on close")
		}
		if err := c.SetCredentials(testCredentials("AKIDLATE", time.Time{})); err != nil {
			t.Fatal(err)
		}
		if c.by.current != nil {
			t.Error("kept credentials that came after close")
		}
	})
}

func TestANewSecretUnderTheSameIDSignsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		changed := testCredentials("AKIDTEST", time.Time{})
		changed.SecretAccessKey = []byte("another secret")
		if err := c.SetCredentials(changed); err != nil {
			t.Fatal(err)
		}
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		signature := func(i int) string {
			_, s, _ := strings.Cut(f.headers[i].Get("Authorization"), "Signature=")
			return s
		}
		if f.headers[0].Get("X-Amz-Date") != f.headers[1].Get("X-Amz-Date") {
			t.Fatal("signed at different times: this proves nothing")
		}
		if signature(0) == signature(1) {
			t.Error("signed with the former secret")
		}
	})
}

func TestUnusableCredentialsLeaveTheFormer(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	for name, creds := range map[string]Credentials{
		"none": {}, "no id": {SecretAccessKey: []byte("s")}, "no secret": {AccessKeyID: []byte("i")},
		"long id":     {AccessKeyID: make([]byte, maxAccessKeyID+1), SecretAccessKey: []byte("s")},
		"long secret": {AccessKeyID: []byte("i"), SecretAccessKey: make([]byte, maxSecret+1)},
		"long token":  {AccessKeyID: []byte("i"), SecretAccessKey: []byte("s"), SessionToken: make([]byte, maxSessionToken+1)},
		"over":        {AccessKeyID: []byte("i"), SecretAccessKey: []byte("s"), Expiry: time.Now().Add(-time.Second)},
	} {
		if err := c.SetCredentials(creds); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
