package server

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/selftest"
	"redoubt/wire"
)

const (
	// selfTestEvery is the least time between two self-tests. Pings trigger them, and many sessions ping.
	selfTestEvery = 5 * time.Second
	// watchEvery is how often the slow checks run beside the pings: KMS, clock and entropy.
	watchEvery = 15 * time.Second
	// reachTimeout bounds the check whether KMS can be reached.
	reachTimeout = 5 * time.Second
	// maxOffset is how far KMS's clock may be from ours. Attestation documents and signatures are refused at five
	// minutes.
	maxOffset = time.Minute
	// clockSlack is how far the wall clock may have moved against the monotonic clock since the last look. Beyond it
	// the wall clock counts as having been set.
	clockSlack = 2 * time.Second
)

// earliest is a time before which no enclave was ever built. A clock that shows an earlier time is not set.
var earliest = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Machine says what the machine must offer. An empty list accepts any source.
type Machine struct {
	ClockSources, EntropySources []string
	// ClockFile and EntropyFile name the files that name the source in use; empty means the kernel's own files.
	ClockFile, EntropyFile string
}

// In these files the kernel names the clock source and the hardware random number generator that it uses.
const (
	clockFile   = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
	entropyFile = "/sys/class/misc/hw_random/rng_current"
)

// health holds the bits that pongs carry, and renews them.
type health struct {
	kms     KMS
	engine  *engine.Engine
	regions []string
	machine Machine
	run     func() error // the self-test
	offset  func() time.Duration
	wake    chan struct{}

	reached, clock, entropy atomic.Bool

	mu     sync.Mutex
	tested time.Time // when the last self-test ran
	passed bool
	seen   time.Time // clock reading of the last look
}

func (h *health) init(cfg Config) {
	h.kms, h.engine, h.regions, h.machine, h.run = cfg.KMS, cfg.Engine, cfg.Regions, cfg.Machine, selftest.Run
	if h.machine.ClockFile == "" {
		h.machine.ClockFile = clockFile
	}
	if h.machine.EntropyFile == "" {
		h.machine.EntropyFile = entropyFile
	}
	h.offset = cfg.ClockOffset
	if h.offset == nil {
		h.offset = func() time.Duration { return 0 }
	}
	h.wake = make(chan struct{}, 1)
	h.seen = time.Now()
	h.look(time.Now())
}

// Health returns the current bits, except the one for credentials, which each session has for itself. It may run the
// self-test, which takes some 3 ms.
func (s *Server) Health() wire.Health {
	h := &s.health
	var bits wire.Health
	set := func(bit wire.Health, ok bool) {
		if ok {
			bits |= bit
		}
	}
	set(wire.HealthSelfTest, h.selfTest(time.Now()))
	set(wire.HealthKMS, h.reached.Load())
	set(wire.HealthClock, h.clock.Load())
	set(wire.HealthEntropy, h.entropy.Load())
	set(wire.HealthAccepting, !h.engine.Draining())
	return bits
}

// selfTest reports whether the self-test passes. It runs the self-test if the last run is too old.
func (h *health) selfTest(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tested.IsZero() || now.Sub(h.tested) >= selfTestEvery {
		h.tested, h.passed = now, h.run() == nil
	}
	return h.passed
}

// nudge makes watch look at once.
func (h *health) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// watch renews the bits whose checks are slow, until ctx ends.
func (h *health) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.wake:
		}
		h.reach(ctx) // it also asks for KMS's clock, if that seems wrong
		h.look(time.Now())
	}
}

// reach asks each region's KMS. Without credentials it asks nothing, and KMS counts as not reached.
func (h *health) reach(ctx context.Context) {
	if _, ok := h.kms.CredentialsValid(); !ok {
		h.reached.Store(false)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	errs := make([]error, len(h.regions))
	var wg sync.WaitGroup
	for i, region := range h.regions {
		wg.Go(func() { errs[i] = h.kms.Reach(ctx, region) })
	}
	wg.Wait()
	h.reached.Store(errors.Join(errs...) == nil)
}

// look checks the clock and the entropy.
func (h *health) look(now time.Time) {
	h.mu.Lock()
	steady := steadyClock(now.Round(0).Sub(h.seen.Round(0)), now.Sub(h.seen)) // Round drops the monotonic reading
	h.seen = now
	h.mu.Unlock()
	h.clock.Store(steady && now.After(earliest) && h.offset().Abs() < maxOffset &&
		trusted(h.machine.ClockFile, h.machine.ClockSources))
	h.entropy.Store(randomReady() && trusted(h.machine.EntropyFile, h.machine.EntropySources))
}

// steadyClock reports whether as much time has passed on the wall clock as on the monotonic clock.
func steadyClock(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() < clockSlack }

// trusted reports whether the one line of file is one of allowed. An empty list allows any.
func trusted(file string, allowed []string) bool {
	if len(allowed) == 0 {
		return true
	}
	b, err := os.ReadFile(file)
	return err == nil && slices.Contains(allowed, strings.TrimSpace(string(b)))
}

// keyStats adds the counts of the caches.
func keyStats(k keys.Stats, m *wire.Stats) {
	for _, v := range []struct {
		id wire.StatID
		n  uint64
	}{
		{wire.StatKeyHits, k.KeyHits},
		{wire.StatKeyMisses, k.KeyMisses},
		{wire.StatKeyNegativeHits, k.NegativeHits},
		{wire.StatKeyRefreshes, k.Refreshes},
		{wire.StatKeyEvictions, k.KeyEvictions},
		{wire.StatKeyExpired, k.KeyExpirations},
		// A field whose own key is kept does not need its context. Either way no P-384 was needed.
		{wire.StatContextHits, k.ContextHits + k.FieldHits},
		{wire.StatContextMisses, k.ContextMisses},
		{wire.StatContextEvictions, k.ContextEvictions},
		{wire.StatDomainOpenFailures, k.DomainOpenFailures},
		{wire.StatDomainRefusals, k.DomainRefusals},
		{wire.StatDomainUnknown, k.DomainUnknown},
		{wire.StatVaultsOpened, k.VaultsOpened},
		{wire.StatVaultsOverBudget, k.OverBudget},
	} {
		m.Add(v.id, int64(v.n))
	}
	m.Add(wire.StatGaugeKeys, int64(k.Keys))
	m.Add(wire.StatGaugeContexts, int64(k.Contexts))
	m.Add(wire.StatGaugeDomains, int64(k.Domains))
	m.Add(wire.StatGaugeVaultKeys, int64(k.VaultKeys))
}
