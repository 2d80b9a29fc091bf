package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/store"
)

const (
	// refusalEvery is how long equal refusals are counted after one of them was written to the audit log.
	refusalEvery = time.Minute
	// maxRefusals bounds the refusals that are counted. When one is forgotten, its count is lost, but not its entry.
	maxRefusals = 16_384
)

// refusalRate bounds how many refusals of one principal are examined: each may cost a read of the store and an entry.
var refusalRate = auth.Rate{PerSecond: 1, Burst: 60}

// refusal is what equal refusals have in common. With only a principal it stands for that principal's refusals beyond
// the rate.
type refusal struct {
	principal, vaultID, event, code string
	// asked is a hash of what was refused, so that an attempt on one field does not hide behind an attempt on
	// another.
	asked [sha256.Size]byte
}

func refusalOf(ev *audit.Event, code string) refusal {
	k := refusal{principal: ev.Principal, vaultID: ev.VaultID, event: ev.Name, code: code}
	if code == codeRateLimited {
		return k // whatever was asked, it came too often
	}
	parts := ev.Fields
	if ev.Name == audit.EventUpdate {
		parts = slices.Concat(parts, []string{ev.Reason}) // a static word
	}
	k.asked = sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return k
}

// tally holds the counts of equal refusals.
type tally struct {
	until   time.Time // when the next entry is due
	omitted uint64    // how many were only counted
}

// refusals decides which refusals are written to the log. It is safe for concurrent use.
type refusals struct {
	now     func() time.Time
	limiter *auth.Limiter

	mu   sync.Mutex
	seen map[refusal]tally
}

func newRefusals(now func() time.Time) *refusals {
	return &refusals{now: now, limiter: auth.NewFixedLimiter(refusalRate, now), seen: make(map[refusal]tally)}
}

// due reports whether a refusal must be examined now, and how many before it were only counted. A refusal that is not
// due is counted. wait is above 0 if the principal is beyond its rate.
func (r *refusals) due(k refusal) (omitted uint64, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.seen[k].until.After(now) {
		r.count(k, 1)
		return 0, 0, false
	}
	all := refusal{principal: k.principal}
	if wait := r.limiter.Wait(&auth.Principal{Name: k.principal}); wait > 0 {
		r.count(all, 1)
		return 0, wait, false
	}
	omitted = r.seen[k].omitted + r.seen[all].omitted
	delete(r.seen, all)
	r.put(k, tally{until: now.Add(refusalEvery)})
	return omitted, 0, true
}

// undo counts refusals that were due but could not be written. The next one is then due at once.
func (r *refusals) undo(k refusal, omitted uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.seen[k]
	r.put(k, tally{omitted: t.omitted + omitted + 1})
}

func (r *refusals) count(k refusal, n uint64) {
	t := r.seen[k]
	t.omitted += n
	r.put(k, t)
}

func (r *refusals) put(k refusal, t tally) {
	if _, known := r.seen[k]; !known && len(r.seen) >= maxRefusals {
		r.makeRoom()
	}
	r.seen[k] = t
}

// makeRoom forgets at least a quarter: first those that are due anyway, and if these are not enough, any.
func (r *refusals) makeRoom() {
	now := r.now()
	for k, t := range r.seen {
		if !t.until.After(now) {
			delete(r.seen, k)
		}
	}
	for k := range r.seen {
		if len(r.seen) <= maxRefusals*3/4 {
			return
		}
		delete(r.seen, k)
	}
}

// refuse audits a refusal on an existing vault. It returns why, or that the refusal could not be audited. On a vault
// that does not exist it returns why without an entry, so that nobody can fill the store with logs of made-up ids. Of
// equal refusals one a minute is written, with the number of those that were not. A caller that is refused faster
// than that can be examined gets a [*RateError].
func (s *Service) refuse(ctx context.Context, ev *audit.Event, code string, why error) error {
	if !idRE.MatchString(ev.VaultID) {
		return why
	}
	k := refusalOf(ev, code)
	omitted, wait, due := s.refusals.due(k)
	switch {
	case wait > 0 && errors.Is(why, auth.ErrForbidden):
		return &RateError{RetryAfter: wait}
	case !due:
		return why
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	_, err := s.get(ctx, ev.VaultID)
	if errors.Is(err, ErrNotFound) || errors.Is(err, store.ErrErased) {
		return why
	}
	if err == nil {
		refused := *ev
		refused.Outcome, refused.Code, refused.Omitted = audit.OutcomeRefused, code, omitted
		if err = s.record(ctx, &refused, nil); err == nil {
			return why
		}
	}
	s.refusals.undo(k, omitted)
	return err
}

// Granted returns nil if the caller may do op to some field at least. Use it before reading a large request. A
// refusal that concerns an existing vault goes into its audit log, without names. Errors: auth.ErrForbidden,
// [*RateError], [ErrAudit], the store's.
func (s *Service) Granted(ctx context.Context, c *Caller, op auth.Operation, id string) error {
	var ev *audit.Event
	if name, ok := events[op]; ok {
		ev = &audit.Event{Caller: c.audit(), VaultID: id, Name: name}
	}
	return s.permit(ctx, c, op, nil, ev)
}

// events maps operations on an existing vault to their audit events.
var events = map[auth.Operation]string{
	auth.OpUpdate: audit.EventUpdate, auth.OpDelete: audit.EventDelete, auth.OpDecrypt: audit.EventDecrypt,
}
