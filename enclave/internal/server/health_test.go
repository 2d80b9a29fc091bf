package server

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
)

func TestEachHealthBitSaysWhatItIsFor(t *testing.T) {
	dir := t.TempDir()
	clock, entropy := filepath.Join(dir, "clock"), filepath.Join(dir, "rng")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(clock, "kvm-clock\n")
	write(entropy, "nsm-hwrng\n")
	offset := time.Duration(0)
	w := newWorld(t, func(c *Config) {
		c.Machine = Machine{
			ClockSources: []string{"kvm-clock"}, EntropySources: []string{"nsm-hwrng"},
			ClockFile: clock, EntropyFile: entropy,
		}
		c.ClockOffset = func() time.Duration { return offset }
	})
	s, h := w.server, &w.server.health
	look := func() wire.Health { h.look(time.Now()); return s.Health() }
	all := wire.HealthReady &^ wire.HealthCredentials
	if got := look(); !got.Has(all) || got.Has(wire.HealthCredentials) {
		t.Fatalf("health %b", got)
	}
	selfTest := func(err error) func() {
		return func() { h.run, h.tested = func() error { return err }, time.Time{} }
	}
	source := func(file, text string) func() { return func() { write(file, text) } }
	for _, tt := range []struct {
		name         string
		off          wire.Health
		change, undo func()
	}{
		{"another clock", wire.HealthClock, source(clock, "hpet\n"), source(clock, "kvm-clock\n")},
		{"no clock", wire.HealthClock, func() { _ = os.Remove(clock) }, source(clock, "kvm-clock\n")},
		{"KMS's clock differs", wire.HealthClock, func() { offset = 5 * time.Minute }, func() { offset = 0 }},
		{"another source of entropy", wire.HealthEntropy, source(entropy, "virtio\n"), source(entropy, "nsm-hwrng\n")},
		{"a self-test that fails", wire.HealthSelfTest, selfTest(errors.New("x")), selfTest(nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.change()
			if got := look(); got.Has(tt.off) || !got.Has(all&^tt.off) || !wire.HealthReady.Has(tt.off) {
				t.Errorf("health %b, want all but %b, which readiness needs", got, tt.off)
			}
			tt.undo()
			if got := look(); !got.Has(all) {
				t.Errorf("health %b afterwards", got)
			}
		})
	}
	w.stop()
	eventually(t, "draining", func() bool { return !s.Health().Has(wire.HealthAccepting) })
}

func TestAClockThatIsSetIsNotTrusted(t *testing.T) {
	for _, tt := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{15 * time.Second, 15 * time.Second, true},
		{time.Hour, time.Hour + time.Second, true},
		{15 * time.Second, 10 * time.Second, false},
		{-time.Hour, 15 * time.Second, false},
	} {
		if got := steadyClock(tt.wall, tt.monotonic); got != tt.want {
			t.Errorf("%v on the wall, %v in fact: %t", tt.wall, tt.monotonic, got)
		}
	}
}

func TestTheSelfTestIsNotRunForEveryPing(t *testing.T) {
	w := newWorld(t)
	n := 0
	h := &w.server.health
	h.run = func() error { n++; return nil }
	now := time.Now()
	for i := range 100 {
		h.selfTest(now.Add(time.Duration(i) * 100 * time.Millisecond))
	}
	if n != 2 {
		t.Errorf("%d runs in ten seconds, want 2", n)
	}
}

func TestKMSOutOfReachShows(t *testing.T) {
	w := newWorld(t)
	w.kms.set(func(f *fakeKMS) { f.creds.AccessKeyID, f.reach = []byte("id"), errors.New("unreachable") })
	w.server.health.reach(ctx(t))
	if w.server.Health().Has(wire.HealthKMS) {
		t.Error("KMS counts as reached")
	}
	w.kms.set(func(f *fakeKMS) { f.reach = nil })
	w.server.health.nudge()
	eventually(t, "KMS in reach", func() bool { return w.server.Health().Has(wire.HealthKMS) })
}

func TestAFieldOpenedByItsOwnKeyCountsAsAContextHit(t *testing.T) {
	var m wire.Stats
	keyStats(keys.Stats{ContextHits: 3, FieldHits: 40, ContextMisses: 5}, &m)
	got := map[wire.StatID]int64{}
	for _, v := range m.Values {
		got[v.ID] = v.Value
	}
	if got[wire.StatContextHits] != 43 || got[wire.StatContextMisses] != 5 {
		t.Errorf("hits %d, misses %d", got[wire.StatContextHits], got[wire.StatContextMisses])
	}
}
