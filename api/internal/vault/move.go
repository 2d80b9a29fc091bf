package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// Errors of moves to a new key.
var (
	// ErrNotMovable reports a vault with a key of KMS's whose id is not of a time when vaults had such keys.
	ErrNotMovable = errors.New("vault: the id is not older than the time before which vaults had keys of KMS's")
	// ErrResealed reports an answer that the domain did not make of what was sent. Nothing was changed.
	ErrResealed = errors.New("vault: the answer to a reseal is not what was asked for; " +
		"is somebody between the API and the enclave?")
)

// UnopenedError reports fields that do not open, so that the vault cannot get a new key with them. Nothing was changed.
type UnopenedError struct{ Fields []string }

func (e *UnopenedError) Error() string {
	return "vault: fields do not open: " + strings.Join(e.Fields, ", ") + "; restore them, or give them up by name"
}

// moved is a vault under a new key, before it is stored.
type moved struct {
	*store.Reseal
	suite sealed.Suite
	event *audit.KeyChange
}

// move asks the enclave for the vault's fields, but those named in leave, under a new key in the generation to which
// its domain is written. A vault with a key of KMS's moves to the first domain. What comes back is verified: the key
// was made by the domain for this vault, and the fields are those that were sent. [ErrKeyUnverified], [ErrNotMovable],
// [*UnopenedError], [ErrResealed], store.ErrEpochsFull, store.ErrErased, domains.ErrUnknown.
func (s *Service) move(ctx context.Context, r *item, leave []string) (*moved, error) {
	m := &mover{Service: s, r: r, event: &audit.KeyChange{From: audit.FromKMS}}
	old, err := m.old(ctx, leave)
	if err != nil {
		return nil, err
	}
	before, err := hashSent(old)
	if err != nil {
		return nil, err
	}
	epoch, drop, err := nextEpoch(m.keys, s, r.Epoch)
	if err != nil {
		return nil, err
	}
	answer, err := s.cfg.Enclave.Reseal(ctx, &upstream.Reseal{
		Old: old, To: m.to.Hash, Suite: s.cfg.KeySuite, Epoch: epoch,
	})
	if err != nil {
		s.counts.resealFailures.Add(1)
		return nil, explain(old, refused(err))
	}
	out, err := m.verify(old, before, answer, epoch)
	if err != nil {
		s.counts.resealFailures.Add(1)
		return nil, err
	}
	out.Keys, out.Drop = m.keys, drop
	m.event.Domain, m.event.Epoch, m.event.Dropped = hex.EncodeToString(m.to.Hash[:]), epoch, drop
	return out, nil
}

// mover is one move.
type mover struct {
	*Service
	r     *item
	keys  *store.Keys // nil: the vault has none
	kind  domain.Kind
	to    *domains.Domain
	event *audit.KeyChange
}

// old makes the request's part that says how the vault is.
func (m *mover) old(ctx context.Context, leave []string) (*upstream.Request, error) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(m.r.Fields)), func(n string) bool {
		return slices.Contains(leave, n)
	})
	blobs, _, broken := collect(m.r.Record, names)
	old := m.request(m.r.Record, &DecryptRequest{Compat: true}, nil, nil, blobs)
	old.Compat = false
	var err error
	if m.r.keyed() {
		err = m.underDomain(ctx, old)
	} else {
		err = m.underKMS(ctx)
	}
	if err != nil {
		return nil, err
	}
	if broken = append(broken, m.unnamed(blobs)...); len(broken) > 0 {
		return nil, &UnopenedError{Fields: broken}
	}
	old.Records = m.cfg.Domains.Record
	return old, nil
}

func (m *mover) unnamed(blobs map[string][]byte) []string {
	if !m.r.keyed() {
		return nil
	}
	return unnamed(m.r.Record, blobs)
}

// underDomain prepares a move within a domain.
func (m *mover) underDomain(ctx context.Context, old *upstream.Request) error {
	k, err := m.believe(ctx, m.r)
	if err != nil {
		return err
	}
	m.under(old, m.r, k)
	m.keys, m.kind, m.event.From = m.r.keys, domain.Made, hex.EncodeToString(m.r.Domain)
	m.to, err = m.generation(ctx, k.domain.Descriptor.ID)
	return err
}

// underKMS prepares the move of a vault whose key KMS made.
func (m *mover) underKMS(ctx context.Context) error {
	if !domain.ValidID(m.cfg.Domain) {
		return fmt.Errorf("vault: %w", domains.ErrUnknown)
	}
	if !m.mayHaveMoved(m.r.ID) {
		return ErrNotMovable
	}
	if err := m.verifyKey(ctx, m.r.Record); err != nil {
		return err
	}
	m.kind = domain.Moved
	keys, err := m.cfg.Store.Keys(ctx, m.r.ID) // of a record that came back from a backup
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return fmt.Errorf("vault: %w", err)
	case keys.Erased != 0:
		return store.ErrErased
	default:
		m.keys = keys
	}
	m.to, err = m.current(ctx)
	return err
}

