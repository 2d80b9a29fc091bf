package vault

import (
	"context"
	"encoding/binary"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// These are the domains of what the MAC key signs. None is the beginning of another.
const (
	bindDomain = "redoubt/v1/public-key\x00"
	bodyDomain = "redoubt/v1/idempotency\x00"
	// sourceDomain is a whole message. Its MAC is the key for the hashes of expressions' sources.
	sourceDomain = "redoubt/v1/expression-source\x00"
	// cursorDomain is a whole message too. Its MAC is the key of cursors.
	cursorDomain = "redoubt/v1/cursor\x00"
	// maxBound bounds the records whose MAC is remembered as verified.
	maxBound = 65_536
)

// bindMessage is what the MAC of a record covers: vault id, suite and public key, each preceded by its length.
func bindMessage(id string, suite, public []byte) []byte {
	m := appendPart([]byte(bindDomain), []byte(id))
	m = appendPart(m, suite)
	return appendPart(m, public)
}

func appendPart(m, part []byte) []byte {
	m = binary.BigEndian.AppendUint32(m, uint32(len(part)))
	return append(m, part...)
}

// verifyKey checks that the record's public key is the one that the API made. For a record without a MAC it checks
// that the record may be one of the reference's. Error: [ErrKeyUnverified].
func (s *Service) verifyKey(ctx context.Context, r *store.Record) error {
	if r.KeyMAC == nil {
		made, ok := pksuid.Time(prefix, r.ID)
		if !ok || !made.Before(s.cfg.Cutover) {
			return ErrKeyUnverified
		}
		return nil
	}
	message := bindMessage(r.ID, r.Suite, r.PublicKey)
	ok, err := s.bound.Verify(ctx, message, r.KeyMAC)
	if err != nil {
		return err
	}
	if !ok {
		return ErrKeyUnverified
	}
	return nil
}
