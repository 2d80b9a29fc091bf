package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"redoubt/api/internal/store"
)

// DefaultEvery is the longest time that an entry is in no checkpoint.
const DefaultEvery = 5 * time.Minute

// sealTimeout bounds the making of a checkpoint: the wait for entries whose write has not ended, and its own write.
const sealTimeout = 30 * time.Second

// Config of a log. Store, Keys and Now are required.
type Config struct {
	Store store.Store
	Keys  Keys
	Now   func() time.Time
	// Every is the time from an entry to the checkpoint that counts it, DefaultEvery by default.
	Every time.Duration
	// Kept, unless nil, is called with each checkpoint that was stored, or with the error why it was not. It must not
	// call the log.
	Kept func(*store.Checkpoint, error)
}

// Log writes entries. It is safe for concurrent use.
type Log struct {
	cfg Config

	// gate is held for reading from Begin to Done. It is held for writing while the store is replaced or the log
	// closed.
	gate   sync.RWMutex
	writer *writer
	closed bool
}

// ErrClosed reports a log that was closed.
var ErrClosed = errors.New("audit: closed")

// New makes a log. It asks for nothing before its first entry.
func New(cfg Config) *Log {
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Kept == nil {
		cfg.Kept = func(*store.Checkpoint, error) {}
	}
	return &Log{cfg: cfg, writer: makeWriter(cfg.Now())}
}

// Pending is an entry whose write has not ended. Done must be called once.
type Pending struct {
	log   *Log
	epoch *epoch
	chain *chain
	entry *store.Entry
}

// Entry is the entry to be stored.
func (p *Pending) Entry() *store.Entry { return p.entry }

// Begin makes the next entry of a chain of the vault, to be stored with a write. Without the writer's key there is no
// entry. Errors: [ErrClosed], those of Keys and of the store.
func (l *Log) Begin(ctx context.Context, ev Event) (*Pending, error) {
	l.gate.RLock()
	p, err := l.begin(ctx, &ev)
	if err != nil {
		l.gate.RUnlock()
		return nil, fmt.Errorf("audit: %w", err)
	}
	return p, nil
}

func (l *Log) begin(ctx context.Context, ev *Event) (*Pending, error) {
	if l.closed {
		return nil, ErrClosed
	}
	w := l.writer
	k, err := w.ready(ctx, &l.cfg)
	if err != nil {
		return nil, err
	}
	content, err := bodyOf(ev)
	if err != nil {
		return nil, err
	}
	c, epoch, err := w.take(ctx, l.cfg.Store, ev)
	if err != nil {
		return nil, err
	}
	content.Epoch = epoch.number
	b, err := json.Marshal(content)
	if err != nil {
		w.abandon(epoch)
		return nil, err
	}
	e := &store.Entry{
		VaultID: ev.VaultID, Time: max(l.cfg.Now().UnixMicro(), c.time+1), Event: ev.Name, Reason: ev.Reason,
		Fields: ev.Fields, Chain: c.id, Seq: c.seq + 1, Prev: c.hash, Link: c.link, Body: b,
	}
	e.Hash = k.sum(e)
	return &Pending{log: l, epoch: epoch, chain: c, entry: e}, nil
}

// Done records how the write ended. After a failure that leaves open whether the entry was stored, its chain is left
// as it is and never continued.
func (p *Pending) Done(err error) {
	defer p.log.gate.RUnlock()
	if due := p.log.writer.done(p, err); due {
		p.log.arm()
	}
}

// Write stores an entry by itself.
func (l *Log) Write(ctx context.Context, ev Event) error {
	p, err := l.Begin(ctx, ev)
	if err != nil {
		return err
	}
	err = store.ErrUnknownOutcome // the outcome after a panic
	defer func() { p.Done(err) }()
	if err = l.cfg.Store.AppendAudit(ctx, p.Entry()); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Ready asks for what the first entry needs, if it is not there yet. Errors as for [Log.Begin].
func (l *Log) Ready(ctx context.Context) error {
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.closed {
		return ErrClosed
	}
	_, err := l.writer.ready(ctx, &l.cfg)
	return err
}

// Replace runs fn, which replaces the content of the store, while no entry is being written. Later entries have a new
// writer, since the chains so far continue entries that may be gone.
func (l *Log) Replace(fn func() error) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	err := fn()
	l.writer.wipe()
	l.writer = makeWriter(l.cfg.Now())
	return err
}

// Close waits for the entries that are being written, stores a checkpoint that counts them all, and overwrites the
// writer's key. Copies of the key that the MAC library made are left to the garbage collector. The error says why
// there is no checkpoint. The log is closed all the same.
func (l *Log) Close(ctx context.Context) error {
	err := l.Checkpoint(ctx)
	l.gate.Lock()
	defer l.gate.Unlock()
	l.closed = true
	l.writer.wipe()
	return err
}
