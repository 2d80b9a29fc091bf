package audit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"redoubt/api/internal/store"
)

// maxVaults bounds the vaults whose chains a writer remembers. A vault that was forgotten gets a new chain.
const maxVaults = 16_384

// writer is what chains its entries under one key: a process, until its store is replaced.
type writer struct {
	id     string
	key    atomic.Pointer[key]
	asking singleflight.Group

	mu     sync.Mutex
	serial uint64
	vaults map[string]*vaultChains
}

// vaultChains are the chains of one vault that no request uses at the moment.
type vaultChains struct {
	free []*chain
	head []byte // MAC of the newest entry of this writer
}

// chain is the end of one chain.
type chain struct {
	id   string
	seq  uint64
	hash []byte
	time int64
	link []byte
}

func makeWriter() *writer { return &writer{id: newWriter(), vaults: make(map[string]*vaultChains)} }

// ready returns the writer's key. However many wait, it is asked for once; a failure is not remembered. The call does
// not end with the request that began it, since others wait for it too.
func (w *writer) ready(ctx context.Context, keys Keys) (*key, error) {
	if k := w.key.Load(); k != nil {
		return k, nil
	}
	got, err, _ := w.asking.Do("", func() (any, error) {
		if k := w.key.Load(); k != nil {
			return k, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
		defer cancel()
		k, err := writerKey(ctx, keys, w.id)
		if err == nil {
			w.key.Store(k)
		}
		return k, err
	})
	k, _ := got.(*key)
	return k, err
}

// wipe overwrites the key. No entry of the writer may be on its way.
func (w *writer) wipe() {
	if k := w.key.Swap(nil); k != nil {
		k.wipe()
	}
}

// take finds a free chain of the vault or begins one.
func (w *writer) take(ctx context.Context, s store.Store, ev *Event) (*chain, error) {
	w.mu.Lock()
	v := w.vaults[ev.VaultID]
	if v != nil && len(v.free) > 0 {
		c := v.free[len(v.free)-1]
		v.free = v.free[:len(v.free)-1]
		w.mu.Unlock()
		return c, nil
	}
	w.serial++
	c := &chain{id: chainName(w.id, w.serial)}
	if v != nil {
		c.link = v.head
	}
	w.mu.Unlock()
	if c.link != nil || ev.Name == EventCreate && ev.Outcome == OutcomeOK {
		return c, nil
	}
	last, err := s.LastAudit(ctx, ev.VaultID)
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

// done notes how the write of an entry ended.
func (w *writer) done(p *Pending, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		p.chain.seq, p.chain.hash, p.chain.time, p.chain.link = p.entry.Seq, p.entry.Hash, p.entry.Time, nil
	case !definite(err):
		return
	}
	w.put(p.entry.VaultID, p.chain)
}

// definite tells errors after which nothing was stored.
func definite(err error) bool {
	return !errors.Is(err, store.ErrUnknownOutcome) && (errors.Is(err, store.ErrNotFound) ||
		errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrFull))
}

// put gives a chain back. Chains that never got an entry are dropped.
func (w *writer) put(vaultID string, c *chain) {
	if c.seq == 0 {
		return
	}
	v := w.vaults[vaultID]
	if v == nil {
		if len(w.vaults) >= maxVaults {
			for id := range w.vaults { // any: the map's order is random
				delete(w.vaults, id)
				break
			}
		}
		v = &vaultChains{}
		w.vaults[vaultID] = v
	}
	v.free = append(v.free, c)
	v.head = c.hash
}