// nextEpoch is the number of a new key, and what goes for it: nothing, or the oldest key if there is no room, and it
// may go. current is the record's.
func nextEpoch(k *store.Keys, s *Service, current uint16) (epoch uint16, drop []uint16, err error) {
	if k == nil || len(k.Epochs) == 0 {
		return 1, nil, nil
	}
	newest, ok := k.Epochs[0].Number()
	if !ok || newest == math.MaxUint16 {
		return 0, nil, store.ErrEpochsFull
	}
	if len(k.Epochs) < store.MaxEpochs {
		return newest + 1, nil, nil
	}
	gone := k.Gone(s.cfg.Now(), s.cfg.KeepEpochs, current)
	if len(gone) == 0 {
		return 0, nil, store.ErrEpochsFull
	}
	return newest + 1, gone[len(gone)-1:], nil
}

// hashSent hashes the vault as it is sent.
func hashSent(old *upstream.Request) (h domain.Hash, err error) {
	suite, err := sealed.ParseSuite(old.SuiteID)
	if err != nil {
		return h, ErrKeyUnverified
	}
	fields := make([]domain.SealedField, 0, len(old.Fields))
	for name, raw := range old.Fields {
		var b sealed.Blob
		if old.Domain != nil {
			ref, _ := refOf(raw)
			b, err = sealed.JoinBlob(suite, raw, old.Encs[ref])
		} else {
			b, err = sealed.ParseBlob(suite, sealed.Encoding(old.Encoding), raw)
		}
		if err != nil {
			return h, &UnopenedError{Fields: []string{name}}
		}
		fields = append(fields, domain.SealedField{Name: name, Enc: b.Enc, CT: b.CT})
	}
	if h, err = domain.HashRecord(old.VaultID, old.WrappedKey, fields); err != nil {
		return h, ErrEncoding
	}
	return h, nil
}

// verify checks the enclave's answer, and makes of it what is to be stored.
func (m *mover) verify(old *upstream.Request, before domain.Hash, a *parentapi.Resealed, epoch uint16) (*moved, error) {
	key := store.Epoch{
		WrappedKey: a.Key.WrappedKey, PublicKey: a.Key.PublicKey, Statement: a.Key.Statement,
		Created: m.cfg.Now().UnixMilli(),
	}
	head, err := m.verifyStatement(m.to, []domain.Kind{m.kind}, m.r.ID, &key)
	if err != nil || a.Key.VaultID != m.r.ID || head.Epoch != epoch || len(a.Statement) != domain.SignatureSize {
		return nil, ErrResealed
	}
	w := sealed.Write{Fields: a.Fields}
	for _, enc := range a.Encs {
		w.Enc = enc
	}
	if len(a.Encs) != min(len(old.Fields), 1) || !sameNames(a.Fields, old.Fields) {
		return nil, ErrResealed
	}
	fields, err := domain.Fields(w)
	if err != nil {
		return nil, ErrResealed
	}
	after, err := domain.HashRecord(m.r.ID, key.WrappedKey, fields)
	if err != nil {
		return nil, ErrResealed
	}
	if m.to.Descriptor.VerifyReseal(m.to.Hash, before, after, [domain.SignatureSize]byte(a.Statement)) != nil {
		return nil, ErrResealed
	}
	id := head.Suite.ID()
	key.Suite = bytes.Clone(id[:])
	next := *m.r.Record
	next.Encoding, next.Suite = store.EncodingDomain, bytes.Clone(id[:])
	next.Domain, next.Epoch = bytes.Clone(m.to.Hash[:]), epoch
	next.WrappedKey, next.PublicKey, next.KeyMAC, next.KeyContext = nil, nil, nil, false
	next.Fields, next.Encs = make(map[string]store.Value, len(a.Fields)), make(map[string][]byte, 1)
	for name, blob := range a.Fields {
		next.Fields[name] = store.Value{Blob: blob}
	}
	if w.Enc != nil {
		ref := sealed.RefOf(w.Enc)
		next.Encs[hex.EncodeToString(ref[:])] = w.Enc
	}
	return &moved{Reseal: &store.Reseal{Record: &next, Key: key}, suite: head.Suite, event: m.event}, nil
}

func sameNames(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return true
}

// explain says which fields do not open when a reseal failed for that: those that the enclave names, or all if the key
// does not open.
func explain(old *upstream.Request, why error) error {
	var up *upstream.Error
	if !errors.As(why, &up) || up.Code != wire.DecryptFailed {
		return fmt.Errorf("vault: %w", why)
	}
	if len(up.Fields) > 0 {
		return &UnopenedError{Fields: slices.Sorted(slices.Values(up.Fields))}
	}
	return &UnopenedError{Fields: slices.Sorted(maps.Keys(old.Fields))}
}
