// Package mackey holds the deployment's key of the expression function hmac_sha256, for the enclave's evaluator.
//
// # Guarantee
//
// The key is asked for as soon as a session has credentials. KMS is asked with the credentials of each session until
// one is answered. The key is asked for again before its time ends. If KMS refuses it to all sessions, it is
// forgotten at once. If KMS cannot be asked, the key works on until the time since the last success is over. Without
// a key the function fails: it never gives a digest without it. The key lies in memory outside the Go heap; see
// package secret.
//
// # Limits
//
// crypto/hmac copies the key, padded and mixed with constants, into the state of each digest. That copy lies on the
// Go heap until the memory is used again.
package mackey

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

// ErrNone reports that there is no key at the moment.
var ErrNone = errors.New("no hmac key")

// MinSize is the least size of the key in bytes.
const MinSize = 32

const (
	firstPause = 250 * time.Millisecond
	longPause  = 30 * time.Second
)

// Unwrap asks KMS for the key. The caller owns the buffer.
type Unwrap func(ctx context.Context) (*secret.Buffer, error)

// Key holds the key, once it is known. It implements expr.MAC.
type Key struct {
	unwrap Unwrap
	ttl    time.Duration
	wake   chan struct{}

	mu    sync.RWMutex
	key   *secret.Buffer
	until time.Time
}

// New returns a Key that has no key yet; see [Key.Run].
func New(ttl time.Duration, unwrap Unwrap) *Key {
	return &Key{unwrap: unwrap, ttl: ttl, wake: make(chan struct{}, 1)}
}

// HMACSHA256 appends HMAC-SHA-256(key, message) to dst. Error: [ErrNone].
func (k *Key) HMACSHA256(dst, message []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.key == nil || time.Now().After(k.until) {
		return dst, ErrNone
	}
	h := hmac.New(sha256.New, k.key.Bytes())
	h.Write(message)
	return h.Sum(dst), nil
}

// Forget wipes the key. Run asks for it again.
func (k *Key) Forget() {
	k.set(nil, time.Time{})
	k.Nudge()
}

// Nudge makes Run try at once if the key is missing or due, for instance because there are new credentials.
func (k *Key) Nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run keeps the key until ctx ends, and then wipes it.
func (k *Key) Run(ctx context.Context) {
	defer k.set(nil, time.Time{})
	pause := firstPause
	for {
		left := k.left()
		if left <= 0 {
			k.set(nil, time.Time{}) // the key's time is over, or there is no key
		}
		wait := left - k.ttl/5
		if wait <= 0 {
			if k.renew(ctx) {
				pause = firstPause
				continue
			}
			wait, pause = pause, min(2*pause, longPause)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-k.wake:
			t.Stop()
			pause = firstPause
		case <-t.C:
		}
	}
}

// left is how long the key may still be used; 0 without a key.
func (k *Key) left() time.Duration {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.key == nil {
		return 0
	}
	return time.Until(k.until)
}

// renew asks for the key once.
func (k *Key) renew(ctx context.Context) bool {
	asked := time.Now()
	key, err := k.unwrap(ctx)
	if err == nil && key.Len() < MinSize {
		key.Destroy()
		err = &wire.Error{Code: wire.KeyDenied}
	}
	if err != nil {
		if errors.Is(err, &wire.Error{Code: wire.KeyDenied}) {
			k.set(nil, time.Time{})
		}
		return false
	}
	k.set(key, asked.Add(k.ttl))
	return true
}

func (k *Key) set(key *secret.Buffer, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key.Destroy()
	k.key, k.until = key, until
}
