package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// ResealRequest asks for a vault under a new key, with all its fields.
type ResealRequest struct {
	ID string
	// Drop names fields that are given up if they do not open. A field that opens stays. The audit entry names those
	// that went.
	Drop []string
	// Force makes a new key also for a vault that has one of the generation that is written to.
	Force bool
	If    Conditions
}

// Resealed says what a reseal did.
type Resealed struct {
	Tag     string   // the vault's entity tag
	Done    bool     // false: there was nothing to do, since the key is of the generation that is written to
	FromKMS bool     // the key before was KMS's
	Epoch   uint16   // of the key that the vault now has
	Fields  int      // how many the vault now has
	Dropped []string // fields that did not open and were given up
}

// Reseal gives a vault a new key in the generation to which its domain is written, and seals its fields to it. One with
// a key of KMS's moves to its first domain, if it may. All of it happens or nothing, and it may be asked for again
// after any failure. It needs the right to update all fields, and to delete them for Drop. Errors beside those of
// Patch: [*UnopenedError], [ErrNotMovable], [ErrResealed], store.ErrEpochsFull, store.ErrErased.
func (s *Service) Reseal(ctx context.Context, c *Caller, req *ResealRequest) (*Resealed, error) {
	if s.cfg.Domains == nil {
		return nil, store.ErrNoDomains
	}
	ev := &audit.Event{Caller: c.audit(), VaultID: req.ID, Name: audit.EventReseal}
	if err := s.permit(ctx, c, auth.OpUpdate, []string{auth.AllFields}, ev); err != nil {
		return nil, err
	}
	if len(req.Drop) > 0 {
		if err := s.permit(ctx, c, auth.OpDelete, []string{auth.AllFields}, ev); err != nil {
			return nil, err
		}
	}
	out := &Resealed{}
	var current string
	revised, err := s.change(ctx, req.ID, &req.If, ev, func(r *item) (*change, error) {
		*out = Resealed{Epoch: r.Epoch, FromKMS: !r.keyed(), Fields: len(r.Fields)}
		current = tag(r.Modified)
		ev.Key = nil
		if r.keyed() && !req.Force {
			switch due, err := s.due(ctx, r); {
			case err != nil:
				return nil, err
			case !due:
				return nil, errNothing
			}
		}
		m, lost, err := s.moveDropping(ctx, r, req.Drop)
		if err != nil {
			return nil, err
		}
		out.Epoch, out.Dropped, out.Fields = m.Record.Epoch, lost, len(m.Record.Fields)
		m.event.Lost, ev.Key = lost, m.event
		return &change{reseal: m.Reseal}, nil
	})
	if errors.Is(err, errNothing) {
		out.Tag = current
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Done, out.Tag = true, revised
	return out, nil
}

// Due reports whether a reseal would give the vault a new key. It changes nothing. It needs the rights of a reseal.
// [ErrNotFound], [ErrNotMovable], store.ErrErased, store.ErrInconsistent, the store's.
func (s *Service) Due(ctx context.Context, c *Caller, id string) (bool, error) {
	if s.cfg.Domains == nil {
		return false, store.ErrNoDomains
	}
	if err := s.permit(ctx, c, auth.OpUpdate, []string{auth.AllFields}, nil); err != nil {
		return false, err
	}
	r, err := s.get(ctx, id)
	if err != nil || !r.keyed() {
		return err == nil, err
	}
	return s.due(ctx, r)
}

// due reports whether a vault under a domain has a key of an earlier generation than is written to.
func (s *Service) due(ctx context.Context, r *item) (bool, error) {
	k, err := s.believe(ctx, r)
	if err != nil {
		return false, err
	}
	d, err := s.generation(ctx, k.domain.Descriptor.ID)
	if err != nil {
		return false, err
	}
	return k.domain.Descriptor.Generation < d.Descriptor.Generation, nil
}

// moveDropping moves a vault without those fields in drop that do not open.
func (s *Service) moveDropping(ctx context.Context, r *item, drop []string) (m *moved, lost []string, err error) {
	for {
		if m, err = s.move(ctx, r, lost); err == nil {
			slices.Sort(lost)
			return m, lost, nil
		}
		var unopened *UnopenedError
		if !errors.As(err, &unopened) || len(unopened.Fields) == 0 {
			return nil, nil, err
		}
		for _, name := range unopened.Fields {
			if !slices.Contains(drop, name) || slices.Contains(lost, name) {
				return nil, nil, err
			}
		}
		lost = append(lost, unopened.Fields...)
	}
}

// DropKeys removes the keys of a vault that are no longer in use and were kept long enough, and returns how many there
// were. It needs the right to delete all fields. Errors: [ErrNotFound], [ErrConflict], store.ErrErased,
// auth.ErrForbidden, the store's.
func (s *Service) DropKeys(ctx context.Context, c *Caller, id string) (int, error) {
	if s.cfg.Domains == nil {
		return 0, store.ErrNoDomains
	}
	ev := &audit.Event{Caller: c.audit(), VaultID: id, Name: audit.EventReseal, Reason: audit.ReasonDropKeys}
	if err := s.permit(ctx, c, auth.OpDelete, []string{auth.AllFields}, ev); err != nil {
		return 0, err
	}
	var gone []uint16
	_, err := s.attempt(ctx, id, &Conditions{}, ev, func(r *item, e *store.Entry) (int64, error) {
		return r.Modified, s.cfg.Store.DropEpochs(ctx, r.ID, r.Modified, r.keys, gone, e)
	}, func(r *item) error {
		if !r.keyed() {
			return errNothing
		}
		if gone = r.keys.Gone(s.cfg.Now(), s.cfg.KeepEpochs, r.Epoch); len(gone) == 0 {
			return errNothing
		}
		ev.Key = &audit.KeyChange{Domain: hex.EncodeToString(r.Domain), Epoch: r.Epoch, Dropped: gone}
		return nil
	})
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	return len(gone), err
}

// erasure is what the audit entry of an erasure says of the keys that go.
func (s *Service) erasure(r *item) *audit.KeyChange {
	out := &audit.KeyChange{
		Domain: hex.EncodeToString(r.Domain), Epoch: r.Epoch, Erased: r.keys.Sums(),
		Window: int64(s.cfg.EraseWindow / time.Second),
	}
	// The keys that are left may not be all that the vault has had. For a vault that never had another, the time of its
	// id is when it came under the domain.
	out.Since = r.keys.Epochs[len(r.keys.Epochs)-1].Created
	if made, ok := pksuid.Time(prefix, r.ID); ok && !s.mayHaveMoved(r.ID) {
		out.Since = made.UnixMilli()
	}
	return out
}

// Erasure is the proof that a vault was erased.
type Erasure struct {
	At     time.Time     // when
	Since  time.Time     // since when, at least, the vault was under a domain
	Window time.Duration // after which the store has no copy of its own
	Keys   [][]byte      // SHA-384 of each wrapped key that went
	Entry  AuditEntry    // of the audit log
}

// ErrNoProof reports a vault that is not erased, or whose audit log does not say the same as what is left of its keys.
var ErrNoProof = errors.New("vault: there is no proof that the vault was erased")

// Erased returns the proof that a vault was erased: what is left of its keys, and the entry of the audit log that names
// the same. Whether the log itself is whole, package audit verifies. It needs the right to read audit logs.
// [ErrNotFound], [ErrNoProof], auth.ErrForbidden, the store's.
func (s *Service) Erased(ctx context.Context, c *Caller, id string) (*Erasure, error) {
	if err := s.permit(ctx, c, auth.OpAudit, nil, nil); err != nil {
		return nil, err
	}
	if !idRE.MatchString(id) {
		return nil, ErrNotFound
	}
	if s.cfg.Domains == nil {
		return nil, store.ErrNoDomains
	}
	k, err := s.cfg.Store.Keys(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if _, err := s.cfg.Store.Get(ctx, id); k.Erased == 0 || !errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoProof
	}
	out := &Erasure{At: time.UnixMilli(k.Erased), Keys: k.Digests}
	page := store.Page{Limit: store.MaxPage}
	for {
		entries, next, err := s.cfg.Store.Audit(ctx, id, page)
		if err != nil {
			return nil, fmt.Errorf("vault: %w", err)
		}
		for i := range entries {
			ev, err := audit.Read(&entries[i])
			if err != nil || ev.Name != audit.EventDelete || ev.Key == nil || !sameSums(ev.Key.Erased, k.Digests) {
				continue
			}
			e := &entries[i]
			out.Since, out.Window = time.UnixMilli(ev.Key.Since), time.Duration(ev.Key.Window)*time.Second
			out.Entry = AuditEntry{Event: ev, Time: e.Time, Chain: e.Chain, Seq: e.Seq, Hash: e.Hash}
			return out, nil
		}
		if page.Cursor = next; next == "" {
			return nil, ErrNoProof
		}
	}
}

func sameSums(a, b [][]byte) bool {
	return len(a) > 0 && slices.EqualFunc(a, b, func(x, y []byte) bool { return string(x) == string(y) })
}
