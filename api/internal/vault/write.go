package vault

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/wire/kit/sealed"
)

// PatchRequest changes fields of a vault.
type PatchRequest struct {
	ID     string
	Values map[string]string
	If     Conditions
	TTL    *time.Duration // nil leaves the time to live, 0 removes it
}

// Patch writes fields and returns the new entity tag. Errors: schema.FieldErrors, [ErrNotFound], [ErrPrecondition],
// [ErrConflict], [ErrKeyUnverified], auth.ErrForbidden, those of KMS and store.
func (s *Service) Patch(ctx context.Context, c *Caller, req *PatchRequest) (string, error) {
	names := slices.Sorted(maps.Keys(req.Values))
	ev := &audit.Event{
		Caller: c.audit(), VaultID: req.ID, Name: audit.EventUpdate, Fields: s.cfg.Schema.Recordable(names),
		Reason: reasonOf(req.TTL),
	}
	if err := s.permit(ctx, c, auth.OpUpdate, s.with(names), ev); err != nil {
		return "", err
	}
	if req.TTL != nil {
		// A time to live removes the vault later, so setting it needs the right to remove.
		if err := s.permit(ctx, c, auth.OpDelete, []string{auth.AllFields}, ev); err != nil {
			return "", err
		}
	}
	values, err := s.cfg.Schema.Apply(req.Values)
	if err != nil {
		return "", s.refuse(ctx, ev, codeInvalid, err)
	}
	ev.Fields = slices.Sorted(maps.Keys(values))
	if len(values) == 0 && req.TTL == nil {
		r, err := s.matching(ctx, req.ID, &req.If)
		if err != nil {
			return "", err
		}
		return tag(r.Modified), nil
	}
	return s.change(ctx, req.ID, &req.If, ev, func(r *item) (*change, error) {
		owned := own(r.Record, s.cfg.Schema.Own(names), ev.Fields)
		if r.keyed() && len(values) > 0 {
			return s.patchKeyed(ctx, r, ev, values, s.expiry(req.TTL), owned)
		}
		u, err := s.patch(ctx, r, values, s.expiry(req.TTL))
		if err != nil {
			return nil, err
		}
		u.Own = owned
		return &change{Update: u}, nil
	})
}

// expiry is the time, in Unix seconds, at which a time to live that begins now ends. 0: never; nil for nil.
func (s *Service) expiry(ttl *time.Duration) *int64 {
	if ttl == nil {
		return nil
	}
	at := int64(0)
	if *ttl > 0 {
		at = s.cfg.Now().Add(*ttl).Unix()
	}
	return &at
}

// reasonOf is the reason of an update that changes the time to live.
func reasonOf(ttl *time.Duration) string {
	switch {
	case ttl == nil:
		return ""
	case *ttl > 0:
		return audit.ReasonSetTTL
	}
	return audit.ReasonRemoveTTL
}

// patch seals the values for the record as it was read, whose key KMS made unless there are no values.
func (s *Service) patch(ctx context.Context, r *item, values map[string]string, expireAt *int64) (
	*store.Update, error,
) {
	u := &store.Update{ExpireAt: expireAt}
	if len(values) == 0 {
		return u, nil
	}
	if err := s.allowed(r); err != nil {
		return nil, err
	}
	if err := s.verifyKey(ctx, r.Record); err != nil {
		return nil, err
	}
	suite, err := sealed.ParseSuite(r.Suite)
	if err != nil {
		return nil, ErrKeyUnverified
	}
	encoding := sealed.EncodingField
	switch r.Encoding {
	case store.EncodingHex, store.EncodingBinary:
	case store.EncodingShared:
		encoding = sealed.EncodingRecord
	default:
		return nil, ErrEncoding
	}
	if u.Set, err = seal(encoding, suite, r.PublicKey, r.ID, values); err != nil {
		return nil, err
	}
	if r.Encoding == store.EncodingHex {
		u.Encoding = store.EncodingBinary
		lift(u.Set, r.Record, suite)
	}
	return u, nil
}

// lift adds the record's hex fields to set in binary form. A field that is not valid hex stays as it is: it did not
// open before either.
func lift(set map[string]store.Value, r *store.Record, suite sealed.Suite) {
	for name, v := range r.Fields {
		if _, written := set[name]; written || !v.Text {
			continue
		}
		if blob, err := sealed.AppendHex(nil, suite, v.Blob); err == nil {
			set[name] = store.Value{Blob: blob}
		}
	}
}

// matching reads a record and checks the conditions. Errors: [ErrNotFound], [ErrPrecondition].
func (s *Service) matching(ctx context.Context, id string, when *Conditions) (*item, error) {
	r, err := s.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if t := tag(r.Modified); !when.Matched(t) || when.Known(t) {
		return nil, ErrPrecondition
	}
	return r, nil
}

// change is what a write does to a vault: an update, or a new key with all fields.
type change struct {
	*store.Update               // nil: reseal
	reseal        *store.Reseal // nil: an update
}

