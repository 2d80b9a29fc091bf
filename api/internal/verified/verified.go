// Package verified remembers what a process has verified: the MACs that KMS has called genuine, so that each costs one
// call and not one for each read of what it covers, and other signatures. A MAC that is refused, or that could not be
// verified, is asked about again.
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
	seen *Set
}

// New makes MACs that asks keys and remembers up to most MACs.
func New(keys Keys, most int) *MACs { return &MACs{keys: keys, seen: NewSet(most)} }

// Verify reports whether mac is the MAC of message. Errors are those of Keys.
func (m *MACs) Verify(ctx context.Context, message, mac []byte) (bool, error) {
	sum := pair(message, mac)
	if m.seen.Has(sum) {
		return true, nil
	}
	ok, err := m.keys.VerifyMAC(ctx, message, mac)
	if ok && err == nil {
		m.seen.Add(sum)
	}
	return ok && err == nil, err
}

// pair identifies a message with its MAC. The length tells where one ends and the other begins.
func pair(message, mac []byte) Sum {
	b := make([]byte, 0, 8+len(message)+len(mac))
	b = binary.BigEndian.AppendUint64(b, uint64(len(message)))
	return sha256.Sum256(append(append(b, message...), mac...))
}

// Sum is a SHA-256 of all that was verified and of all that its verification depends on.
type Sum = [sha256.Size]byte

// Set is a bounded set of sums, safe for concurrent use. When it is full, any member makes room.
type Set struct {
	most int
	mu   sync.Mutex
	seen map[Sum]struct{}
}

// NewSet makes a set of up to most sums, 32 bytes each.
func NewSet(most int) *Set { return &Set{most: most, seen: make(map[Sum]struct{})} }

// Has reports whether the sum was added and is still there.
func (s *Set) Has(sum Sum) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.seen[sum]
	return ok
}

// Add adds a sum.
func (s *Set) Add(sum Sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= s.most {
		for old := range s.seen { // any one: the map's order is random
			delete(s.seen, old)
			break
		}
	}
	s.seen[sum] = struct{}{}
}
