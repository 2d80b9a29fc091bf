package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"redoubt/api/internal/store"
)

// asked describes an idempotent request: the key of its item in the store, and the part of the MAC's message that
// comes before the id of the vault that was made.
type asked struct {
	key     string
	content []byte
}

// ask describes a request. Its key is hashed with the principal. The request is kept under a MAC, since a plain hash
// of few digits could be guessed. The MAC covers the vault's id, since an attacker who can write to the store could
// otherwise lead a retry to a vault of his own.
func ask(c *Caller, req *CreateRequest, values map[string]string) *asked {
	who := appendPart(appendPart(nil, []byte(c.Name)), []byte(req.IdempotencyKey))
	content := binary.BigEndian.AppendUint64(nil, uint64(req.TTL))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		content = appendPart(appendPart(content, []byte(name)), []byte(values[name]))
	}
	sum := sha256.Sum256(content)
	clear(content)
	key := sha256.Sum256(who)
	return &asked{
		key: hex.EncodeToString(key[:]), content: append(appendPart([]byte(bodyDomain), who), sum[:]...),
	}
}

func (a *asked) message(vaultID string) []byte {
	return appendPart(slices.Clip(a.content), []byte(vaultID))
}

// remember makes the item of a request that is about to make a vault. It returns nil for a request without a key.
func (s *Service) remember(ctx context.Context, a *asked, vaultID string) (*store.Idempotency, error) {
	if a == nil {
		return nil, nil
	}
	mac, err := s.cfg.Keys.MAC(ctx, a.message(vaultID))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &store.Idempotency{
		Key: a.key, MAC: mac, VaultID: vaultID, ExpireAt: s.cfg.Now().Add(IdempotencyTTL).Unix(),
	}, nil
}

// replay answers a request that was made before. It returns nil without error if the request is new, or has no key.
func (s *Service) replay(ctx context.Context, a *asked) (*Created, error) {
	if a == nil {
		return nil, nil
	}
	old, err := s.cfg.Store.Idempotency(ctx, a.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	ok, err := s.cfg.Keys.VerifyMAC(ctx, a.message(old.VaultID), old.MAC)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if !ok {
		return nil, ErrIdempotency
	}
	if _, err := s.get(ctx, old.VaultID); errors.Is(err, ErrNotFound) || errors.Is(err, store.ErrErased) {
		return nil, ErrGone
	} else if err != nil {
		return nil, err
	}
	return &Created{ID: old.VaultID, Replayed: true}, nil
}
