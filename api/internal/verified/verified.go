// Package verified remembers the MACs that KMS has verified for a process, so that each costs one call and not one for
// each read of what it covers. Only what KMS has called genuine is remembered: a MAC that is refused, or that could not
// be verified, is asked about again.
package verified

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// Keys verifies MACs under the API's KMS HMAC key.
type Keys interface {
	VerifyMAC(ctx context.Context, message, mac []byte) (bool, error)
}

// MACs is safe for concurrent use.
type MACs struct {
	keys Keys
	most int

	mu   sync.Mutex
	seen map[[sha256.Size]byte]struct{}
}

// New makes MACs that asks keys and remembers up to most MACs, 32 bytes each. When it is full, any one makes room.
func New(keys Keys, most int) *MACs {
	return &MACs{keys: keys, most: most, seen: make(map[[sha256.Size]byte]struct{})}
}

// Verify reports whether mac is the MAC of message. Errors are those of Keys.
func (m *MACs) Verify(ctx context.Context, message, mac []byte) (bool, error) {
	sum := pair(message, mac)
	if m.has(sum) {
		return true, nil
	}
	ok, err := m.keys.VerifyMAC(ctx, message, mac)
	if ok && err == nil {
		m.add(sum)
	}
	return ok && err == nil, err
}

// pair identifies a message with its MAC. The length tells where one ends and the other begins.
func pair(message, mac []byte) [sha256.Size]byte {
	b := make([]byte, 0, 8+len(message)+len(mac))
	b = binary.BigEndian.AppendUint64(b, uint64(len(message)))
	return sha256.Sum256(append(append(b, message...), mac...))
}

func (m *MACs) has(sum [sha256.Size]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.seen[sum]
	return ok
}

func (m *MACs) add(sum [sha256.Size]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) >= m.most {
		for old := range m.seen { // any one: the map's order is random
			delete(m.seen, old)
			break
		}
	}
	m.seen[sum] = struct{}{}
}
