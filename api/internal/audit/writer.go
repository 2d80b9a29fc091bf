package audit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"redoubt/api/internal/store"
)

// maxVaults bounds the vaults whose chains a writer remembers. A vault that was forgotten gets a new chain.
const maxVaults = 16_384

// writer chains entries under one key. A process is one writer, until its store is replaced.
type writer struct {
	id     string
	began  time.Time
	key    atomic.Pointer[key]
	asking singleflight.Group

	mu     sync.Mutex
	serial uint64
	vaults map[string]*vaultChains
	epoch  *epoch // in which entries are begun
	armed  bool   // a checkpoint is due at some time

	sealing sync.Mutex // held while a checkpoint is made; it also guards the two fields below
	closing *epoch     // has ended, and is in no checkpoint yet
	last    tally      // the tally in the store
}

// epoch counts the entries that were begun in some stretch of time. All fields except idle are protected by the
// writer's mu.
type epoch struct {
	number  uint64
	flying  int    // entries that are being written
	stored  uint64 // entries that were stored
	unknown tally  // its Unknown and Unlisted are used
	ended   bool
	idle    chan struct{} // closed when the epoch has ended and none of its entries is being written
}

func newEpoch(number uint64) *epoch { return &epoch{number: number, idle: make(chan struct{})} }

// empty reports whether the epoch has nothing to count.
func (e *epoch) empty() bool {
	return e.flying == 0 && e.stored == 0 && len(e.unknown.Unknown) == 0 && e.unknown.Unlisted == 0
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

func makeWriter(now time.Time) *writer {
	return &writer{id: newWriter(), began: now, vaults: make(map[string]*vaultChains), epoch: newEpoch(1)}
}

// ready returns the writer's key, after it has stored the writer's first checkpoint. From then on verify knows that
// there must be one. This is done once, however many callers wait. A failure is not remembered. It does not end with
// the request that began it, since others wait for it too.
func (w *writer) ready(ctx context.Context, cfg *Config) (*key, error) {
	if k := w.key.Load(); k != nil {
		return k, nil
	}
	got, err, _ := w.asking.Do("", func() (any, error) {
		if k := w.key.Load(); k != nil {
			return k, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
		defer cancel()
		k, err := writerKey(ctx, cfg.Keys, w.id)
		if err != nil {
			return nil, err
		}
		first := tally{Writer: w.id, Began: w.began.UnixMicro(), Time: w.began.UnixMicro()}
		if err := w.keep(ctx, cfg, k, &first); err != nil {
			return nil, err
		}
		w.key.Store(k)
		return k, nil
	})
	k, _ := got.(*key)
	return k, err
}

// wipe overwrites the key. No entry of the writer may be in the process of being written.
func (w *writer) wipe() {
	if k := w.key.Swap(nil); k != nil {
		k.wipe()
	}
}

// take finds a free chain of the vault or begins one, and counts the entry as begun in the epoch.
func (w *writer) take(ctx context.Context, s store.Store, ev *Event) (*chain, *epoch, error) {
	w.mu.Lock()
	now := w.epoch
	now.flying++
	v := w.vaults[ev.VaultID]
	if v != nil && len(v.free) > 0 {
		c := v.free[len(v.free)-1]
		v.free = v.free[:len(v.free)-1]
		w.mu.Unlock()
		return c, now, nil
	}
	w.serial++
	c := &chain{id: chainName(w.id, w.serial)}
	if v != nil {
		c.link = v.head
	}
	w.mu.Unlock()
	if c.link != nil || ev.Name == EventCreate && ev.Outcome == OutcomeOK {
		return c, now, nil
	}
	last, err := s.LastAudit(ctx, ev.VaultID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return c, now, nil
	case err != nil:
		w.abandon(now)
		return nil, nil, err
	}
	c.link = last.Hash
	c.time = last.Time
	return c, now, nil
}

// leave counts an entry as no longer being written. The caller holds mu.
func (w *writer) leave(e *epoch) {
	if e.flying--; e.flying == 0 && e.ended {
		close(e.idle)
	}
}

// abandon is leave for an entry that was never made.
func (w *writer) abandon(e *epoch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leave(e)
}

// done records how the write of an entry ended. due tells the caller to arm the next checkpoint.
func (w *writer) done(p *Pending, err error) (due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.leave(p.epoch)
	switch {
	case err == nil:
		p.epoch.stored++
		p.chain.seq, p.chain.hash, p.chain.time, p.chain.link = p.entry.Seq, p.entry.Hash, p.entry.Time, nil
	case !definite(err):
		p.epoch.unknown.note(p.entry.Hash)
	}
	if err == nil || definite(err) {
		w.put(p.entry.VaultID, p.chain)
	}
	due, w.armed = !w.armed, true
	return due
}

// definite reports whether nothing was stored after this error.
func definite(err error) bool {
	return !errors.Is(err, store.ErrUnknownOutcome) && (errors.Is(err, store.ErrNotFound) ||
		errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrFull) ||
		errors.Is(err, store.ErrThrottled))
}

// put gives a chain back. Chains that never got an entry are dropped.
func (w *writer) put(vaultID string, c *chain) {
	if c.seq == 0 {
		return
	}
	v := w.vaults[vaultID]
	if v == nil {
		if len(w.vaults) >= maxVaults {
			for id := range w.vaults { // any one: the map's order is random
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
