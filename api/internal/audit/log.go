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

// Config of a log. All fields are required.
type Config struct {
	Store store.Store
	Keys  Keys
	Now   func() time.Time
}

// Log writes entries. It is safe for concurrent use.
type Log struct {
	cfg Config

	// gate is held for reading from Begin to Done, and for writing while the store is replaced or the log closed.
	gate   sync.RWMutex
	writer *writer
	closed bool
}

// ErrClosed reports a log that was closed.
var ErrClosed = errors.New("audit: closed")

// New makes a log. It asks for nothing before its first entry.
func New(cfg Config) *Log { return &Log{cfg: cfg, writer: makeWriter()} }

// Pending is an entry on its way to the store. Done must be called once.
type Pending struct {
	log   *Log
	chain *chain
	entry *store.Entry
}

// Entry is the entry to be stored.
func (p *Pending) Entry() *store.Entry { return p.entry }

// Begin makes the next entry of a chain of the vault, for a write to carry. Without the writer's key there is no entry.
// Errors: [ErrClosed], those of Keys and of the store.
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
	k, err := l.writer.ready(ctx, l.cfg.Keys)
	if err != nil {
		return nil, err
	}
	content, err := bodyOf(ev)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	c, err := l.writer.take(ctx, l.cfg.Store, ev)
	if err != nil {
		return nil, err
	}
	e := &store.Entry{
		VaultID: ev.VaultID, Time: max(l.cfg.Now().UnixMicro(), c.time+1), Event: ev.Name, Reason: ev.Reason,
		Fields: ev.Fields, Chain: c.id, Seq: c.seq + 1, Prev: c.hash, Link: c.link, Body: b,
	}
	e.Hash = k.sum(e)
	return &Pending{log: l, chain: c, entry: e}, nil
}

// Done tells how the write ended. After a failure that leaves open whether the entry was stored, its chain is left
// as it is and never continued.
func (p *Pending) Done(err error) {
	defer p.log.gate.RUnlock()
	p.log.writer.done(p, err)
}

// Write stores an entry by itself.
func (l *Log) Write(ctx context.Context, ev Event) error {
	p, err := l.Begin(ctx, ev)
	if err != nil {
		return err
	}
	err = store.ErrUnknownOutcome // what a panic leaves
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
	_, err := l.writer.ready(ctx, l.cfg.Keys)
	return err
}

// Replace runs fn, which replaces the content of the store, while no entry is on its way. What follows has another
// writer: the chains of before continue entries that may be gone.
func (l *Log) Replace(fn func() error) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	err := fn()
	l.writer.wipe()
	l.writer = makeWriter()
	return err
}

// Close waits for the entries that are on their way, and overwrites the writer's key. Copies that the library for MACs
// made of it are left to the garbage collector.
func (l *Log) Close() {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.closed = true
	l.writer.wipe()
}
