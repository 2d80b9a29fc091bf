package keys

import (
	"sync/atomic"

	"redoubt/wire/kit/sealed"
)

// entry is one key. The shard's maps and lists together hold one reference, and each [Key] holds another. The last
// one to be released destroys the private key.
type entry struct {
	refs       atomic.Int32
	dead       atomic.Bool  // not in the cache, or no longer: no context may be kept for it
	contexts   atomic.Bool  // a context, or a field's key, was kept for it at some time
	visited    atomic.Bool  // used since the eviction hand last passed
	refreshing atomic.Bool  // a refresh runs, or is being started
	refreshAt  atomic.Int64 // a hit from here on starts a refresh
	expires    atomic.Int64

	id      uint64             // never given twice; contexts are kept under it
	key     *sealed.PrivateKey // nil under a domain
	vaultID string

	// Of a vault under a domain, whose entry serves one request and is in no shard.
	domain  *openDomain
	suite   sealed.Suite
	wrapped []byte
	vault   vaultHash
	once    bool // for a reseal: what is unwrapped is not kept
	hash    identity

	allowedBy uint64 // the credentials to which KMS last allowed the key, 0: not known; guarded by shard.mu
	// The credentials with which a refresh failed for a reason of their own. They start no refresh until
	// refusedUntil.
	refusedBy    atomic.Uint64
	refusedUntil atomic.Int64

	links [2]link // in the shard's two lists
}

type link struct{ prev, next *entry }

// Key is a reference to a private key. It MUST be released exactly once, and not be used after that. Until then
// neither expiry nor a purge destroys the key. Its zero value is no key.
type Key struct {
	e *entry
	c *Cache
}

// Release gives the reference back.
func (k Key) Release() {
	if k.e != nil {
		k.e.release()
	}
}

// Suite returns the key's suite.
func (k Key) Suite() sealed.Suite {
	if k.e.domain != nil {
		return k.e.suite
	}
	return k.e.key.Suite()
}

func (e *entry) release() {
	switch n := e.refs.Add(-1); {
	case n == 0 && e.domain != nil:
		e.domain.release()
	case n == 0:
		e.key.Destroy()
	case n < 0:
		panic("keys: a key was released twice")
	}
}

// list is a doubly linked list of entries through links[which].
type list struct {
	which      int
	head, tail *entry
}

func (l *list) pushHead(e *entry) {
	e.links[l.which] = link{next: l.head}
	if l.head != nil {
		l.head.links[l.which].prev = e
	} else {
		l.tail = e
	}
	l.head = e
}

func (l *list) remove(e *entry) {
	at := e.links[l.which]
	if at.prev != nil {
		at.prev.links[l.which].next = at.next
	} else {
		l.head = at.next
	}
	if at.next != nil {
		at.next.links[l.which].prev = at.prev
	} else {
		l.tail = at.prev
	}
	e.links[l.which] = link{}
}
