package keys

import (
	"hash/maphash"
	"math/bits"
	"sync"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// This file is the keys of vaults under a domain. A request's [Key] is then an entry of its own that holds its domain.
// The cache keeps the serialized key, its contexts and its fields' keys under the domain's entry and a hash of the
// vault.

const vaultKeySize = sealed.MaxPrivateSize

// vaultHash covers what a context depends on beside its domain and its encapsulated key.
type vaultHash [2]uint64

// mix makes an id of a vault's under its domain's.
func (h vaultHash) mix(id contextID) contextID {
	for i := range id.enc {
		id.enc[i] ^= bits.RotateLeft64(h[i], 17+i)
	}
	return id
}

func (c *contexts) hashVault(vaultID, wrapped []byte) (h vaultHash) {
	for i := range h {
		var m maphash.Hash
		m.SetSeed(c.seeds[2+i])
		maphash.WriteComparable(&m, len(vaultID))
		_, _ = m.Write(vaultID) // a hash takes everything
		_, _ = m.Write(wrapped)
		h[i] = m.Sum64()
	}
	return h
}

// Vault makes the key of a request for a vault under a domain, at once. The vault counts against the domain's budget
// unless its key is kept, or the request is a reseal: nobody gets to see what a reseal opens. So that nobody may read
// the vault for nothing afterwards, a key that a reseal unwraps is not kept. Nothing is unwrapped yet: a worker does
// that, when it derives a context. Errors are *wire.Error: domain_unknown, generation_closed, overloaded beyond the
// budget, decrypt_failed for a wrapped key that is malformed or of another suite or generation.
func (c *Cache) Vault(r *Request) (Key, error) {
	if c.closed.Load() {
		return Key{}, errShuttingDown
	}
	h, err := domain.ParseHead(r.Wrapped)
	if err != nil {
		return Key{}, errMalformedKey
	}
	o := c.findDomain(*r.Domain, r.By)
	if o == nil {
		return Key{}, errDomainUnknown
	}
	fail := func(err error) (Key, error) {
		o.release()
		return Key{}, err
	}
	desc := o.keys.Descriptor()
	if h.Generation != desc.Generation || !desc.Allows(h.Suite) || h.Suite != r.Suite {
		return fail(errMalformedKey)
	}
	if h.Generation < o.rule.Lowest && !r.Reseal {
		return fail(errGenerationClosed)
	}
	e := &entry{id: o.id, domain: o, suite: h.Suite, vaultID: string(r.VaultID), wrapped: r.Wrapped, once: r.Reseal}
	e.vault = c.domains.keys.hashVault(r.VaultID, r.Wrapped)
	if !r.Reseal && !c.domains.keys.has(e.vault.mix(c.domains.keys.identify(o.id, nil))) {
		if wait := o.budget.take(c.now()); wait > 0 {
			c.domains.overBudget.Add(1)
			return fail(&wire.Error{Code: wire.Overloaded, RetryAfterMS: wait})
		}
	}
	e.wrapped = append([]byte(nil), r.Wrapped...)
	e.refs.Store(1)
	return Key{e, c}, nil
}

// has reports whether a secret is kept.
func (c *contexts) has(id contextID) bool {
	s := c.shard(&id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.index[id]
	return ok
}

// owner is the entry under which what is derived from e is kept.
func (e *entry) owner() *entry {
	if e.domain != nil {
		return &e.domain.entry
	}
	return e
}

// contextID names the context of an encapsulated key.
func (k Key) contextID(enc []byte) contextID {
	id := k.c.contexts.identify(k.e.id, enc)
	if k.e.domain != nil {
		id = k.e.vault.mix(id)
	}
	return id
}

// fieldID names the key of a field.
func (k Key) fieldID(enc, name []byte) contextID {
	id := k.c.fields.identifyField(k.e.id, enc, name)
	if k.e.domain != nil {
		id = k.e.vault.mix(id)
	}
	return id
}

// expand makes the private key of a vault under a domain, of the serialized key that is kept, or by unwrapping it. The
// caller MUST Destroy it.
func (k Key) expand() (*sealed.PrivateKey, error) {
	var buf [vaultKeySize]byte
	defer secret.Wipe(buf[:])
	all, o := &k.c.domains, k.e.domain
	id := k.e.vault.mix(all.keys.identify(o.id, nil))
	raw := buf[:k.e.suite.PrivateSize()]
	if all.keys.load(buf[:], id) {
		return sealed.NewPrivateKey(k.e.suite, raw)
	}
	key, err := o.keys.Open(raw, k.e.vaultID, k.e.wrapped)
	if err != nil {
		return nil, err
	}
	if !k.e.once {
		all.opened.Add(1)
		all.keys.store(&o.entry, id, buf[:])
	}
	return key, nil
}

// Check reports whether the key opens. One of KMS's has, or there were no Key. Error: as of package domain.
func (k Key) Check() error {
	if k.e.domain == nil {
		return nil
	}
	key, err := k.expand()
	if err != nil {
		return err
	}
	key.Destroy()
	return nil
}

// derive fills mem with the context, or the record, of an encapsulated key.
func (k Key) derive(mem, enc []byte) (reading, error) {
	k.c.derivations.Add(1)
	if k.e.domain == nil {
		context, err := k.e.key.Derive(mem, []byte(k.e.vaultID), enc)
		return reading{context: context}, err
	}
	key, err := k.expand()
	if err != nil {
		return reading{}, sealed.ErrOpen
	}
	defer key.Destroy()
	record, err := key.DeriveRecord(mem, []byte(k.e.vaultID), enc)
	return reading{record: record, refs: true}, err
}

// reading opens the fields of one encapsulated key: those of encodings 1 to 3 or, under a domain, those of encoding 4.
type reading struct {
	context sealed.Context
	record  sealed.Record
	refs    bool
}

// load makes a reading of memory that derive has filled for this key before.
func (k Key) load(mem []byte) reading {
	if k.e.domain != nil {
		return reading{record: sealed.LoadRecord(mem[:sealed.RecordSize]), refs: true}
	}
	return reading{context: sealed.LoadContext(k.e.key.Suite(), mem)}
}

func (r reading) Open(dst, name []byte, blob sealed.Blob) ([]byte, error) {
	if r.refs {
		return r.record.Open(dst, name, blob)
	}
	return r.context.Open(dst, name, blob)
}

// OpenFor opens a field that has no key of its own, which is of encoding 1 or 2, as [sealed.Context.OpenFor] does.
func (r reading) OpenFor(keep *sealed.Cipher, dst, name []byte, blob sealed.Blob) ([]byte, error) {
	if r.refs {
		return dst, sealed.ErrOpen
	}
	return r.context.OpenFor(keep, dst, name, blob)
}

func (r reading) Field(mem, name []byte) (sealed.Field, error) {
	if r.refs {
		return r.record.Field(mem, name)
	}
	return r.context.Field(mem, name)
}

// vaultBudget bounds the vaults that are opened in a domain, by two token buckets. Both start empty, so that neither
// a reboot nor a domain that is opened again gains anything.
type vaultBudget struct {
	generations int // open ones; guarded by domains.mu

	mu      sync.Mutex
	buckets []bucket
}

// bucket gains rate tokens each second, up to burst.
type bucket struct {
	rate, burst, tokens float64
	last                int64
}

const nanosecond = 1e-9

func newVaultBudget(r DomainRule, now int64) *vaultBudget {
	b := &vaultBudget{}
	if r.PerSecond > 0 {
		b.buckets = append(b.buckets, bucket{rate: float64(r.PerSecond), burst: float64(r.PerSecond), last: now})
	}
	if r.PerHour > 0 {
		rate := float64(r.PerHour) / 3600
		b.buckets = append(b.buckets, bucket{rate: rate, burst: max(1, 60*rate), last: now}) // a minute's worth
	}
	return b
}

// take takes a token of each bucket and returns 0, or takes none and returns after how many milliseconds there are
// some, at most a minute.
func (b *vaultBudget) take(now int64) (waitMS uint32) {
	if len(b.buckets) == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := 0.0
	for i := range b.buckets {
		k := &b.buckets[i]
		k.tokens = min(k.burst, k.tokens+k.rate*nanosecond*float64(max(0, now-k.last)))
		k.last = max(k.last, now)
		wait = max(wait, (1-k.tokens)/k.rate)
	}
	if wait > 0 {
		return uint32(max(1, min(60_000, wait*1000)))
	}
	for i := range b.buckets {
		b.buckets[i].tokens--
	}
	return 0
}
