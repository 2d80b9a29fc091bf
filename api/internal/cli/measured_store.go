package cli

import (
	"context"
	"errors"

	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/awsconfig"
)

// measuredStore measures and traces the store's calls, and counts the audit entries that they carry.
type measuredStore struct {
	store.Store
	m *httpapi.Metrics
}

// storeCall is a call of the store that carries an entry, which may be nil.
type storeCall struct {
	httpapi.Call
	m *httpapi.Metrics
	e *store.Entry
}

// call begins a call that carries e. done must be called with its outcome.
func (s measuredStore) call(ctx context.Context, operation string, e *store.Entry) (context.Context, storeCall) {
	ctx, call := s.m.Call(ctx, "store", operation)
	return ctx, storeCall{call, s.m, e}
}

func (c storeCall) done(err error) {
	word := storeOutcome(err)
	c.Done(word)
	if c.e != nil {
		c.m.Audit(c.e.Event, word)
	}
}

// wrote is done for a write that carries its entry.
func (c storeCall) wrote(err error) {
	c.Done(storeOutcome(err))
	if c.e != nil {
		c.m.Audit(c.e.Event, carriedOutcome(err))
	}
}

// carriedOutcome is the outcome of an entry that a write carries. If the store refuses the write because of the
// record, the entry is not to blame: its outcome is "refused".
func carriedOutcome(err error) string {
	switch word := storeOutcome(err); word {
	case "not_found", "exists", "conflict", "too_large", "damaged", "full", "erased", "keyed", "epochs", "epochs_full",
		"inconsistent":
		return "refused"
	default:
		return word
	}
}

func (s measuredStore) Create(ctx context.Context, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	ctx, call := s.call(ctx, "create", e)
	err := s.Store.Create(ctx, r, e, i)
	call.wrote(err)
	return err
}

func (s measuredStore) Get(ctx context.Context, id string) (*store.Record, error) {
	ctx, call := s.call(ctx, "get", nil)
	r, err := s.Store.Get(ctx, id)
	call.done(err)
	return r, err
}

func (s measuredStore) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	ctx, call := s.call(ctx, "update", e)
	err := s.Store.Update(ctx, u, e)
	call.wrote(err)
	return err
}

func (s measuredStore) Delete(ctx context.Context, id string, revision int64, e *store.Entry) error {
	ctx, call := s.call(ctx, "delete", e)
	err := s.Store.Delete(ctx, id, revision, e)
	call.wrote(err)
	return err
}

func (s measuredStore) List(ctx context.Context, p store.Page) ([]store.Summary, string, error) {
	ctx, call := s.call(ctx, "list", nil)
	list, next, err := s.Store.List(ctx, p)
	call.done(err)
	return list, next, err
}

func (s measuredStore) AppendAudit(ctx context.Context, e *store.Entry) error {
	ctx, call := s.call(ctx, "append_audit", e)
	err := s.Store.AppendAudit(ctx, e)
	call.done(err)
	return err
}

func (s measuredStore) Audit(ctx context.Context, id string, p store.Page) ([]store.Entry, string, error) {
	ctx, call := s.call(ctx, "audit", nil)
	entries, next, err := s.Store.Audit(ctx, id, p)
	call.done(err)
	return entries, next, err
}

func (s measuredStore) LastAudit(ctx context.Context, id string) (*store.Entry, error) {
	ctx, call := s.call(ctx, "last_audit", nil)
	e, err := s.Store.LastAudit(ctx, id)
	call.done(err)
	return e, err
}

func (s measuredStore) PutCheckpoint(ctx context.Context, c *store.Checkpoint) error {
	ctx, call := s.call(ctx, "put_checkpoint", nil)
	err := s.Store.PutCheckpoint(ctx, c)
	call.done(err)
	return err
}

func (s measuredStore) Idempotency(ctx context.Context, key string) (*store.Idempotency, error) {
	ctx, call := s.call(ctx, "idempotency", nil)
	i, err := s.Store.Idempotency(ctx, key)
	call.done(err)
	return i, err
}

// storeOutcome reduces an error to a static word.
func storeOutcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrNotFound):
		return "not_found"
	case errors.Is(err, store.ErrExists):
		return "exists"
	case errors.Is(err, store.ErrConflict):
		return "conflict"
	case errors.Is(err, store.ErrErased):
		return "erased"
	case errors.Is(err, store.ErrKeyed):
		return "keyed"
	case errors.Is(err, store.ErrInconsistent):
		return "inconsistent"
	case errors.Is(err, store.ErrEpochsFull):
		return "epochs_full"
	case errors.Is(err, store.ErrEpochs):
		return "epochs"
	case errors.Is(err, store.ErrNoDomains):
		return "no_domains"
	case errors.Is(err, store.ErrCursor):
		return "cursor"
	case errors.Is(err, store.ErrTooLarge):
		return "too_large"
	case errors.Is(err, store.ErrDamaged):
		return "damaged"
	case errors.Is(err, store.ErrUnknownOutcome):
		return "unknown"
	case errors.Is(err, store.ErrFull):
		return "full"
	case errors.Is(err, store.ErrThrottled):
		return "throttled"
	case errors.Is(err, store.ErrDenied):
		return "denied"
	case errors.Is(err, store.ErrMissing):
		return "missing"
	case errors.Is(err, awsconfig.ErrNoCredentials):
		return "no_credentials"
	}
	return "unavailable"
}
