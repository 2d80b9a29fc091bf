package audit

import (
	"context"
	"slices"
	"time"
)

// arm makes sure that what was written gets into a checkpoint within Every. The caller holds the gate for reading.
func (l *Log) arm() {
	w := l.writer
	time.AfterFunc(l.cfg.Every, func() { l.due(w) })
}

// due makes a checkpoint of a writer, unless it has stopped writing.
func (l *Log) due(w *writer) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.closed || l.writer != w {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sealTimeout)
	defer cancel()
	err := w.seal(ctx, &l.cfg)
	w.mu.Lock()
	w.armed = err != nil || !w.epoch.empty() // it failed, or more was begun meanwhile
	again := w.armed
	w.mu.Unlock()
	if again {
		l.arm()
	}
}

// Checkpoint counts all entries that were begun before it in a checkpoint, and stores it. It waits for entries that
// are being written. The error is the store's, or the context's.
func (l *Log) Checkpoint(ctx context.Context) error {
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.closed {
		return ErrClosed
	}
	return l.writer.seal(ctx, &l.cfg)
}

// seal ends the epoch and stores a checkpoint that counts it. An epoch ends only when the one before is in a
// checkpoint. So an entry shows that there is a checkpoint of the epoch before the last, and verify notices if an
// older one was put back. The caller holds the gate for reading.
func (w *writer) seal(ctx context.Context, cfg *Config) error {
	w.sealing.Lock()
	defer w.sealing.Unlock()
	k := w.key.Load()
	if k == nil {
		return nil // nothing was written
	}
	if w.closing == nil {
		if w.closing = w.end(); w.closing == nil {
			return nil
		}
	}
	select {
	case <-w.closing.idle:
	case <-ctx.Done():
		cfg.Kept(nil, ctx.Err())
		return ctx.Err()
	}
	next := w.last
	next.Time, next.Through = cfg.Now().UnixMicro(), w.closing.number
	next.Entries += w.closing.stored
	next.Unknown = slices.Clone(next.Unknown)
	for _, mac := range w.closing.unknown.Unknown {
		next.note(mac)
	}
	next.Unlisted += w.closing.unknown.Unlisted
	if err := w.keep(ctx, cfg, k, &next); err != nil {
		return err
	}
	w.closing = nil
	return nil
}

// end ends the epoch, unless it counts nothing.
func (w *writer) end() *epoch {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.epoch
	if old.empty() {
		return nil
	}
	w.epoch = newEpoch(old.number + 1)
	if old.ended = true; old.flying == 0 {
		close(old.idle)
	}
	return old
}

// keep stores a tally.
func (w *writer) keep(ctx context.Context, cfg *Config, k *key, t *tally) error {
	c, err := k.sign(t)
	if err == nil {
		err = cfg.Store.PutCheckpoint(ctx, c)
	}
	if err != nil {
		cfg.Kept(nil, err)
		return err
	}
	w.last = *t
	cfg.Kept(c, nil)
	return nil
}
