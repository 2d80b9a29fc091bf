package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"

	"redoubt/api/internal/store"
)

// Cursors of lists are the store's cursors, sealed. So a caller's cursor shows no id, which may be of a vault that
// was removed. A cursor that was made up or belongs to another list is refused. The key is a KMS MAC. So every
// process with the same MAC key, behind a balancer or on Lambda, reads the cursors of the others.

// maxCursor bounds the text of a cursor.
const maxCursor = 1024

// These are the lists. Each has cursors of its own. A vault's id follows listAudit.
const (
	listVaults = "vaults\x00"
	listAudit  = "audit\x00"
)

// sealCursor makes the text for the caller, which is empty at the end of the list. Errors: those of KMS.
func (s *Service) sealCursor(ctx context.Context, list, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	aead, err := s.cursorKey(ctx)
	if err != nil {
		return "", err
	}
	sealed := aead.Seal(nil, nil, []byte(cursor), []byte(list)) //nolint:gosec // the nonce is random, and the AEAD's own
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openCursor reverses sealCursor. Errors: store.ErrCursor, those of KMS.
func (s *Service) openCursor(ctx context.Context, list, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if len(text) > maxCursor {
		return "", store.ErrCursor
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return "", store.ErrCursor
	}
	aead, err := s.cursorKey(ctx)
	if err != nil {
		return "", err
	}
	cursor, err := aead.Open(nil, nil, sealed, []byte(list))
	if err != nil {
		return "", store.ErrCursor
	}
	return string(cursor), nil
}

func (s *Service) cursorKey(ctx context.Context) (cipher.AEAD, error) {
	key, err := s.cursors.get(ctx, s.cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("vault: cursors: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
