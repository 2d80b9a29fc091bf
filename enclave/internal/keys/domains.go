package keys

import (
	recency "container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// Defaults and bounds of domains.
const (
	DefaultMaxDomains   = 4_096
	DefaultMaxVaultKeys = 100_000

	// DomainCost and VaultKeyCost are what an open domain, with its record, and a cached vault key take, in bytes.
	DomainCost   = 4096 + domain.MaxRecord + 4096
	VaultKeyCost = 400

	maxDomainOpens  = 4 // calls to KMS for domains at a time
	maxRefusals     = 1_024
	rememberRefusal = 30 * time.Second
)

// DomainName names one generation of a domain: the first bytes of the SHA-384 of its descriptor.
type DomainName [32]byte

// NameDomain returns the name of the domain with this hash of a descriptor.
func NameDomain(h domain.Hash) DomainName { return DomainName(h[:32]) }

// DomainOpener asks KMS for a domain's data key. What [Unwrapper] says of errors holds for it.
type DomainOpener interface {
	OpenDataKey(ctx context.Context, r DataKeyRequest) (*secret.Buffer, error)
}

// DataKeyRequest names the data key of one wrap of a domain. Its slices are borrowed for the length of the call.
type DataKeyRequest struct {
	KeyARN     string
	DomainID   string
	Generation uint16
	Wrapped    []byte
	By         Credentials
}

// DomainRule is what the configuration says of a domain.
type DomainRule struct {
	// Denied keeps the domain from being opened.
	Denied bool
	// Lowest is the lowest generation that may be used but for resealing. Generations count from 1.
	Lowest uint16
	// PerSecond and PerHour bound the vaults that are opened, of all generations together. 0: no bound.
	PerSecond, PerHour int
	// Creations bounds the generations that are made, and the wraps that are added. nil: none.
	Creations *rate.Limiter
	// Suites are those that new keys may have. nil: every one.
	Suites []sealed.Suite
}

func (r *DomainRule) allows(suites ...sealed.Suite) bool {
	for _, s := range suites {
		if r.Suites != nil && !slices.Contains(r.Suites, s) {
			return false
		}
	}
	return true
}

// DomainConfig has what domains need. Without an Opener there are none.
type DomainConfig struct {
	Opener DomainOpener
	// KeyARNs are the KMS keys that may have wrapped a domain's secret, in the order in which they are tried. A wrap of
	// another key is passed over.
	KeyARNs []string
	// Rule gives the rule of a domain id. nil: [DomainRule]'s zero value for each. It MUST NOT block.
	Rule func(id string) DomainRule
	// Moves reports whether a vault whose key this KMS key wrapped may be resealed into the domain. nil: none may. It
	// MUST NOT block.
	Moves func(keyARN, id string) bool
	// Hardware fills p with random bytes of the security module. Without it no domain is created.
	Hardware func(p []byte) error
	// MaxDomains bounds the open domains, MaxVaultKeys the vault keys that are kept, serialized, in locked memory.
	MaxDomains, MaxVaultKeys int
}

// domains are the domains that are open. The lock guards all that is not atomic.
type domains struct {
	cfg   DomainConfig
	slots chan struct{} // one for each KMS call that may run

	mu       sync.RWMutex
	byName   map[DomainName]*openDomain
	order    recency.List // of *openDomain, the one used last in front
	opening  map[domain.Hash]*domainCall
	budgets  map[string]*vaultBudget
	refusals refusals
	purges   uint64

	keys contexts // serialized vault keys

	opens, openFailures, refusalHits, opened, overBudget, unknown atomic.Uint64
}

// openDomain is one generation of a domain. Its entry has no private key of its own: it is what contexts and vault keys
// are kept under, so they go with it. The index holds one reference, each user another.
type openDomain struct {
	entry
	name   DomainName
	keys   *domain.Keys
	record *domain.Record
	rule   DomainRule
	budget *vaultBudget
	place  *recency.Element
}

// domainCall is the opening of a domain, for which others may wait.
type domainCall struct {
	record domain.Hash // of the record that is tried
	done   chan struct{}
	err    error
}

// refusals remembers the records that were refused, in a ring.
type refusals struct {
	byRecord map[domain.Hash]refusal
	ring     []domain.Hash
	next     int
}

type refusal struct {
	until int64
	err   wire.Error
}

func (r *refusals) add(h domain.Hash, v refusal) {
	if _, known := r.byRecord[h]; !known {
		if len(r.ring) < maxRefusals {
			r.ring = append(r.ring, h)
		} else {
			delete(r.byRecord, r.ring[r.next])
			r.ring[r.next] = h
			r.next = (r.next + 1) % maxRefusals
		}
	}
	r.byRecord[h] = v
}

func (d *domains) init(cfg DomainConfig) error {
	if cfg.Rule == nil {
		cfg.Rule = func(string) DomainRule { return DomainRule{} }
	}
	if cfg.Moves == nil {
		cfg.Moves = func(string, string) bool { return false }
	}
	d.cfg = cfg
	d.slots = make(chan struct{}, maxDomainOpens)
	d.byName = make(map[DomainName]*openDomain)
	d.opening = make(map[domain.Hash]*domainCall)
	d.budgets = make(map[string]*vaultBudget)
	d.refusals.byRecord = make(map[domain.Hash]refusal)
	return d.keys.init(vaultKeySize, cfg.MaxVaultKeys, nil)
}

var (
	errDomainUnknown    = &wire.Error{Code: wire.DomainUnknown}
	errGenerationClosed = &wire.Error{Code: wire.GenerationClosed}
	errBadRecord        = &wire.Error{Code: wire.BadRequest}
	errDenied           = &wire.Error{Code: wire.KeyDenied}
	errWrongSecret      = &wire.Error{Code: wire.DecryptFailed}
)

// OpenDomain opens the domain of a record, with one call to KMS for each wrap that is tried, and keeps it. It blocks
// until the domain is open or ctx ends. One call runs for each domain, and [maxDomainOpens] in all; callers with the
// same record share it. A record that was refused is refused again for 30 seconds without asking KMS. Errors are
// *wire.Error: bad_request for a malformed record, key_denied, decrypt_failed for a secret that is not the
// descriptor's, those of KMS, deadline_exceeded.
func (c *Cache) OpenDomain(ctx context.Context, record []byte, by Credentials) error {
	d := &c.domains
	if d.cfg.Opener == nil {
		return errDenied
	}
	rec, desc, err := domain.ParseRecord(record)
	if err != nil {
		return errBadRecord
	}
	if d.cfg.Rule(desc.ID).Denied {
		return errDenied
	}
	dh, sum := domain.Sum(rec.Descriptor), domain.Sum(record)
	for {
		call, mine, err := c.beginDomain(dh, sum)
		if call == nil {
			return err
		}
		if mine {
			c.runDomain(ctx, call, dh, rec, desc, by)
			return call.err
		}
		select {
		case <-call.done:
			if call.record == sum {
				return call.err
			}
		case <-ctx.Done():
			return &wire.Error{Code: wire.DeadlineExceeded}
		}
	}
}

// beginDomain returns the call to wait for, or a new one that the caller runs, or the answer if it is known.
func (c *Cache) beginDomain(dh, sum domain.Hash) (call *domainCall, mine bool, err error) {
	d := &c.domains
	d.mu.Lock()
	defer d.mu.Unlock()
	now := c.now()
	if c.closed.Load() {
		return nil, false, errShuttingDown
	}
	if o := d.byName[NameDomain(dh)]; o != nil && o.expires.Load() > now {
		return nil, false, nil
	}
	if r, ok := d.refusals.byRecord[sum]; ok && r.until > now {
		d.refusalHits.Add(1)
		return nil, false, &wire.Error{Code: r.err.Code}
	}
	if call := d.opening[dh]; call != nil {
		return call, false, nil
	}
	call = &domainCall{record: sum, done: make(chan struct{})}
	d.opening[dh] = call
	c.work.Add(1)
	return call, true, nil
}

// runDomain does the work of a call and publishes its outcome.
func (c *Cache) runDomain(
	ctx context.Context, call *domainCall, dh domain.Hash, rec *domain.Record, desc *domain.Descriptor, by Credentials,
) {
	d := &c.domains
	defer c.work.Done()
	d.mu.RLock()
	purges := d.purges
	d.mu.RUnlock()
	keys, allowed, number, err := c.openRecord(ctx, rec, desc, by, nil)
	d.opens.Add(1)
	var victim *openDomain
	d.mu.Lock()
	delete(d.opening, dh)
	switch {
	case err != nil:
		d.openFailures.Add(1)
		call.err = c.failure(err)
		if vain(err) {
			d.refusals.add(call.record, refusal{c.now() + int64(rememberRefusal), *c.failure(err)})
		}
	case c.closed.Load():
		keys.Destroy()
		call.err = errShuttingDown
	case d.purges != purges:
		keys.Destroy() // what was asked before a purge is not kept
		call.err = errOverloaded
	default:
		victim = c.keepDomain(NameDomain(dh), keys, rec, allowed, number)
	}
	d.mu.Unlock()
	close(call.done)
	c.dropDomain(victim)
}

// vain reports whether a record's failure is the record's, or the key policy's, so that asking again would be in
// vain for a while.
func vain(err error) bool {
	var coded *wire.Error
	return errors.As(err, &coded) && (coded.Code == wire.KeyDenied || coded.Code == wire.DecryptFailed) &&
		!ownFault(err) && !ofCredentials(err)
}

// openRecord asks KMS for the data keys of the record's wraps, in the configuration's order, until one opens the
// secret. use, if it is not nil, gets the secret. allowed is when KMS was asked. Of several failures the one is
// returned that may pass.
func (c *Cache) openRecord(
	ctx context.Context, rec *domain.Record, desc *domain.Descriptor, by Credentials, use func(ds []byte) error,
) (keys *domain.Keys, allowed int64, credentials uint64, err error) {
	d := &c.domains
	ctx, end, err := c.turn(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	defer end()
	err = errDenied // no wrap of a key that may be used
	for _, arn := range d.cfg.KeyARNs {
		w := rec.Find(arn)
		if w == nil {
			continue
		}
		allowed, credentials = c.now(), number(by)
		k, failure := c.openWrap(ctx, rec, desc, w, by, use)
		if failure == nil {
			return k, allowed, credentials, nil
		}
		if !vain(failure) || vain(err) {
			err = failure
		}
	}
	return nil, 0, 0, err
}

// turn waits until KMS may be asked for a domain. The caller calls end when it has asked. ctx has a deadline, and ends
// with the cache.
func (c *Cache) turn(ctx context.Context) (bounded context.Context, end func(), err error) {
	d := &c.domains
	d.mu.RLock()
	closed := c.closed.Load()
	if !closed {
		c.work.Add(1)
	}
	d.mu.RUnlock()
	if closed {
		return nil, nil, errShuttingDown
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.UnwrapTimeout)
	stop := context.AfterFunc(c.ctx, cancel)
	leave := func() {
		stop()
		cancel()
		c.work.Done()
	}
	select {
	case d.slots <- struct{}{}:
		return ctx, func() { <-d.slots; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, nil, &wire.Error{Code: wire.Overloaded}
	}
}

// openWrap recovers from a panic below, since others wait for the outcome.
func (c *Cache) openWrap(
	ctx context.Context, rec *domain.Record, desc *domain.Descriptor, w *domain.Wrap, by Credentials,
	use func(ds []byte) error,
) (keys *domain.Keys, err error) {
	defer func() {
		if recover() != nil {
			keys, err = nil, errInternal
		}
	}()
	dk, err := c.dataKey(ctx, desc.ID, desc.Generation, w.ARN, w.DataKey, by)
	if err != nil {
		return nil, err
	}
	defer dk.Destroy()
	secret.Do(func() { keys, err = openSecret(rec, w, dk, use) })
	return keys, err
}

// openSecret opens a wrap with its data key, and lends the secret to use.
func openSecret(
	rec *domain.Record, w *domain.Wrap, dk *secret.Buffer, use func(ds []byte) error,
) (*domain.Keys, error) {
	ds, err := secret.New(domain.SecretSize)
	if err != nil {
		return nil, errInternal
	}
	defer ds.Destroy()
	if w.Open(ds.Bytes(), dk.Bytes(), domain.Sum(rec.Descriptor)) != nil {
		return nil, errWrongSecret
	}
	keys, err := domain.OpenKeys(rec.Descriptor, ds.Bytes())
	switch {
	case errors.Is(err, domain.ErrSecret):
		return nil, errWrongSecret
	case err != nil || use == nil:
		return keys, err
	}
	if err := use(ds.Bytes()); err != nil {
		keys.Destroy()
		return nil, err
	}
	return keys, nil
}

// dataKey asks KMS for a domain's data key, which the caller destroys.
func (c *Cache) dataKey(
	ctx context.Context, id string, generation uint16, arn string, wrapped []byte, by Credentials,
) (*secret.Buffer, error) {
	return c.domains.cfg.Opener.OpenDataKey(ctx, DataKeyRequest{
		KeyARN: arn, DomainID: id, Generation: generation, Wrapped: wrapped, By: by,
	})
}

// keepDomain puts a domain into the index, or renews the one that is there. It returns one that makes room. The lock is
// held.
func (c *Cache) keepDomain(
	name DomainName, keys *domain.Keys, rec *domain.Record, allowed int64, credentials uint64,
) (victim *openDomain) {
	d := &c.domains
	if old := d.byName[name]; old != nil {
		keys.Destroy()
		old.expires.Store(allowed + int64(c.cfg.TTL))
		old.refreshAt.Store(c.refreshTime(allowed))
		old.allowedBy = credentials
		old.refreshing.Store(false)
		return nil
	}
	if len(d.byName) >= d.cfg.MaxDomains {
		victim, _ = d.order.Back().Value.(*openDomain)
		d.remove(victim)
	}
	id := keys.Descriptor().ID
	rule := d.cfg.Rule(id)
	b := d.budgets[id]
	if b == nil {
		b = newVaultBudget(rule, c.now())
		d.budgets[id] = b
	}
	b.generations++
	o := &openDomain{name: name, keys: keys, record: rec, rule: rule, budget: b}
	o.id, o.allowedBy = c.lastID.Add(1), credentials
	o.refs.Store(1)
	o.expires.Store(allowed + int64(c.cfg.TTL))
	o.refreshAt.Store(c.refreshTime(allowed))
	d.byName[name] = o
	o.place = d.order.PushFront(o)
	return victim
}

// remove takes o out of the index. The caller drops it once the lock is free. The lock is held.
func (d *domains) remove(o *openDomain) {
	o.dead.Store(true)
	delete(d.byName, o.name)
	d.order.Remove(o.place)
	id := o.keys.Descriptor().ID
	if o.budget.generations--; o.budget.generations == 0 {
		delete(d.budgets, id) // the next one starts empty
	}
}

// dropDomain gives up the index's hold on a domain that was removed: every vault key, context and field's key under it
// is wiped now, and the domain's own keys when the last user is done.
func (c *Cache) dropDomain(o *openDomain) {
	if o == nil {
		return
	}
	c.forgetVaults(o)
	o.release()
}

func (c *Cache) forgetVaults(o *openDomain) {
	c.domains.keys.purge(o.id)
	c.contexts.purge(o.id)
	c.fields.purge(o.id)
	c.ciphers.purge(o.id)
}

// release shadows the entry's: the last user's wipes the domain's keys.
func (o *openDomain) release() {
	switch n := o.refs.Add(-1); {
	case n == 0:
		o.keys.Destroy()
	case n < 0:
		panic("keys: a domain was released twice")
	}
}

// findDomain returns the domain with a reference for the caller, or nil.
func (c *Cache) findDomain(name DomainName, by Credentials) *openDomain {
	d := &c.domains
	now := c.now()
	d.mu.RLock()
	o := d.byName[name]
	if o == nil || o.expires.Load() <= now {
		d.mu.RUnlock()
		d.unknown.Add(1)
		return nil
	}
	o.refs.Add(1)
	d.mu.RUnlock()
	if !o.visited.Load() && o.visited.CompareAndSwap(false, true) {
		d.touch(o)
	}
	if now >= o.refreshAt.Load() && o.refreshing.CompareAndSwap(false, true) {
		c.refreshDomain(o, by)
	}
	return o
}

// touch puts o in front of the order in which domains are evicted. sweepDomains clears visited, so it happens once a
// second for each domain at most.
func (d *domains) touch(o *openDomain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !o.dead.Load() {
		d.order.MoveToFront(o.place)
	}
}

// refreshDomain asks KMS again for a domain that is still good, without anybody waiting. If KMS denies it, the domain
// and all that is under it go at once. After any other failure it stays until its TTL ends.
func (c *Cache) refreshDomain(o *openDomain, by Credentials) {
	d := &c.domains
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.closed.Load() || o.dead.Load() || by != nil && number(by) == 0 {
		o.refreshing.Store(false)
		return
	}
	c.work.Add(1)
	go func() {
		defer c.work.Done()
		keys, allowed, credentials, err := c.openRecord(c.ctx, o.record, o.keys.Descriptor(), by, nil)
		if err == nil {
			keys.Destroy()
		} else {
			d.openFailures.Add(1)
		}
		d.opens.Add(1)
		var victim *openDomain
		d.mu.Lock()
		switch {
		case o.dead.Load():
		case err == nil:
			o.expires.Store(allowed + int64(c.cfg.TTL))
			o.refreshAt.Store(c.refreshTime(allowed))
			o.allowedBy = credentials
		case vain(err), deniedNow(err) && number(by) == o.allowedBy:
			d.remove(o)
			victim = o
		default:
			c.postpone(&o.entry, c.now())
		}
		o.refreshing.Store(false)
		d.mu.Unlock()
		c.dropDomain(victim)
	}()
}

// deniedNow reports a denial, also one that other credentials might not meet.
func deniedNow(err error) bool {
	var coded *wire.Error
	return errors.As(err, &coded) && coded.Code == wire.KeyDenied && !ownFault(err)
}

// sweepDomains drops the domains that have expired, and stale refusals.
func (c *Cache) sweepDomains() {
	d := &c.domains
	var gone []*openDomain
	d.mu.Lock()
	now := c.now()
	for _, o := range d.byName {
		o.visited.Store(false)
		if o.expires.Load() <= now {
			d.remove(o)
			gone = append(gone, o)
		}
	}
	d.refusals.ring = slices.DeleteFunc(d.refusals.ring, func(h domain.Hash) bool {
		if d.refusals.byRecord[h].until > now {
			return false
		}
		delete(d.refusals.byRecord, h)
		return true
	})
	if len(d.refusals.ring) < maxRefusals {
		d.refusals.next = 0
	}
	d.mu.Unlock()
	for _, o := range gone {
		c.dropDomain(o)
	}
}

// purgeDomains drops every domain. An opening in flight is not kept.
func (c *Cache) purgeDomains() int {
	d := &c.domains
	d.mu.Lock()
	all := make([]*openDomain, 0, len(d.byName))
	for _, o := range d.byName {
		all = append(all, o)
		d.remove(o)
	}
	clear(d.refusals.byRecord)
	d.refusals.ring, d.refusals.next = nil, 0
	d.purges++
	d.mu.Unlock()
	for _, o := range all {
		c.dropDomain(o)
	}
	return len(all)
}

// purgeVaults drops the vault keys of every domain, with all that was derived from them. They are not indexed by vault:
// making them again costs no call to KMS.
func (c *Cache) purgeVaults() {
	d := &c.domains
	d.mu.RLock()
	all := make([]*openDomain, 0, len(d.byName))
	for _, o := range d.byName {
		o.refs.Add(1)
		all = append(all, o)
	}
	d.mu.RUnlock()
	for _, o := range all {
		c.forgetVaults(o)
		o.release()
	}
}
