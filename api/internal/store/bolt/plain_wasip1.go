package bolt

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
)

// This file is the package where there are no files to map into memory: for simulations. Each path names a store in
// memory, which lives as long as the process and so outlives those that open it. Package memory says what it leaves
// out; what copies or checks a file is errors.ErrUnsupported.

// Errors of the package; here nothing returns them but ErrLocked.
var (
	ErrLocked   = errors.New("bolt: the store file is in use by another process")
	ErrFormat   = errors.New("bolt: not a store file of this version")
	ErrIsBackup = errors.New("bolt: the file is a backup, not a store")
	ErrBackup   = errors.New("bolt: not an intact backup")
	ErrNotKeys  = errors.New("bolt: not the keys of that backup")

	ErrKeysApart = errors.New("bolt: the backup's keys are in a file of their own")
	ErrDamaged   = store.ErrDamaged
)

// sweepEvery is how often expired records are removed.
const sweepEvery = time.Minute

// stores has the stores of this process by their paths, and which of them are open.
var stores = struct {
	sync.Mutex
	byPath map[string]*memory.Store
	open   map[string]bool
}{byPath: map[string]*memory.Store{}, open: map[string]bool{}}

// Options of a store.
type Options struct {
	Now        func() time.Time
	ReadOnly   bool
	Reserve    int64
	SweepEvery time.Duration
}

// Store is a store.Store in memory.
type Store struct {
	*memory.Store
	path  string
	every time.Duration
	stop  context.CancelFunc
	until context.Context
	done  sync.WaitGroup
}

// Open opens the store of a path. ErrLocked.
func Open(path string, o Options) (*Store, error) {
	stores.Lock()
	defer stores.Unlock()
	if stores.open[path] && !o.ReadOnly {
		return nil, ErrLocked
	}
	if stores.byPath[path] == nil {
		stores.byPath[path] = memory.New(o.Now)
	}
	s := &Store{Store: stores.byPath[path], path: path, every: o.SweepEvery}
	if s.every == 0 {
		s.every = sweepEvery
	}
	if o.ReadOnly {
		s.path = ""
	} else {
		stores.open[path] = true
	}
	s.until, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.stop()
	s.done.Wait()
	stores.Lock()
	defer stores.Unlock()
	delete(stores.open, s.path)
	return nil
}

// Expiry is described at the other form of this package.
type Expiry func(ctx context.Context, vaultID string) (e *store.Entry, done func(error), err error)

// Sweep begins to remove expired items.
func (s *Store) Sweep(begin Expiry) {
	s.done.Go(func() {
		tick := time.NewTicker(s.every)
		defer tick.Stop()
		for {
			select {
			case <-s.until.Done():
				return
			case <-tick.C:
			}
			for _, id := range s.Due() {
				if e, done, err := begin(s.until, id); err == nil {
					done(s.Expire(id, e))
				}
			}
		}
	})
}

// Damaged counts what cannot be read: nothing.
func (s *Store) Damaged() uint64 { return 0 }

// Full reports whether only the reserve is left: never.
func (s *Store) Full() bool { return false }

// Identity identifies the store.
func (s *Store) Identity() string { return "memory:" + s.path }

// IdentityOf is the identity of a path's store, "" without one.
func IdentityOf(path string) string {
	stores.Lock()
	defer stores.Unlock()
	if stores.byPath[path] == nil {
		return ""
	}
	return "memory:" + path
}

// Inspection is the result of Inspect.
type Inspection struct {
	Records int      `json:"records"`
	Entries int      `json:"audit_entries"`
	Damaged []string `json:"damaged"`
}

// Inspect counts what there is.
func (s *Store) Inspect(context.Context) (*Inspection, error) {
	records, entries := s.Counts()
	return &Inspection{Records: records, Entries: entries, Damaged: []string{}}, nil
}

// Backup is not supported.
func (s *Store) Backup(io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

// Keyed reports whether there are keys that a backup would keep apart: as far as backups go, none.
func (s *Store) Keyed() (bool, error) { return false, nil }

// BackupRecords is not supported.
func (s *Store) BackupRecords(io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

// BackupKeys is not supported.
func (s *Store) BackupKeys(io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

// Restore is not supported.
func (s *Store) Restore(io.Reader, func(func() error) error) error { return errors.ErrUnsupported }

// Join is not supported.
func Join(io.Reader, io.Reader, string, io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

// RestoreFile is not supported.
func RestoreFile(io.Reader, string) error { return errors.ErrUnsupported }

// ReadBackup is not supported.
func ReadBackup(io.Reader, string) (*Store, error) { return nil, errors.ErrUnsupported }

// Check is not supported.
func Check(string) error { return errors.ErrUnsupported }
