package lifecycle

import "time"

// pace says when an enclave may be started or ended. So enclaves that die at once, cannot start, or start in an
// unusable state never cause a storm. It is a bucket of such steps: burst at first, then one per gap. The gap doubles
// from first to lastGap with each step. When no step was needed for long, everything is forgotten.
type pace struct {
	burst int
	first time.Duration

	spent int           // steps since everything was last well
	gap   time.Duration // before the next step, once burst is used up
	next  time.Time
	since time.Time // when everything became well; zero while it is not
}

// ready reports whether a step would be allowed.
func (p *pace) ready(now time.Time) bool { return p.spent < p.burst || !now.Before(p.next) }

// take uses up a step, if one is allowed.
func (p *pace) take(now time.Time) bool {
	p.ill()
	if !p.ready(now) {
		return false
	}
	p.spent++
	if p.gap == 0 {
		p.gap = p.first
	} else {
		p.gap = min(2*p.gap, lastGap)
	}
	p.next = now.Add(p.gap)
	return true
}

// ill says that not everything is well, though no step can improve it now.
func (p *pace) ill() { p.since = time.Time{} }

// well says that no step is needed now.
func (p *pace) well(now time.Time) {
	if p.since.IsZero() {
		p.since = now
	}
	if now.Sub(p.since) >= lasting {
		p.spent, p.gap = 0, 0
	}
}
