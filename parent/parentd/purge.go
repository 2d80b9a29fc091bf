package parentd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"redoubt/parent/internal/pool"
	"redoubt/wire"
)

const (
	// purgeTimeout bounds the wait for enclaves.
	purgeTimeout = 5 * time.Second
	// maxPurgeBody bounds the body of a purge.
	maxPurgeBody = 4 << 10
)

// These are errors in the form of a purge.
var (
	errPurgeType     = errors.New("content-type must be application/json")
	errPurgeEncoding = errors.New("content-encoding must be absent")
	errPurgeBody     = errors.New(`body must be {}, or {"vault_id": "..."} with 1 to 256 bytes`)
)

// purgeAnswer says which enclaves confirmed.
type purgeAnswer struct {
	Status   string        `json:"status"` // purged, if all of them confirmed; else incomplete
	Enclaves []pool.Purged `json:"enclaves"`
}

// purge answers POST /purge: every enclave forgets the keys and contexts of one vault, or all. It is 200 if all
// enclaves confirmed, and otherwise 503: then what is to be forgotten may still be used until its TTL ends. A content
// type is required because a page of another origin cannot send it without this listener's permission.
func (a *Parent) purge(w http.ResponseWriter, r *http.Request) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, errPurgeType)
		return
	}
	if r.Header.Values("Content-Encoding") != nil {
		refuse(w, http.StatusUnsupportedMediaType, errPurgeEncoding)
		return
	}
	m, err := parsePurge(http.MaxBytesReader(w, r.Body, maxPurgeBody))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), purgeTimeout)
	defer cancel()
	said := a.pool.Purge(ctx, m)
	confirmed, keys := 0, uint64(0)
	for _, p := range said {
		if p.Confirmed {
			confirmed++
			keys += p.Keys
		}
	}
	ok := len(said) > 0 && confirmed == len(said)
	a.metrics.Purged(ok)
	attrs := []any{
		slog.Bool("one_vault", len(m.VaultID) > 0), slog.Int("enclaves", len(said)), slog.Int("confirmed", confirmed),
		slog.Uint64("keys", keys),
	}
	if !ok {
		a.log.Warn("a purge was not confirmed by every enclave", attrs...)
		answer(w, http.StatusServiceUnavailable, purgeAnswer{"incomplete", said})
		return
	}
	a.log.Info("caches were purged", attrs...)
	answer(w, http.StatusOK, purgeAnswer{"purged", said})
}

// parsePurge reads the body strictly: a misspelt key, or a null, must not purge everything.
func parsePurge(body io.Reader) (*wire.Purge, error) {
	b, err := io.ReadAll(body)
	var in map[string]*string
	if err != nil || json.Unmarshal(b, &in) != nil || in == nil {
		return nil, errPurgeBody
	}
	m := &wire.Purge{}
	for key, value := range in {
		if key != "vault_id" || value == nil || *value == "" {
			return nil, errPurgeBody
		}
		m.VaultID = []byte(*value)
	}
	if m.Validate() != nil {
		return nil, errPurgeBody
	}
	return m, nil
}
