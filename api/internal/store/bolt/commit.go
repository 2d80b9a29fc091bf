//go:build !wasip1

package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"redoubt/api/internal/store"
)

// maxGroup bounds the writes of one commit, and the writes that wait for the next.
const maxGroup = 1024

// errClosed reports a write on a closed store.
var errClosed = errors.New("bolt: closed")

// write is one queued change. It checks its conditions before it changes anything.
type write struct {
	use     use
	size    int64 // bytes that it adds, as far as is known beforehand
	removes bool  // it removes something, or replaces a value
	apply   func(*bbolt.Tx) error
	err     error
	done    chan struct{}
}

// update queues a change and waits until it is durable. A queued change is carried out whether or not ctx ends.
// update waits for it, so that its outcome is always known.
func (s *Store) update(ctx context.Context, w *write) error {
	w.done = make(chan struct{})
	s.senders.RLock()
	if s.closed {
		s.senders.RUnlock()
		return errClosed
	}
	select {
	case s.queue <- w:
		s.senders.RUnlock()
	case <-ctx.Done():
		s.senders.RUnlock()
		return ctx.Err()
	}
	<-w.done
	return w.err
}

// commit runs on the one goroutine that writes.
func (s *Store) commit() {
	defer s.done.Done()
	group := make([]*write, 0, maxGroup)
	var erase <-chan time.Time // when pages are to be erased; nil: there are none
	for {
		select {
		case <-s.swapped:
			erase = time.After(s.eraseAfter)
		case <-erase:
			erase = nil
			if wait := s.erase(); wait > 0 {
				erase = time.After(wait)
			}
		case w, ok := <-s.queue:
			if !ok {
				s.eraseLast(erase != nil)
				return
			}
			group = s.gather(append(group[:0], w))
			s.commitGroup(group)
			if erase == nil && slices.ContainsFunc(group, func(w *write) bool { return w.removes }) {
				erase = time.After(s.eraseAfter)
			}
			for _, w := range group {
				close(w.done)
			}
		}
	}
}

// gather adds the queued writes to a group.
func (s *Store) gather(group []*write) []*write {
	for len(group) < maxGroup {
		select {
		case next, ok := <-s.queue:
			if !ok {
				return group
			}
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// commitGroup commits the group in one transaction. If one write breaks it, it commits each write in its own.
func (s *Store) commitGroup(group []*write) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	group = s.admit(group)
	if len(group) == 0 {
		return
	}
	err := s.fit(group)
	if err == nil {
		return
	}
	if len(group) == 1 {
		group[0].err = err
		return
	}
	for i, w := range group {
		if err := s.fit(group[i : i+1]); err != nil {
			w.err = err
		}
	}
}

// removalTries is how often a removal is tried if the file cannot be made longer. bbolt takes free pages at random
// places, so another try may find enough of them in a row.
const removalTries = 8

// fit commits the group in one transaction. It makes the file longer as often as needed, since it is not known
// beforehand how many neighbours of a record are written with it. The caller holds s.mu.
func (s *Store) fit(group []*write) error {
	err := s.transact(group)
	for need, tries := s.reserve, 1; errors.Is(err, berrors.ErrMaxSizeReached); need *= 2 {
		if _, full := s.db.provide(s.reserve, need); full != nil {
			if tries++; tries > removalTries || !slices.ContainsFunc(group, func(w *write) bool { return w.use == forRemoval }) {
				break
			}
		}
		err = s.transact(group)
	}
	return err
}

// transact commits the group in one transaction of the file to which the store's name leads. It checks the name
// before, so that nothing is written in vain, and after, so that nothing is acknowledged that is lost: two calls of
// stat for a group. The caller holds s.mu.
func (s *Store) transact(group []*write) error {
	if s.broken.Load() || s.db.stuck.Load() {
		return errUnreadable
	}
	if err := s.db.inPlace(s.path); err != nil {
		return err
	}
	s.db.limit(s.reserve, group)
	fell, began, applied := true, 0, false
	err := guarded(func() error {
		err := s.db.Update(func(tx *bbolt.Tx) error {
			began = tx.ID()
			err := applyAll(tx, group)
			applied = err == nil
			return err
		})
		fell = false
		return err
	})
	if fell {
		s.broken.Store(true) // bbolt may have kept its lock for writing, on which the next write would wait for ever
		return err
	}
	if err != nil {
		if applied && !errors.Is(err, berrors.ErrMaxSizeReached) {
			s.db.erase.known = false // bbolt may have written any free page
		}
		return s.uncommitted(err, began)
	}
	s.db.committed()
	return s.db.inPlace(s.path)
}

// uncommitted is the error of a transaction that failed. If readers see the transaction all the same, because only
// its last step failed, to make it durable, then it is unknown whether it will stay.
func (s *Store) uncommitted(err error, began int) error {
	seen := 0
	look := func(tx *bbolt.Tx) error {
		seen = tx.ID()
		return nil
	}
	if s.db.look(look) == nil && began != 0 && seen >= began {
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	}
	if noRoom(err) {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return err
}

// applyAll runs the writes. A failed condition is the write's own error. Any other error fails the transaction.
func applyAll(tx *bbolt.Tx, group []*write) error {
	for _, w := range group {
		w.err = applyOne(tx, w)
		if w.err != nil && !conditional(w.err) {
			return w.err
		}
	}
	return nil
}

func applyOne(tx *bbolt.Tx, w *write) (err error) {
	defer func() {
		if recover() != nil {
			err = errUnreadable
		}
	}()
	return w.apply(tx)
}

func conditional(err error) bool {
	return slices.ContainsFunc([]error{
		store.ErrExists, store.ErrNotFound, store.ErrConflict, store.ErrErased, store.ErrKeyed, store.ErrEpochs,
		store.ErrEpochsFull,
	}, func(condition error) bool { return errors.Is(err, condition) })
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bolt: %w", err)
}
