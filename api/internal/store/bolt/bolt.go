package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

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
	sweepEvery  = time.Minute
	sweepBatch  = 500
)

var (
	bucketMeta    = []byte("meta")
	bucketRecords = []byte("records")
	bucketAudit   = []byte("audit")
	bucketIdem    = []byte("idempotency")
	bucketExpiry  = []byte("expiry")
	keyFormat     = []byte("format")
)

// Options of a store. The zero value is usable.
type Options struct {
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// ReadOnly opens the file for reading beside other readers; it must exist. Writes fail.
	ReadOnly bool
}

// Store is a store.Store on one file.
type Store struct {
	path  string
	now   func() time.Time
	queue chan *write
	stop  chan struct{}
	done  sync.WaitGroup

	mu sync.RWMutex // held for writing only while Restore swaps the file
	db *bbolt.DB

	closing sync.Once
	senders sync.RWMutex // writers hold it for reading while they enqueue
	closed  bool         // under senders
}

var _ store.Store = (*Store)(nil)

// Open opens the store file, making it if it does not exist. ErrLocked, ErrFormat,
// ErrIsBackup.
func Open(path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := open(path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, now: o.Now, db: db, queue: make(chan *write, maxGroup), stop: make(chan struct{})}
	s.done.Add(1)
	go s.commit()
	if !o.ReadOnly {
		s.done.Add(1)
		go s.sweep(context.Background())
	}
	return s, nil
}

func open(path string, readOnly bool) (*bbolt.DB, error) {
	if !readOnly {
		if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("bolt: %w", err)
		}
	}
	before, _ := os.Stat(path)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch),
		errors.Is(err, bolterrors.ErrChecksum):
		if isBackup(path) {
			return nil, ErrIsBackup
		}
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case err != nil:
		return nil, fmt.Errorf("bolt: %w", err)
	}
	err = prepare(db, readOnly)
	if after, _ := os.Stat(path); err == nil && before != nil && !os.SameFile(before, after) {
		err = ErrLocked // by a restore, which has replaced the file while we waited for its lock
	}
	if err == nil && !readOnly {
		err = wrap(durable.SyncDir(filepath.Dir(path))) // the file may be new
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare makes the buckets of a new file and checks the format of an old one.
func prepare(db *bbolt.DB, readOnly bool) error {
	check := func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil || string(meta.Get(keyFormat)) != format {
			return ErrFormat
		}
		return nil
	}
	if readOnly {
		return db.View(check)
	}
	return db.Update(func(tx *bbolt.Tx) error {
		if first, _ := tx.Cursor().First(); first != nil {
			return check(tx)
		}
		for _, b := range [][]byte{bucketMeta, bucketRecords, bucketAudit, bucketIdem, bucketExpiry} {
			if _, err := tx.CreateBucket(b); err != nil {
				return fmt.Errorf("bolt: %w", err)
			}
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, []byte(format))
	})
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
		err = s.db.Close()
	})
	return err
}

// Ping tells whether the file can be read.
func (s *Store) Ping(context.Context) error {
	return s.view(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketMeta) == nil {
			return ErrFormat
		}
		return nil
	})
}

func (s *Store) view(fn func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.View(fn)
}
