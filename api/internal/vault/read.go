package vault

import (
	"context"
	"fmt"
	"strings"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/domain"
)

// Presence reports which of the named fields a vault has, and its entity tag. Names that are not in the schema are
// dropped, as the reference does. Errors: [ErrNotFound], auth.ErrForbidden, the store's.
func (s *Service) Presence(ctx context.Context, c *Caller, id string, names []string) (map[string]bool, string, error) {
	var fields []string
	for _, raw := range names {
		name := schema.Normalize(raw)
		if _, ok := s.cfg.Schema.Lookup(name); ok {
			fields = append(fields, name)
		}
	}
	if err := s.permit(ctx, c, auth.OpRead, fields, nil); err != nil {
		return nil, "", err
	}
	r, err := s.get(ctx, id)
	if err != nil {
		return nil, "", err
	}
	out := make(map[string]bool, len(fields))
	for _, name := range fields {
		_, out[name] = r.Fields[name]
	}
	return out, tag(r.Modified), nil
}

// List returns one page of vaults and the next cursor. Errors: store.ErrCursor, auth.ErrForbidden, the store's, and
// KMS's if there is a cursor.
func (s *Service) List(ctx context.Context, c *Caller, p store.Page) ([]store.Summary, string, error) {
	if err := s.permit(ctx, c, auth.OpList, nil, nil); err != nil {
		return nil, "", err
	}
	var err error
	if p.Cursor, err = s.openCursor(ctx, listVaults, p.Cursor); err != nil {
		return nil, "", err
	}
	list, next, err := s.cfg.Store.List(ctx, p)
	if err != nil {
		return nil, "", fmt.Errorf("vault: %w", err)
	}
	if next, err = s.sealCursor(ctx, listVaults, next); err != nil {
		return nil, "", err
	}
	return list, next, nil
}

// AuditEntry is one line of a vault's audit log.
type AuditEntry struct {
	audit.Event
	Time  int64 // Unix microseconds
	Chain string
	Seq   uint64
	Hash  []byte
}

// Audit returns one page of the log of a vault, or of a domain (domain.ID), oldest first, and the next cursor. A
// vault that was removed keeps its log.
// Errors: [ErrNotFound] for a vault without any entry, store.ErrCursor, auth.ErrForbidden, the store's.
func (s *Service) Audit(ctx context.Context, c *Caller, id string, p store.Page) ([]AuditEntry, string, error) {
	if err := s.permit(ctx, c, auth.OpAudit, nil, nil); err != nil {
		return nil, "", err
	}
	if of, isDomain := strings.CutPrefix(id, "domain."); !idRE.MatchString(id) && (!isDomain || !domain.ValidID(of)) {
		return nil, "", ErrNotFound
	}
	var err error
	if p.Cursor, err = s.openCursor(ctx, listAudit+id, p.Cursor); err != nil {
		return nil, "", err
	}
	list, next, err := s.cfg.Store.Audit(ctx, id, p)
	if err != nil {
		return nil, "", fmt.Errorf("vault: %w", err)
	}
	if next, err = s.sealCursor(ctx, listAudit+id, next); err != nil {
		return nil, "", err
	}
	if len(list) == 0 && p.Cursor == "" {
		return nil, "", ErrNotFound
	}
	out := make([]AuditEntry, len(list))
	for i := range list {
		e := &list[i]
		ev, err := audit.Read(e)
		if err != nil { // a damaged entry hides no other; audit verify reports it
			ev = audit.Event{VaultID: e.VaultID, Name: store.EventUnreadable}
		}
		out[i] = AuditEntry{Event: ev, Time: e.Time, Chain: e.Chain, Seq: e.Seq, Hash: e.Hash}
	}
	return out, next, nil
}