// store makes the change to the vault as it was read, and returns its new revision.
func (c *change) store(ctx context.Context, s store.Store, r *item, now time.Time, e *store.Entry) (int64, error) {
	modified := max(now.UnixMicro(), r.Modified+1)
	if c.reseal != nil {
		c.reseal.Revision, c.reseal.Record.Modified = r.Modified, modified
		return modified, s.Reseal(ctx, c.reseal, e)
	}
	c.ID, c.Revision, c.Modified, c.Keyed = r.ID, r.Modified, modified, r.keyed()
	return modified, s.Update(ctx, c.Update, e)
}

// change changes a vault and returns its new entity tag. It calls build for each revision that it tries, so that
// nothing sealed is used twice.
func (s *Service) change(ctx context.Context, id string, when *Conditions, ev *audit.Event,
	build func(*item) (*change, error),
) (string, error) {
	var c *change
	revision, err := s.attempt(ctx, id, when, ev, func(r *item, e *store.Entry) (int64, error) {
		revision, err := c.store(ctx, s.cfg.Store, r, s.cfg.Now(), e)
		if err == nil && c.reseal != nil {
			s.counts.reseals.Add(1)
		}
		return revision, err
	}, func(r *item) (err error) {
		c, err = build(r)
		return err
	})
	if err != nil {
		return "", err
	}
	return tag(revision), nil
}

// errNothing ends an attempt that has nothing to do.
var errNothing = errors.New("vault: nothing to do")

// attempt reads, prepares and writes until the write meets the revision that was read, a bounded number of times. A
// failed preparation is audited.
func (s *Service) attempt(ctx context.Context, id string, when *Conditions, ev *audit.Event,
	write func(*item, *store.Entry) (int64, error), prepare func(*item) error,
) (int64, error) {
	for i := range writeAttempts {
		if i > 0 {
			if err := pause(ctx, i); err != nil {
				return 0, s.failed(ctx, ev, "conflict", ErrConflict)
			}
		}
		r, err := s.matching(ctx, id, when)
		if errors.Is(err, ErrPrecondition) {
			return 0, s.failed(ctx, ev, "precondition_failed", err)
		}
		if err != nil {
			return 0, err
		}
		if prepare != nil {
			if err := prepare(r); errors.Is(err, errNothing) {
				return 0, err
			} else if err != nil {
				return 0, s.failed(ctx, ev, failure(ctx, err), err)
			}
		}
		revision, err := s.write(ctx, r, ev, write)
		if errors.Is(err, store.ErrTooLarge) {
			return 0, s.failed(ctx, ev, "too_large", stored(err))
		}
		if !errors.Is(err, store.ErrConflict) {
			return revision, stored(err)
		}
	}
	return 0, s.failed(ctx, ev, "conflict", ErrConflict)
}

func (s *Service) write(ctx context.Context, r *item, ev *audit.Event,
	write func(*item, *store.Entry) (int64, error),
) (revision int64, err error) {
	ok := *ev
	ok.Outcome = audit.OutcomeOK
	err = s.carry(ctx, &ok, func(e *store.Entry) (err error) {
		revision, err = write(r, e)
		return err
	})
	return revision, err
}

// failed audits an attempt on an existing vault that had no effect.
func (s *Service) failed(ctx context.Context, ev *audit.Event, code string, why error) error {
	bad := *ev
	bad.Outcome, bad.Code = audit.OutcomeFailed, code
	return s.record(ctx, &bad, why)
}

// failure names an error for an audit entry.
func failure(ctx context.Context, err error) string {
	var (
		up    *upstream.Error
		large *upstream.TooLargeError
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "canceled" // the caller has left
	case errors.Is(err, ErrKeyUnverified):
		return "key_unverified"
	case errors.Is(err, ErrEncoding):
		return "encoding_unknown"
	case errors.Is(err, ErrNotKeyed):
		return "key_not_of_domain"
	case errors.Is(err, domains.ErrUnknown):
		return "domain_unknown"
	case errors.Is(err, domains.ErrUntrusted):
		return "domain_untrusted"
	case errors.Is(err, store.ErrEpochsFull):
		return "epochs_full"
	case errors.As(err, &large):
		return "too_large"
	case errors.As(err, &up):
		return up.Name()
	}
	return "unavailable"
}

// These are the pauses between attempts to write a record that others change at the same time. Without them, writers
// that collided once would read and write in step, and one of them would win each round.
const (
	firstPause = 20 * time.Millisecond
	maxPause   = 640 * time.Millisecond
)

// pause waits after an attempt, of which the first is 1, with full jitter below a bound that doubles. The error is
// the context's.
func pause(ctx context.Context, attempt int) error {
	most := min(firstPause<<min(attempt-1, 10), maxPause)
	t := time.NewTimer(rand.N(most)) //nolint:gosec // spreads load
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
