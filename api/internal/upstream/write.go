package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/parentapi"
)

// CreateDomain asks an enclave for a new generation of a domain. What it answers counts for nothing before its document
// is verified. The error is an [*Error].
func (c *Client) CreateDomain(ctx context.Context, m *parentapi.CreateDomain) (*parentapi.CreatedDomain, error) {
	return ask[parentapi.CreatedDomain](ctx, c, parentapi.PathDomains, nil, nil, func([][]byte) any { return m })
}

// WrapDomain asks an enclave for one more wrap of a domain, or to open its record alone. The error is an [*Error].
func (c *Client) WrapDomain(ctx context.Context, m *parentapi.WrapDomain) (*parentapi.WrappedDomain, error) {
	return ask[parentapi.WrappedDomain](ctx, c, parentapi.PathDomainWrap, nil, nil, func([][]byte) any { return m })
}

// Mint asks for keys of new vaults. It returns as many as were asked for, whose statements are not verified yet. The
// error is an [*Error].
func (c *Client) Mint(ctx context.Context, m *Mint) ([]parentapi.VaultKey, error) {
	w := parentapi.Mint{Domain: nameOf(m.Domain[:]), Suite: m.Suite, Count: m.Count}
	domains := []domain.Hash{m.Domain}
	out, err := ask[parentapi.Minted](ctx, c, parentapi.PathVaultKeys, m.Records, domains, func(records [][]byte) any {
		w.DomainRecords = records
		return &w
	})
	if err != nil {
		return nil, err
	}
	if len(out.Keys) != m.Count {
		return nil, &Error{Code: wire.Internal, Err: errAnswer}
	}
	return out.Keys, nil
}

// Reseal asks for a vault's fields under a new key. The answer has exactly the fields that were sent; its statements
// are not verified yet. The error is an [*Error], which names the fields that do not open.
func (c *Client) Reseal(ctx context.Context, r *Reseal) (*parentapi.Resealed, error) {
	old, err := c.encode(r.Old)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Code == wire.DecryptFailed {
			e.Fields = slices.Sorted(maps.Keys(r.Old.Fields))
		}
		return nil, err
	}
	domains := r.Old.domains()
	if !slices.Contains(domains, r.To) {
		domains = append(domains, r.To)
	}
	w := parentapi.Reseal{Old: old, To: nameOf(r.To[:]), Suite: r.Suite, Epoch: r.Epoch}
	out, err := ask[parentapi.Resealed](ctx, c, parentapi.PathReseal, r.Old.Records, domains, func(records [][]byte) any {
		old.DomainRecords = records
		return &w
	})
	if err != nil {
		return nil, err
	}
	if len(out.Encs) != min(len(old.Fields), 1) || len(out.Fields) != len(old.Fields) || out.Key.VaultID != r.Old.VaultID {
		return nil, &Error{Code: wire.Internal, Err: errAnswer}
	}
	for name := range old.Fields {
		if _, ok := out.Fields[name]; !ok {
			return nil, &Error{Code: wire.Internal, Err: errAnswer}
		}
	}
	return out, nil
}

// ask posts what request makes of the records that are handed over, and reads the answer. The request is sent again as
// those of Decrypt are: what an enclave makes twice counts for nothing until it is stored.
func ask[T any](
	ctx context.Context, c *Client, path string, records Records, domains []domain.Hash, request func([][]byte) any,
) (*T, error) {
	deadline := c.deadline(ctx)
	var out *T
	err := handingOver(ctx, records, domains, func(given [][]byte) error {
		body, err := json.Marshal(request(given))
		if err != nil {
			return &Error{Code: wire.Internal, Err: errors.New("request not encodable")}
		}
		return c.send(ctx, deadline, path, body, func(answer []byte) error {
			out = new(T)
			if json.Unmarshal(answer, out) != nil {
				return &Error{Code: wire.Internal, Err: errAnswer}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
