package kms

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"redoubt/enclave/internal/durations"
)

// counters only grow.
type counters struct {
	calls, attempts [Causes]atomic.Uint64
	retries         atomic.Uint64
	domains         atomic.Uint64
	latency         durations.Histogram
}

func (c *counters) attempt(cause Cause, took time.Duration) {
	c.attempts[cause].Add(1)
	c.latency.Observe(took)
}

// RegionStats are the statistics of one region.
type RegionStats struct {
	Region  string
	Circuit CircuitState
	// Opened counts how often the circuit opened.
	Opened uint64
}

// Stats are counters since the client was made, and gauges of now.
type Stats struct {
	// Calls counts calls by how they ended. Attempts counts questions put to KMS by how they ended. Both are indexed
	// by Cause.
	Calls, Attempts [Causes]uint64
	// Retries counts attempts beyond a call's first.
	Retries uint64
	// Domains counts the attempts that asked for a domain's key, however they ended. CloudTrail has no more entries of
	// such a Decrypt than the enclaves count, unless somebody else asks.
	Domains uint64
	// Latency counts attempts by duration.
	Latency durations.Snapshot
	// InFlight is the number of running attempts, Waiting that of calls that wait for their turn.
	InFlight, Waiting int
	// RSAKeys, Documents and DocumentFailures count key pairs made, documents made, and failures of the module.
	RSAKeys, Documents, DocumentFailures uint64
	// RSAKeyAge and DocumentAge are the ages of those in use; 0 if there is none.
	RSAKeyAge, DocumentAge time.Duration
	// CredentialsLeft is the remaining life of the credentials that end first. It is negative once they have ended, 0
	// if there are none, and a year if they never end.
	CredentialsLeft time.Duration
	// CredentialsRenewed counts how often credentials were replaced.
	CredentialsRenewed uint64
	// ClockOffset is KMS's clock minus ours at the last answer, to the second.
	ClockOffset time.Duration
	// Regions are sorted by name.
	Regions []RegionStats
}

// Stats returns a snapshot.
func (c *Client) Stats() Stats {
	now := time.Now()
	out := Stats{
		Retries: c.stats.retries.Load(), Domains: c.stats.domains.Load(), Latency: c.stats.latency.Snapshot(),
		InFlight: len(c.limiter.slots), Waiting: int(c.limiter.waiting.Load()),
		RSAKeys: c.recipients.keys.Load(), Documents: c.recipients.documents.Load(),
		DocumentFailures: c.recipients.failures.Load(), ClockOffset: time.Duration(c.offset.Load()),
	}
	for i := range Causes {
		out.Calls[i], out.Attempts[i] = c.stats.calls[i].Load(), c.stats.attempts[i].Load()
	}
	out.RSAKeyAge, out.DocumentAge, _ = c.recipients.ages(now)
	out.CredentialsLeft, out.CredentialsRenewed = c.wallet.left(c.now())
	for name, r := range c.regions {
		state, opened := r.circuit.snapshot(now)
		out.Regions = append(out.Regions, RegionStats{Region: name, Circuit: state, Opened: opened})
	}
	slices.SortFunc(out.Regions, func(a, b RegionStats) int { return cmp.Compare(a.Region, b.Region) })
	return out
}

// left returns the remaining life of the credentials that end first, and how often any were replaced.
func (w *wallet) left(now time.Time) (time.Duration, uint64) {
	const forever = 365 * 24 * time.Hour
	w.mu.Lock()
	defer w.mu.Unlock()
	least, some := forever, false
	for _, i := range w.identities {
		if i.current == nil {
			continue
		}
		some = true
		if end := i.current.expiry; !end.IsZero() {
			least = min(least, end.Sub(now))
		}
	}
	if !some {
		return 0, w.renewed
	}
	return least, w.renewed
}
