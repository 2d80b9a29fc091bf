package pool_test

import (
	"errors"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

// SECURITY.md, check 43: what stalls one enclave is not given to the next.
func TestARequestWhoseSessionStalledIsNotSentToAnother(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	var both [2]*fakeenclave.Enclave
	for i := range both {
		both[i] = fakeenclave.Start(t, nil)
		both[i].SetAnswer(func(*wire.DecryptRequest, *wire.DecryptResponse) {
			both[i].Stall(true)
			<-block
		})
		defer both[i].Stall(false)
	}
	p, counts := start(t, pool.Options{Sessions: 1, PingEvery: 200 * time.Millisecond}, both[:]...)
	if _, err := ask(p, "poison", 30*time.Second); !errors.Is(err, pool.ErrUnanswered) {
		t.Errorf("%v", err)
	}
	if n := both[0].Requests.Load() + both[1].Requests.Load(); n != 1 {
		t.Errorf("%d enclaves have seen the request", n)
	}
	if counts.notRetried.Load() != 1 || counts.retried.Load() != 0 {
		t.Errorf("%d counted as not sent again, %d as sent again", counts.notRetried.Load(), counts.retried.Load())
	}
}

// SECURITY.md, check 43: a request that ends each session it comes to ends two, with four enclaves there.
func TestARequestThatEndsSessionsEndsTwo(t *testing.T) {
	var all [4]*fakeenclave.Enclave
	for i := range all {
		all[i] = fakeenclave.Start(t, nil)
		all[i].SetAnswer(func(*wire.DecryptRequest, *wire.DecryptResponse) {
			all[i].Each(func(s *session.Server) { _ = s.Close() })
		})
	}
	p, counts := start(t, pool.Options{Sessions: 1, RetryMax: time.Hour}, all[:]...)
	if _, err := ask(p, "poison", 30*time.Second); !errors.Is(err, pool.ErrUnanswered) {
		t.Errorf("%v", err)
	}
	n := int64(0)
	for _, e := range all {
		n += e.Requests.Load()
	}
	if n != 2 || counts.notRetried.Load() != 1 || counts.retried.Load() != 1 {
		t.Errorf("%d enclaves have seen the request; sent again %d, given up %d", n, counts.retried.Load(), counts.notRetried.Load())
	}
}
