package vault

import (
	"context"
	"errors"
	"fmt"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/domain"
)

// ErrNoDomain reports that there is no such domain, or no such generation of it.
var ErrNoDomain = errors.New("vault: no such domain")

// Domain returns a generation of a domain that is believed; generation 0: the highest active one. Callers that ask an
// enclave themselves hand its record over. It needs the right to read. [ErrNoDomain], auth.ErrForbidden,
// domains.ErrUntrusted, store.ErrNoDomains, the store's.
func (s *Service) Domain(ctx context.Context, c *Caller, id string, generation uint16) (*domains.Domain, error) {
	return s.domain(ctx, c, func() (*domains.Domain, error) {
		if !domain.ValidID(id) {
			return nil, ErrNoDomain
		}
		if generation == 0 {
			return s.cfg.Domains.Current(ctx, id)
		}
		return s.cfg.Domains.Get(ctx, id, generation)
	})
}

// DomainByHash returns the domain with a descriptor of this hash. It is otherwise as Domain.
func (s *Service) DomainByHash(ctx context.Context, c *Caller, h domain.Hash) (*domains.Domain, error) {
	return s.domain(ctx, c, func() (*domains.Domain, error) { return s.cfg.Domains.Stored(ctx, h) })
}

func (s *Service) domain(ctx context.Context, c *Caller, find func() (*domains.Domain, error)) (
	*domains.Domain, error,
) {
	if err := s.permit(ctx, c, auth.OpRead, nil, nil); err != nil {
		return nil, err
	}
	if s.cfg.Domains == nil {
		return nil, store.ErrNoDomains
	}
	d, err := find()
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, domains.ErrUnknown):
		return nil, ErrNoDomain
	case err != nil:
		return nil, fmt.Errorf("vault: %w", err)
	}
	return d, nil
}
