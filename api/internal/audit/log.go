package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"redoubt/api/internal/store"
)

// maxVaults bounds the vaults whose chains a process remembers. A vault that was forgotten gets a new chain.
const maxVaults = 16_384

// Log writes entries. It is safe for concurrent use.
type Log struct {
	store  store.Store
	now    func() time.Time
	writer string

	// gate is held for reading from Begin to Done, and for writing while the store is replaced.
	gate sync.RWMutex

	mu     sync.Mutex
	serial uint64
	vaults map[string]*vaultChains
}

// vaultChains are the chains of one vault that no request uses at the moment.
type vaultChains struct {
	free []*chain
	head []byte // hash of the newest entry that this process wrote
}

// chain is the end of one hash chain.
type chain struct {
	id   string
	seq  uint64
	hash []byte
	time int64
	link []byte
}

// New makes a log whose chains carry a name of their own, made at random.
func New(s store.Store, now func() time.Time) *Log {
	return &Log{store: s, now: now, writer: rand.Text(), vaults: make(map[string]*vaultChains)}
}

// Pending is an entry on its way to the store. Done must be called once.
type Pending struct {
	log   *Log
	chain *chain
	entry *store.Entry
}

// Entry is the entry to be stored.
func (p *Pending) Entry() *store.Entry { return p.entry }

// Begin makes the next entry of a chain of the vault, for a write to carry. The error is the store's.
func (l *Log) Begin(ctx context.Context, ev Event) (*Pending, error) {
	content, err := bodyOf(&ev)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l.gate.RLock()
	c, err := l.take(ctx, ev)
	if err != nil {
		l.gate.RUnlock()
		return nil, fmt.Errorf("audit: %w", err)
	}
	e := &store.Entry{
		VaultID: ev.VaultID, Time: max(l.now().UnixMicro(), c.time+1), Event: ev.Name, Reason: ev.Reason,
		Fields: ev.Fields, Chain: c.id, Seq: c.seq + 1, Prev: c.hash, Link: c.link, Body: b,
	}
	e.Hash = Hash(e)
	return &Pending{log: l, chain: c, entry: e}, nil
}

// Done tells how the write ended. After a failure that leaves open whether the entry was stored, its chain is left
// as it is and never continued.
func (p *Pending) Done(err error) {
	l := p.log
	defer l.gate.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		p.chain.seq, p.chain.hash, p.chain.time, p.chain.link = p.entry.Seq, p.entry.Hash, p.entry.Time, nil
	case errors.Is(err, store.ErrUnknownOutcome) || !definite(err):
		return
	}
	l.put(p.entry.VaultID, p.chain)
}

// definite tells errors after which nothing was stored.
func definite(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrExists) ||
		errors.Is(err, store.ErrFull)
}

// Write stores an entry by itself.
func (l *Log) Write(ctx context.Context, ev Event) error {
	p, err := l.Begin(ctx, ev)
	if err != nil {
		return err
	}
	err = store.ErrUnknownOutcome // what a panic leaves
	defer func() { p.Done(err) }()
	if err = l.store.AppendAudit(ctx, p.Entry()); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Replace runs fn, which replaces the content of the store, while no entry is on its way, and begins new chains
// after it: those of before continue entries that may be gone.
func (l *Log) Replace(fn func() error) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	err := fn()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.vaults)
	return err
}

// take finds a free chain of the vault or begins one.
func (l *Log) take(ctx context.Context, ev Event) (*chain, error) {
	l.mu.Lock()
	v := l.vaults[ev.VaultID]
	if v != nil && len(v.free) > 0 {
		c := v.free[len(v.free)-1]
		v.free = v.free[:len(v.free)-1]
		l.mu.Unlock()
		return c, nil
	}
	l.serial++
	c := &chain{id: l.writer + "-" + strconv.FormatUint(l.serial, 36)}
	if v != nil {
		c.link = v.head
	}
	l.mu.Unlock()
	if c.link != nil || ev.Name == EventCreate && ev.Outcome == OutcomeOK {
		return c, nil
	}
	last, err := l.store.LastAudit(ctx, ev.VaultID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c, nil
	case err != nil:
		return nil, err
	}
	c.link = last.Hash
	c.time = last.Time
	return c, nil
}

// put gives a chain back. Chains that never got an entry are dropped.
func (l *Log) put(vaultID string, c *chain) {
	if c.seq == 0 {
		return
	}
	v := l.vaults[vaultID]
	if v == nil {
		if len(l.vaults) >= maxVaults {
			for id := range l.vaults { // any: the map's order is random
				delete(l.vaults, id)
				break
			}
		}
		v = &vaultChains{}
		l.vaults[vaultID] = v
	}
	v.free = append(v.free, c)
	v.head = c.hash
}
