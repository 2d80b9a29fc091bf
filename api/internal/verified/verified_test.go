package verified

import (
	"context"
	"errors"
	"testing"
)

type keys struct {
	calls int
	ok    bool
	err   error
}

func (k *keys) VerifyMAC(context.Context, []byte, []byte) (bool, error) {
	k.calls++
	return k.ok, k.err
}

func TestAGenuineMACCostsOneCallAndAnyOtherAskingIsRepeated(t *testing.T) {
	k := &keys{ok: true}
	m := New(k, 10)
	verify := func(message, mac string, want bool, calls int) {
		t.Helper()
		k.calls = 0
		if ok, _ := m.Verify(t.Context(), []byte(message), []byte(mac)); ok != want || k.calls != calls {
			t.Errorf("%t after %d calls, want %t after %d", ok, k.calls, want, calls)
		}
	}
	verify("message", "mac", true, 1)
	verify("message", "mac", true, 0)
	k.ok = false
	for range 2 {
		verify("message", "other", false, 1)
		verify("messagem", "ac", false, 1) // the same bytes, cut elsewhere
	}
	k.ok, k.err = true, errors.New("away")
	for range 2 {
		verify("third", "mac", false, 1)
	}
}

func TestNoMoreMACsThanItsBoundAreRemembered(t *testing.T) {
	m := New(&keys{ok: true}, 3)
	for i := range byte(10) {
		if ok, err := m.Verify(t.Context(), []byte{i}, []byte("mac")); !ok || err != nil {
			t.Fatal(err)
		}
		if want := min(int(i)+1, 3); len(m.seen.seen) != want {
			t.Errorf("%d are remembered, want %d", len(m.seen.seen), want)
		}
	}
}
