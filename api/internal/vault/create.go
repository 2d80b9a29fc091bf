package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
)

// CreateRequest asks for a new vault.
type CreateRequest struct {
	Values         map[string]string
	TTL            time.Duration // 0 for none, at most MaxTTL
	IdempotencyKey string        // empty for none, at most MaxIdempotency bytes
}

// Created is a new vault, or the one that an earlier request with the same key made.
type Created struct {
	ID       string
	Tag      string // entity tag, empty when Replayed
	Replayed bool
}

// Create makes a vault. Errors: schema.FieldErrors, auth.ErrForbidden, [ErrIdempotency], [ErrConflict] for concurrent
// requests with one key, those of KMS and store.
func (s *Service) Create(ctx context.Context, c *Caller, req *CreateRequest) (*Created, error) {
	names := slices.Sorted(maps.Keys(req.Values))
	if err := s.permit(ctx, c, auth.OpCreate, s.with(names), nil); err != nil {
		return nil, err
	}
	values, err := s.cfg.Schema.Apply(req.Values)
	if err != nil {
		return nil, err
	}
	var request *asked
	if req.IdempotencyKey != "" {
		request = ask(c, req, values)
	}
	for i := range createAttempts {
		if i > 0 && pause(ctx, i) != nil {
			break
		}
		if out, err := s.replay(ctx, request); out != nil || err != nil {
			return out, err
		}
		out, err := s.createOnce(ctx, c, values, req, request)
		// A concurrent request with the same key came first, or is about to.
		if !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrErased) {
			return out, err
		}
	}
	if out, err := s.replay(ctx, request); out != nil || err != nil {
		return out, err
	}
	return nil, ErrConflict
}

// createOnce makes a vault with a key of its own.
func (s *Service) createOnce(ctx context.Context, c *Caller, values map[string]string, req *CreateRequest,
	request *asked,
) (*Created, error) {
	var (
		r   *store.Record
		k   *store.Epoch
		err error
	)
	if s.cfg.Mode == KeysKMS {
		r, err = s.newRecord(ctx, values, req.TTL)
	} else {
		r, k, err = s.newKeyed(ctx, values, req.TTL)
	}
	if err != nil {
		return nil, err
	}
	r.Own = s.cfg.Schema.Own(slices.Sorted(maps.Keys(req.Values)))
	item, err := s.remember(ctx, request, r.ID)
	if err != nil {
		return nil, err
	}
	err = s.carry(ctx, &audit.Event{
		Caller: c.audit(), VaultID: r.ID, Name: audit.EventCreate, Outcome: audit.OutcomeOK,
		Fields: slices.Sorted(maps.Keys(r.Fields)),
	}, func(e *store.Entry) error {
		if k != nil {
			return s.cfg.Store.CreateKeyed(ctx, r, k, e, item)
		}
		return s.cfg.Store.Create(ctx, r, e, item)
	})
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &Created{ID: r.ID, Tag: tag(r.Modified)}, nil
}

// newRecord makes a key pair, binds it to the vault and seals the values to it.
func (s *Service) newRecord(ctx context.Context, values map[string]string, ttl time.Duration) (*store.Record, error) {
	now := s.cfg.Now()
	id := pksuid.New(prefix, now)
	public, wrapped, err := s.cfg.Keys.NewKeyPair(ctx, s.cfg.Suite, map[string]string{"vault_id": id})
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	suite := s.cfg.Suite.ID()
	mac, err := s.cfg.Keys.MAC(ctx, bindMessage(id, suite[:], public))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	fields, err := seal(s.cfg.Encoding, s.cfg.Suite, public, id, values)
	if err != nil {
		return nil, err
	}
	r := &store.Record{
		ID: id, Encoding: int(s.cfg.Encoding), Suite: suite[:], WrappedKey: wrapped, PublicKey: public,
		KeyContext: true, KeyMAC: mac, Created: now.UnixMicro(), Modified: now.UnixMicro(), Fields: fields,
	}
	if ttl > 0 {
		r.ExpireAt = now.Add(ttl).Unix()
	}
	return r, nil
}

// seal seals values to a public key and wipes its copies of them.
func seal(e sealed.Encoding, suite sealed.Suite, public []byte, id string,
	values map[string]string,
) (map[string]store.Value, error) {
	out := make(map[string]store.Value, len(values))
	if len(values) == 0 {
		return out, nil
	}
	key, err := sealed.ParsePublicKey(suite, public)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	plain := make(map[string][]byte, len(values))
	for name, v := range values {
		plain[name] = []byte(v)
	}
	blobs, err := sealed.Seal(e, suite, key, id, plain)
	for _, v := range plain {
		clear(v)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	for name, blob := range blobs {
		out[name] = store.Value{Blob: blob}
	}
	return out, nil
}
