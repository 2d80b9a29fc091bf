package keys

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// blame is an error that says whose fault it is.
type blame struct{ own bool }

func (*blame) Error() string    { return "failed" }
func (*blame) Unwrap() error    { return &wire.Error{Code: wire.KMSUnavailable} }
func (b *blame) OwnFault() bool { return b.own }

type unwrapperFunc func() error

func (f unwrapperFunc) Unwrap(context.Context, Request) (*secret.Buffer, error) { return nil, f() }

func TestAFaultOfOursIsNotRememberedAgainstTheKey(t *testing.T) {
	for _, own := range []bool{true, false} {
		asked := 0
		c, err := New(t.Context(), Config{}, unwrapperFunc(func() error { asked++; return &blame{own: own} }))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := c.Get(t.Context(), &Request{Suite: sealed.P256, VaultID: []byte("v_1"), Wrapped: []byte("w")})
			if !errors.Is(err, &wire.Error{Code: wire.KMSUnavailable}) {
				t.Errorf("got %v", err)
			}
		}
		c.Close()
		if remembered := asked == 1; remembered == own {
			t.Errorf("own fault %v: asked %d times", own, asked)
		}
	}
}

// The unwrap that holds the only place is another key's: the one that waits has no part in it, and nor has KMS.
func TestTimeSpentInTheQueueIsOurLoadAndNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kms{}
		c := newCache(t, Config{MaxUnwraps: 1, UnwrapTimeout: 10 * time.Second}, stubborn{k})
		defer c.Close()
		release := k.hold()
		slow, v := newVault(t, "v_slow"), newVault(t, "v_1")
		done := make(chan error, 1)
		go func() {
			key, err := c.Get(t.Context(), &slow.req)
			key.Release()
			done <- err
		}()
		synctest.Wait()
		if _, err := c.Get(t.Context(), &v.req); codeOf(err) != wire.Overloaded {
			t.Errorf("in the queue for too long: %v", err)
		}
		release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		get(t, c, v)
		if n := c.Stats().NegativeHits; n != 0 {
			t.Errorf("%d negative hits", n)
		}
	})
}

// stubborn is a KMS whose unwraps do not end with their context.
type stubborn struct{ *kms }

func (s stubborn) Unwrap(_ context.Context, r Request) (*secret.Buffer, error) {
	return s.kms.Unwrap(context.Background(), r)
}
