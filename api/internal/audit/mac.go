package audit

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"redoubt/api/internal/store"
)

// Keys gives MACs under a key that no writer of the store has. Package kmsclient implements it with KMS.
type Keys interface {
	MAC(ctx context.Context, message []byte) ([]byte, error)
}

// These are the domains. None is the beginning of another message that the key in KMS signs (package vault).
const (
	// writerDomain and a writer's name form a message. Its MAC is that writer's key.
	writerDomain = "redoubt/v1/audit-writer\x00"
	// entryDomain begins the message of an entry's MAC.
	entryDomain = "redoubt/v2/audit\x00"
)

const (
	// keyedPrefix begins the names of chains whose entries carry MACs.
	keyedPrefix = "m1."
	// keyTimeout bounds the wait for a writer's key. That wait does not end with the request that asked first.
	keyTimeout = 5 * time.Second
)

// writerRE matches a writer's name: 130 random bits.
var writerRE = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func newWriter() string { return rand.Text() }

// chainName names the nth chain of a writer.
func chainName(writer string, n uint64) string {
	return keyedPrefix + writer + "-" + strconv.FormatUint(n, 36)
}

// writerOf is the writer of a chain. For the chains of earlier releases, whose hashes have no key, keyed is false.
// For a name that is not one of ours the writer is empty.
func writerOf(chain string) (writer string, keyed bool) {
	rest, keyed := strings.CutPrefix(chain, keyedPrefix)
	if !keyed {
		return "", false
	}
	writer, _, _ = strings.Cut(rest, "-")
	if !writerRE.MatchString(writer) {
		writer = ""
	}
	return writer, true
}

// key is the key of one writer. It is safe for concurrent use.
type key struct {
	secret []byte
	states sync.Pool // of *macState, so that an entry's MAC needs no setting up
}

type macState struct {
	mac  hash.Hash
	text []byte
}

// writerKey asks for the key of a writer.
func writerKey(ctx context.Context, keys Keys, writer string) (*key, error) {
	secret, err := keys.MAC(ctx, []byte(writerDomain+writer))
	switch {
	case err != nil:
		return nil, err
	case len(secret) != sha256.Size:
		return nil, errors.New("audit: the MAC key is not an HMAC_256 key")
	}
	return newKey(secret), nil
}

func newKey(secret []byte) *key {
	k := &key{secret: secret}
	k.states.New = func() any { return &macState{mac: hmac.New(sha256.New, k.secret)} }
	return k
}

// sum is the entry's MAC: HMAC-SHA-256 over the domain and all attributes, each preceded by its length.
func (k *key) sum(e *store.Entry) []byte {
	s := k.states.Get().(*macState)
	defer k.states.Put(s)
	s.text = appendEntry(s.text[:0], entryDomain, e)
	return s.sum()
}

// over is the MAC of a domain and a message.
func (k *key) over(domain string, message []byte) []byte {
	s := k.states.Get().(*macState)
	defer k.states.Put(s)
	s.text = append(append(s.text[:0], domain...), message...)
	return s.sum()
}

func (s *macState) sum() []byte {
	s.mac.Reset()
	s.mac.Write(s.text)
	return s.mac.Sum(nil)
}

func (k *key) genuine(e *store.Entry) bool { return hmac.Equal(e.Hash, k.sum(e)) }

// wipe overwrites the key. Nothing may use it any more.
func (k *key) wipe() { clear(k.secret) }

// keyring asks for each writer's key once.
type keyring struct {
	keys  Keys
	known map[string]*key
}

func newKeyring(keys Keys) *keyring { return &keyring{keys: keys, known: map[string]*key{}} }

// ErrKeys reports that the log could not be checked, because the key to check it with was not available.
var ErrKeys = errors.New("audit: no key to verify with")

// of returns the key of a writer. Error: [ErrKeys].
func (r *keyring) of(ctx context.Context, writer string) (*key, error) {
	if k := r.known[writer]; k != nil {
		return k, nil
	}
	k, err := writerKey(ctx, r.keys, writer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	r.known[writer] = k
	return k, nil
}

func (r *keyring) wipe() {
	for _, k := range r.known {
		k.wipe()
	}
}
