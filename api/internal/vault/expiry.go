package vault

import (
	"context"

	"redoubt/api/internal/audit"
)

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
