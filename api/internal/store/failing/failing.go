// Package failing wraps a store so that simulations make it fail: before it does what it is asked, or after, which
// loses the acknowledgement. It is for simulations and tests alone.
package failing

import (
	"context"
	"time"

	"redoubt/api/internal/store"
)

// Verdict is what becomes of one call of the store.
type Verdict struct {
	// Stall is how long the call takes longer, before it begins. It ends with the call's context.
	Stall time.Duration
	// Before is the error of a call that does nothing; nil: the call is made.
	Before error
	// After is the error of a call that was made and did what it should; nil: its own.
	After error
}

// Judge decides about calls, and is told how they ended.
type Judge interface {
	// Judge decides about the call of an operation, which is a method of the store by its name.
	Judge(operation string) Verdict
	// Kept is told of each audit entry that the store has kept, before the caller knows.
	Kept(vaultID, event, reason string)
}

// Wrap returns s with its failures.
func Wrap(s store.Store, j Judge) store.Store { return &wrapped{s, j} }

type wrapped struct {
	store.Store
	judge Judge
}

// call makes one call of the store.
func (w *wrapped) call(ctx context.Context, operation string, e *store.Entry, do func() error) error {
	v := w.judge.Judge(operation)
	if v.Stall > 0 {
		timer := time.NewTimer(v.Stall)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if v.Before != nil {
		return v.Before
	}
	err := do()
	if err == nil && e != nil {
		w.judge.Kept(e.VaultID, e.Event, e.Reason)
	}
	if err == nil {
		err = v.After
	}
	return err
}

func (w *wrapped) Create(ctx context.Context, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	return w.call(ctx, "Create", e, func() error { return w.Store.Create(ctx, r, e, i) })
}

func (w *wrapped) Get(ctx context.Context, id string) (r *store.Record, err error) {
	err = w.call(ctx, "Get", nil, func() error {
		r, err = w.Store.Get(ctx, id)
		return err
	})
	return r, err
}

func (w *wrapped) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	return w.call(ctx, "Update", e, func() error { return w.Store.Update(ctx, u, e) })
}

func (w *wrapped) Delete(ctx context.Context, id string, revision int64, e *store.Entry) error {
	return w.call(ctx, "Delete", e, func() error { return w.Store.Delete(ctx, id, revision, e) })
}

func (w *wrapped) List(ctx context.Context, p store.Page) (list []store.Summary, next string, err error) {
	err = w.call(ctx, "List", nil, func() error {
		list, next, err = w.Store.List(ctx, p)
		return err
	})
	return list, next, err
}

func (w *wrapped) AppendAudit(ctx context.Context, e *store.Entry) error {
	return w.call(ctx, "AppendAudit", e, func() error { return w.Store.AppendAudit(ctx, e) })
}

func (w *wrapped) Audit(ctx context.Context, id string, p store.Page) (list []store.Entry, next string, err error) {
	err = w.call(ctx, "Audit", nil, func() error {
		list, next, err = w.Store.Audit(ctx, id, p)
		return err
	})
	return list, next, err
}

func (w *wrapped) LastAudit(ctx context.Context, id string) (e *store.Entry, err error) {
	err = w.call(ctx, "LastAudit", nil, func() error {
		e, err = w.Store.LastAudit(ctx, id)
		return err
	})
	return e, err
}

func (w *wrapped) AuditedVaults(ctx context.Context, yield func(string) error) error {
	return w.call(ctx, "AuditedVaults", nil, func() error { return w.Store.AuditedVaults(ctx, yield) })
}

func (w *wrapped) PutCheckpoint(ctx context.Context, c *store.Checkpoint) error {
	return w.call(ctx, "PutCheckpoint", nil, func() error { return w.Store.PutCheckpoint(ctx, c) })
}

func (w *wrapped) Checkpoints(ctx context.Context, yield func(*store.Checkpoint) error) error {
	return w.call(ctx, "Checkpoints", nil, func() error { return w.Store.Checkpoints(ctx, yield) })
}

func (w *wrapped) Idempotency(ctx context.Context, key string) (i *store.Idempotency, err error) {
	err = w.call(ctx, "Idempotency", nil, func() error {
		i, err = w.Store.Idempotency(ctx, key)
		return err
	})
	return i, err
}

func (w *wrapped) Ping(ctx context.Context) error {
	return w.call(ctx, "Ping", nil, func() error { return w.Store.Ping(ctx) })
}

func (w *wrapped) CreateKeyed(
	ctx context.Context, r *store.Record, k *store.Epoch, e *store.Entry, i *store.Idempotency,
) error {
	return w.call(ctx, "CreateKeyed", e, func() error { return w.Store.CreateKeyed(ctx, r, k, e, i) })
}

func (w *wrapped) GetKeyed(ctx context.Context, id string) (r *store.Record, k *store.Keys, err error) {
	err = w.call(ctx, "GetKeyed", nil, func() error {
		r, k, err = w.Store.GetKeyed(ctx, id)
		return err
	})
	return r, k, err
}

func (w *wrapped) Keys(ctx context.Context, id string) (k *store.Keys, err error) {
	err = w.call(ctx, "Keys", nil, func() error {
		k, err = w.Store.Keys(ctx, id)
		return err
	})
	return k, err
}

func (w *wrapped) Reseal(ctx context.Context, r *store.Reseal, e *store.Entry) error {
	return w.call(ctx, "Reseal", e, func() error { return w.Store.Reseal(ctx, r, e) })
}

func (w *wrapped) DropEpochs(
	ctx context.Context, id string, revision int64, k *store.Keys, drop []uint16, e *store.Entry,
) error {
	return w.call(ctx, "DropEpochs", e, func() error { return w.Store.DropEpochs(ctx, id, revision, k, drop, e) })
}

func (w *wrapped) Erase(
	ctx context.Context, id string, revision int64, k *store.Keys, at int64, e *store.Entry,
) error {
	return w.call(ctx, "Erase", e, func() error { return w.Store.Erase(ctx, id, revision, k, at, e) })
}

func (w *wrapped) PutDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	return w.call(ctx, "PutDomain", e, func() error { return w.Store.PutDomain(ctx, d, e) })
}

func (w *wrapped) UpdateDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	return w.call(ctx, "UpdateDomain", e, func() error { return w.Store.UpdateDomain(ctx, d, e) })
}

func (w *wrapped) Domain(ctx context.Context, id string, generation uint16) (d *store.Domain, err error) {
	err = w.call(ctx, "Domain", nil, func() error {
		d, err = w.Store.Domain(ctx, id, generation)
		return err
	})
	return d, err
}

func (w *wrapped) ListDomains(ctx context.Context, yield func(*store.Domain) error) error {
	return w.call(ctx, "ListDomains", nil, func() error { return w.Store.ListDomains(ctx, yield) })
}

// Inconsistent is that of the store.
func (w *wrapped) Inconsistent() uint64 {
	if s, ok := w.Store.(interface{ Inconsistent() uint64 }); ok {
		return s.Inconsistent()
	}
	return 0
}
