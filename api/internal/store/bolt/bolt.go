//go:build !wasip1

package bolt

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/store"
)

// ErrLocked reports that another process has the file open.
var ErrLocked = errors.New("bolt: the store file is in use by another process")

// ErrFormat reports a file that is not a store of this program, or one of a newer format.
var ErrFormat = errors.New("bolt: not a store file of this version")

// ErrIsBackup reports a file that is a backup of a store.
var ErrIsBackup = errors.New("bolt: the file is a backup, not a store")

const (
	lockTimeout = 2 * time.Second
	format      = "redoubt store 1"
	formatKeyed = "redoubt store 2" // from the first write of a domain or of a vault under one
	sweepEvery  = time.Minute
	sweepBatch  = 500
	sweepers    = 64 // records removed at the same time: their writes are committed together
)

var (
	bucketMeta    = []byte("meta")
	bucketRecords = []byte("records")
	bucketAudit   = []byte("audit")
	bucketIdem    = []byte("idempotency")
	bucketExpiry  = []byte("expiry")
	keyFormat     = []byte("format")

	buckets = [][]byte{bucketMeta, bucketRecords, bucketAudit, bucketIdem, bucketExpiry}
)

// Options of a store. The zero value is usable.
type Options struct {
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// ReadOnly opens the file for reading beside other readers; it must exist. Writes fail.
	ReadOnly bool
	// Reserve is the room that is kept for removals and the audit of reads, in bytes; 0: [DefaultReserve].
	Reserve int64
	// SweepEvery is how often [Store.Sweep] looks for expired items; 0: once a minute.
	SweepEvery time.Duration

	eraseAfter time.Duration     // for tests; 0: eraseAfter
	erasing    func(step string) // for tests: called at each step of erasing
}

// Store is a store.Store on one file.
type Store struct {
	path    string
	now     func() time.Time
	reserve int64

	sweepEvery time.Duration
	queue      chan *write
	stop       chan struct{}
	done       sync.WaitGroup

	mu sync.RWMutex // held for writing only while Restore swaps the file
	db *file
	// broken says that nothing can be written to db any more. Restore, which brings another db, changes it with mu
	// held.
	broken atomic.Bool

	damaged      atomic.Uint64
	inconsistent atomic.Uint64

	copies    chan struct{} // holds one element for each copy that is being made or sent
	snapshots atomic.Int32  // transactions of the copies that are being made
	swapped   chan struct{} // holds one element if db is another file, of which nothing is erased yet

	eraseAfter time.Duration
	erasing    func(step string)

	closing sync.Once
	senders sync.RWMutex // writers hold it for reading while they enqueue
	closed  bool         // under senders
}

var _ store.Store = (*Store)(nil)

// Open opens the store file. It makes the file if it does not exist. ErrLocked, ErrFormat, ErrDamaged, ErrIsBackup.
func Open(path string, o Options) (*Store, error) {
	path, err := durable.Resolve(path)
	if err != nil {
		return nil, wrap(err)
	}
	db, err := open(path, openAs{readOnly: o.ReadOnly})
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		sweepStaged(path)
	}
	return start(path, db, o), nil
}

// start serves from an open file.
func start(path string, db *file, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = sweepEvery
	}
	if o.eraseAfter == 0 {
		o.eraseAfter = eraseAfter
	}
	if o.erasing == nil {
		o.erasing = func(string) {}
	}
	s := &Store{
		path: path, now: o.Now, reserve: o.Reserve, db: db, queue: make(chan *write, maxGroup), stop: make(chan struct{}),
		copies: make(chan struct{}, maxCopies), swapped: make(chan struct{}, 1),
		sweepEvery: o.SweepEvery, eraseAfter: o.eraseAfter, erasing: o.erasing,
	}
	if !o.ReadOnly {
		_, _ = db.provide(s.reserve, 0) // without room the store serves what it can
		s.swapped <- struct{}{}
	}
	s.done.Add(1)
	go s.commit()
	return s
}

// Close commits what is queued and closes the file.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		s.senders.Lock()
		s.closed = true
		close(s.queue)
		s.senders.Unlock()
		close(s.stop)
		s.done.Wait()
		if s.broken.Load() || s.db.stuck.Load() {
			err = errors.Join(errUnreadable, s.db.f.Close()) // which frees the lock; bbolt would wait for its own
			return
		}
		err = s.db.Close()
	})
	return err
}

// Damaged counts how often a record or an audit entry was met that cannot be read.
func (s *Store) Damaged() uint64 { return s.damaged.Load() }

// Ping checks that the file can be read, is as long as it should be, is still the one to which its name leads, and
// has room. It returns store.ErrFull last: then everything but the room is well.
func (s *Store) Ping(context.Context) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	if s.broken.Load() {
		return errUnreadable
	}
	err := s.view(func(tx *bbolt.Tx) error {
		info, err := s.db.f.Stat()
		if err != nil {
			return wrap(err)
		}
		if info.Size() < tx.Size() {
			return damaged("it was cut to %d bytes of %d", info.Size(), tx.Size())
		}
		return checkFormat(tx)
	})
	if err == nil && s.Full() {
		err = errFull
	}
	return err
}

func (s *Store) view(fn func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.look(fn)
}
