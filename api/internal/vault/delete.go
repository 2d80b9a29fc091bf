package vault

import (
	"context"
	"slices"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/store"
)

// DeleteRequest removes fields of a vault, or the whole vault.
type DeleteRequest struct {
	ID     string
	All    bool // wins over Fields
	Fields []string
	If     Conditions
}

// Delete removes what the request names, and with a field the fields that were derived from it. With neither All nor
// Fields it does nothing to an existing vault. Errors as for Patch.
func (s *Service) Delete(ctx context.Context, c *Caller, req *DeleteRequest) error {
	if req.All {
		return s.deleteAll(ctx, c, req)
	}
	ev := &audit.Event{
		Caller: c.audit(), VaultID: req.ID, Name: audit.EventUpdate, Fields: s.cfg.Schema.Recordable(req.Fields),
		Reason: audit.ReasonRemoveFields,
	}
	fields, err := s.cfg.Schema.ResolveRemoved(req.Fields)
	if err != nil {
		return s.refuse(ctx, ev, codeInvalid, err)
	}
	if err := s.permit(ctx, c, auth.OpDelete, s.with(fields), ev); err != nil {
		return err
	}
	if len(fields) == 0 {
		_, err := s.matching(ctx, req.ID, &req.If)
		return err
	}
	_, err = s.change(ctx, req.ID, &req.If, ev, func(r *item) (*change, error) {
		leaving := s.leaving(r.Record, fields)
		ev.Fields = s.removed(r.Record, leaving)
		return &change{Update: &store.Update{
			Remove: leaving, Own: own(r.Record, nil, leaving), DropEncs: unused(r.Record, leaving),
		}}, nil
	})
	return err
}

// removed lists the fields that an audit entry names. A name that is neither in the schema nor in the record may be
// any text, so it is left out.
func (s *Service) removed(r *store.Record, fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(name string) bool {
		_, known := s.cfg.Schema.Lookup(name)
		_, stored := r.Fields[name]
		return !known && !stored
	})
}

// deleteAll removes a vault. One under a domain is erased: its keys go with it, and can never come back by the API.
func (s *Service) deleteAll(ctx context.Context, c *Caller, req *DeleteRequest) error {
	ev := &audit.Event{Caller: c.audit(), VaultID: req.ID, Name: audit.EventDelete}
	if err := s.permit(ctx, c, auth.OpDelete, []string{auth.AllFields}, ev); err != nil {
		return err
	}
	now := s.cfg.Now()
	_, err := s.attempt(ctx, req.ID, &req.If, ev, func(r *item, e *store.Entry) (int64, error) {
		if r.keyed() {
			return 0, s.cfg.Store.Erase(ctx, r.ID, r.Modified, r.keys, now.UnixMilli(), e)
		}
		return 0, s.cfg.Store.Delete(ctx, r.ID, r.Modified, e)
	}, func(r *item) error {
		ev.Key, ev.Reason = nil, ""
		if r.keyed() {
			ev.Key, ev.Reason = s.erasure(r), audit.ReasonErased
		}
		return nil
	})
	if err == nil && ev.Key != nil {
		s.counts.erases.Add(1)
	}
	return err
}

// Expiring begins the audit entry of a vault that the store is about to remove because its time to live has passed.
// The store keeps the entry together with the removal. Done is told how that ended. The error is the store's, or that
// of the log's key.
func (s *Service) Expiring(ctx context.Context, id string) (*audit.Pending, error) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	return s.log.Begin(ctx, audit.Event{
		Caller: audit.Caller{Principal: audit.Expirer}, VaultID: id, Name: audit.EventDelete,
		Reason: audit.ReasonExpired, Outcome: audit.OutcomeOK,
	})
}
