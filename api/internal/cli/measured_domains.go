package cli

import (
	"context"

	"redoubt/api/internal/store"
)

func (s measuredStore) CreateKeyed(
	ctx context.Context, r *store.Record, k *store.Epoch, e *store.Entry, i *store.Idempotency,
) error {
	ctx, call := s.call(ctx, "create_keyed", e)
	err := s.Store.CreateKeyed(ctx, r, k, e, i)
	call.wrote(err)
	return err
}

func (s measuredStore) GetKeyed(ctx context.Context, id string) (*store.Record, *store.Keys, error) {
	ctx, call := s.call(ctx, "get", nil) // a read of a vault, as Get is
	r, k, err := s.Store.GetKeyed(ctx, id)
	call.done(err)
	return r, k, err
}

func (s measuredStore) Keys(ctx context.Context, id string) (*store.Keys, error) {
	ctx, call := s.call(ctx, "keys", nil)
	k, err := s.Store.Keys(ctx, id)
	call.done(err)
	return k, err
}

func (s measuredStore) Reseal(ctx context.Context, r *store.Reseal, e *store.Entry) error {
	ctx, call := s.call(ctx, "reseal", e)
	err := s.Store.Reseal(ctx, r, e)
	call.wrote(err)
	return err
}

func (s measuredStore) DropEpochs(
	ctx context.Context, id string, revision int64, k *store.Keys, drop []uint16, e *store.Entry,
) error {
	ctx, call := s.call(ctx, "drop_epochs", e)
	err := s.Store.DropEpochs(ctx, id, revision, k, drop, e)
	call.wrote(err)
	return err
}

func (s measuredStore) Erase(
	ctx context.Context, id string, revision int64, k *store.Keys, at int64, e *store.Entry,
) error {
	ctx, call := s.call(ctx, "erase", e)
	err := s.Store.Erase(ctx, id, revision, k, at, e)
	call.wrote(err)
	return err
}

func (s measuredStore) PutDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	ctx, call := s.call(ctx, "put_domain", e)
	err := s.Store.PutDomain(ctx, d, e)
	call.wrote(err)
	return err
}

func (s measuredStore) UpdateDomain(ctx context.Context, d *store.Domain, e *store.Entry) error {
	ctx, call := s.call(ctx, "update_domain", e)
	err := s.Store.UpdateDomain(ctx, d, e)
	call.wrote(err)
	return err
}

func (s measuredStore) Domain(ctx context.Context, id string, generation uint16) (*store.Domain, error) {
	ctx, call := s.call(ctx, "domain", nil)
	d, err := s.Store.Domain(ctx, id, generation)
	call.done(err)
	return d, err
}

func (s measuredStore) ListDomains(ctx context.Context, yield func(*store.Domain) error) error {
	ctx, call := s.call(ctx, "list_domains", nil)
	err := s.Store.ListDomains(ctx, yield)
	call.done(err)
	return err
}
