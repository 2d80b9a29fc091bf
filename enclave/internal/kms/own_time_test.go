package kms

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// unwrapWithin gives KMS's client so much time for a call that will not succeed.
func unwrapWithin(t *testing.T, c *testClient, limit time.Duration, want Cause) *Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := c.Unwrap(ctx, vaultKey("v_1", "key"))
	return checkFailure(t, err, want)
}

func TestTimeSpentWaitingForOurselvesIsNotTheKeysFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, module := newTestClient(t, f, func(cfg *Config) { cfg.MaxConcurrent = 1 })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")

		release, done := make(chan struct{}), make(chan error, 1)
		f.set(func(f *fakeKMS) {
			f.fail = func(int, http.ResponseWriter, *http.Request) bool { <-release; return false }
		})
		go func() {
			got, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			got.Destroy()
			done <- err
		}()
		synctest.Wait()
		if !unwrapWithin(t, c, time.Second, Overloaded).OwnFault() {
			t.Error("a wait for a turn would be remembered against the key")
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		hang := make(chan struct{})
		defer close(hang)
		time.Sleep(MaxDocumentLife)
		module.set(func(m *testModule) { m.block = hang })
		if !unwrapWithin(t, c, time.Second, NoDocument).OwnFault() {
			t.Error("a wait for a document would be remembered against the key")
		}
	})
}

func TestAKeyPairThatIsNotThereInTimeIsNoDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, cause := newRecipients(&Config{}).get(ctx); cause != NoDocument {
			t.Errorf("cause %q", cause)
		}
	})
}

func TestSilenceOfKMSIsOurFaultOnlyIfItHadNoTime(t *testing.T) {
	for limit, own := range map[time.Duration]bool{100 * time.Millisecond: true, DefaultAttemptTimeout: false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeKMS(t)
			c, _ := newTestClient(t, f)
			mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
			release := make(chan struct{})
			defer close(release)
			f.set(func(f *fakeKMS) {
				f.fail = func(int, http.ResponseWriter, *http.Request) bool { <-release; return false }
			})
			if got := unwrapWithin(t, c, limit, Timeout).OwnFault(); got != own {
				t.Errorf("with %v: own fault %v", limit, got)
			}
		})
	}
}
