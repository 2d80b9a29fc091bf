package lifecycle

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	endCall   = "terminate-enclave --enclave-id "
	startCall = "run-enclave --eif-path /images/vault.eif --enclave-name enclave-vault --cpu-count 2 --memory 1024"
)

func TestEnclaveThatMayNotBeTrustedIsEndedAndReplaced(t *testing.T) {
	for cause, change := range map[string]func(*Enclave){
		"address":      func(e *Enclave) { e.CID = 3 },
		"debug mode":   func(e *Enclave) { e.Flags = "DEBUG_MODE" },
		"measurements": func(e *Enclave) { e.Measurements = map[string]string{"PCR0": "ff"} },
	} {
		s := newScript(t)
		bad := enclave(20, "enclave-vault")
		change(&bad)
		s.write("list.json", list(bad))
		m, p, c, log := manager(s.cli(), func(o *Options) { o.Measurements = map[string]string{"PCR0": "ab01"} })
		m.look(context.Background())
		if got := s.calls(); !slices.Equal(got, []string{endCall + "enclave-vault-id"}) {
			t.Fatalf("%s: %q", cause, got)
		}
		m.look(context.Background())
		m.look(context.Background())
		if got := s.calls(); !slices.Equal(got, []string{endCall + "enclave-vault-id", startCall}) {
			t.Errorf("%s: %q", cause, got)
		}
		if c.ended != 1 || !slices.Equal(p.now(), []string{"vsock://17:5050"}) {
			t.Errorf("%s: %d ended, %q", cause, c.ended, p.now())
		}
		if !strings.Contains(log.String(), "it may not be trusted: "+cause) {
			t.Errorf("%s: log: %s", cause, log)
		}
	}
}

func TestEnclavesOfOtherNamesAreNeverEndedNorCounted(t *testing.T) {
	s := newScript(t)
	acm, unnamed := enclave(20, "acm-enclave"), enclave(21, "")
	acm.Flags, unnamed.Flags = "DEBUG_MODE", "DEBUG_MODE"
	s.write("list.json", list(acm, unnamed))
	s.write("next.json", list(acm, unnamed, enclave(22, "enclave-vault")))
	m, p, _, _ := manager(s.cli(), func(o *Options) { o.Measurements = map[string]string{"PCR0": "ab01"} })
	for range 3 {
		m.look(context.Background())
	}
	if got := s.calls(); !slices.Equal(got, []string{startCall}) || !slices.Equal(p.now(), []string{"vsock://22:5050"}) {
		t.Errorf("%q, uses %q", got, p.now())
	}
}

func TestUnfitEnclaveBesideEnoughGoodOnesIsEndedToo(t *testing.T) {
	s := newScript(t)
	old := enclave(19, "enclave-vault-2")
	old.Measurements = nil
	s.write("list.json", list(old, enclave(20, "enclave-vault")))
	m, _, _, _ := manager(s.cli(), func(o *Options) { o.Measurements = map[string]string{"PCR0": "ab01"} })
	m.look(context.Background())
	if got := s.calls(); !slices.Equal(got, []string{endCall + "enclave-vault-2-id"}) {
		t.Errorf("%q", got)
	}
}

// host has room for a number of enclaves in simulated time, and an image that may be the wrong one.
type host struct {
	unit
	there    []Enclave
	room     int
	pcr      string
	stuck    string // the id of one that cannot be ended
	full     int    // starts that found no room
	most     int    // enclaves of ours at once
	ended    []time.Time
	attempts map[string]int
}

func (h *host) Describe(context.Context) ([]Enclave, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.there), nil
}

func (h *host) Run(_ context.Context, s RunSpec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs = append(h.runs, time.Now())
	if len(h.there) == h.room {
		h.full++
		return ErrFailed
	}
	h.next++
	e := enclave(100+h.next, s.Name)
	e.Measurements = map[string]string{"PCR0": h.pcr}
	h.there = append(h.there, e)
	h.most = max(h.most, len(h.there))
	return nil
}

func (h *host) Terminate(_ context.Context, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = append(h.ended, time.Now())
	h.attempts[id]++
	if id == h.stuck {
		return ErrFailed
	}
	h.there = slices.DeleteFunc(h.there, func(e Enclave) bool { return e.ID == id })
	return nil
}

func newHost(there ...Enclave) *host {
	return &host{there: there, room: 4, pcr: "ab01", attempts: map[string]int{}}
}

func (h *host) manage(t *testing.T, wanted int) *fakePool {
	t.Helper()
	m, p, _, _ := manager(h, func(o *Options) {
		o.Wanted, o.Measurements = wanted, map[string]string{"PCR0": "ab01"}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func TestWrongImageFillsNoHostAndTheRightOneFindsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.pcr = "ff"
		p := h.manage(t, 2)
		time.Sleep(time.Hour)
		synctest.Wait()
		h.mu.Lock()
		if h.most > 2 || h.full > 0 || len(h.runs) > 22 || len(h.ended) > 22 || len(h.ended) < 5 {
			t.Errorf("%d at once, %d found no room, %d starts and %d ends in an hour", h.most, h.full, len(h.runs), len(h.ended))
		}
		for i := 1; i < len(h.ended); i++ {
			if gap := h.ended[i].Sub(h.ended[i-1]); gap < reapGap {
				t.Errorf("end %d came after %v", i, gap)
			}
		}
		h.pcr = "ab01"
		h.mu.Unlock()
		time.Sleep(4 * lastGap)
		synctest.Wait()
		if got := p.now(); len(got) != 2 || h.most > 2 {
			t.Errorf("with the right image %q are used, %d were there at once", got, h.most)
		}
	})
}

func TestEnclaveThatCannotBeEndedIsNotInTheWayOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := enclave(20, "enclave-vault"), enclave(21, "enclave-vault-2")
		a.Measurements, b.Measurements = nil, nil
		h := newHost(a, b)
		h.stuck = a.ID
		p := h.manage(t, 2)
		time.Sleep(time.Hour)
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(p.now()) != 1 || h.attempts[b.ID] != 1 || len(h.runs) != 1 {
			t.Errorf("%q are used after %v and %d starts", p.now(), h.attempts, len(h.runs))
		}
		if n := h.attempts[a.ID]; n < 5 || n > 16 {
			t.Errorf("%d attempts to end it in an hour", n)
		}
	})
}
