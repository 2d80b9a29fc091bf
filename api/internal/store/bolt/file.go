//go:build !wasip1

package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/store"
)

// ErrReplaced reports that the store's name leads to another file than the open one, or to none. Writes to
// the open file are lost when the process ends.
var ErrReplaced = fmt.Errorf("bolt: the store file was replaced or removed while it was in use: "+
	"put it back, or restart to use the new one: %w", store.ErrUnavailable)

// errUnreadable is the error that callers get for a panic of bbolt or a fault.
var errUnreadable = damaged("a page of it cannot be read")

const lockRetry = 50 * time.Millisecond

// file is an open store file.
type file struct {
	*bbolt.DB
	f     *os.File // bbolt's own, which holds the lock
	info  os.FileInfo
	page  int64       // size of a page
	stuck atomic.Bool // see reading
	tail  tail
	erase eraser
}

// look runs fn in a read transaction.
func (f *file) look(fn func(*bbolt.Tx) error) error {
	return f.reading(func(began *bool) error {
		return f.View(func(tx *bbolt.Tx) error {
			*began = true
			return fn(tx)
		})
	})
}

// reading runs a function that begins a read transaction. If the beginning fails on a page that cannot be read, bbolt
// keeps a lock for which all others would wait for ever. So none is begun after that.
func (f *file) reading(fn func(began *bool) error) error {
	if f.stuck.Load() {
		return errUnreadable
	}
	began := false
	err := guarded(func() error { return fn(&began) })
	if !began && errors.Is(err, errUnreadable) {
		f.stuck.Store(true)
	}
	return err
}

// inPlace reports whether path leads to the file.
func (f *file) inPlace(path string) error {
	now, err := os.Stat(path)
	if err != nil || !os.SameFile(f.info, now) {
		return ErrReplaced
	}
	return nil
}

func (s *Store) inPlace() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.inPlace(s.path)
}

// Identity identifies the store's file among all files of this machine, whatever name leads to it.
func (s *Store) Identity() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return identity(s.db.info)
}

// IdentityOf is the [Store.Identity] of a store whose file is at path. It is empty if there is no file.
func IdentityOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return identity(info)
}

func identity(info os.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return ""
}

// openAs says how to open a file: for reading beside other readers; after a check of all of it.
type openAs struct{ readOnly, whole bool }

// open opens the file at path. If there is none it makes one, unless the file is opened only for reading.
func open(path string, o openAs) (*file, error) {
	if !o.readOnly {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	out := &file{}
	return out, out.start(path, o.readOnly, func(name string) error { return out.open(name, o) })
}

// start gives bbolt the file that opened opens.
func (f *file) start(path string, readOnly bool, opened func(name string) error) error {
	err := guarded(func() (err error) {
		f.DB, err = bbolt.Open(path, 0, &bbolt.Options{
			FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly,
			OpenFile: func(name string, _ int, _ fs.FileMode) (*os.File, error) { return f.f, opened(name) },
		})
		if err != nil {
			return err
		}
		f.AllocSize = 0 // with a limit of the length (room.go), bbolt counts what is needed
		f.page = int64(f.Info().PageSize)
		return f.View(checkFormat)
	})
	switch {
	case err == nil:
	case f.DB != nil:
		err = errors.Join(err, f.Close())
	case f.f != nil:
		_ = f.f.Close() // nothing was written
	}
	return err
}

// open opens, locks and checks the file in place of bbolt, which would make a store of an empty file, and panics on
// others.
func (f *file) open(path string, o openAs) error {
	flag, how := os.O_RDWR, syscall.LOCK_EX
	if o.readOnly {
		flag, how = os.O_RDONLY, syscall.LOCK_SH
	}
	var err error
	if f.f, err = os.OpenFile(path, flag, 0); err != nil {
		return wrap(err)
	}
	if f.info, err = lock(f.f, how); err == nil {
		err = f.inPlace(path)
	}
	if errors.Is(err, ErrReplaced) {
		return ErrLocked // by a restore, which has replaced the file during the wait for its lock
	}
	if err != nil {
		return err
	}
	err = f.check(o.whole)
	if errors.Is(err, ErrFormat) && isBackup(path) {
		return ErrIsBackup
	}
	return err
}

// check checks what bbolt reads when it opens the file, or all of it.
func (f *file) check(whole bool) error {
	p, err := readPages(f.f, f.info.Size())
	if err != nil {
		return err
	}
	if whole {
		return p.whole()
	}
	_, _, err = p.free()
	return err
}

// lock waits for the file's lock, which is bbolt's, and then looks at the file.
func lock(f *os.File, how int) (os.FileInfo, error) {
	late := time.After(lockTimeout)
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			info, err := f.Stat()
			return info, wrap(err)
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, wrap(err)
		}
		select {
		case <-retry.C:
		case <-late:
			return nil, ErrLocked
		}
	}
}

// openFile opens a file that has no name, for reading.
func openFile(f *os.File) (*file, error) {
	out := &file{f: f}
	var err error
	if out.info, err = f.Stat(); err != nil {
		return nil, wrap(err)
	}
	return out, out.start(f.Name(), true, func(string) error { return out.check(false) })
}

// create makes an empty store at path if nothing is there. The store appears whole, so an empty file is never the
// beginning of a store, but the rest of one.
func create(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return wrap(err)
	}
	dir := filepath.Dir(path)
	if err := durable.MkdirAll(dir); err != nil {
		return wrap(err)
	}
	tmp, err := os.CreateTemp(dir, ".store-*")
	if err != nil {
		return wrap(err)
	}
	defer os.Remove(tmp.Name()) // the store has a name of its own
	if err := errors.Join(tmp.Close(), fill(tmp.Name())); err != nil {
		return wrap(err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return wrap(err)
	}
	return wrap(durable.SyncDir(dir))
}

// fill makes an empty file an empty store.
func fill(path string) error {
	db, err := bbolt.Open(path, 0, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	return errors.Join(db.Update(makeBuckets), db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyFormat, []byte(format))
	}), db.Close())
}

func makeBuckets(tx *bbolt.Tx) error {
	for _, b := range buckets {
		if _, err := tx.CreateBucket(b); err != nil {
			return err
		}
	}
	return nil
}

func checkFormat(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return ErrFormat
	}
	if meta.Get(keyApart) != nil {
		return ErrKeysApart
	}
	must := buckets
	switch string(meta.Get(keyFormat)) {
	case format:
	case formatKeyed:
		must = append(slices.Clone(buckets), bucketKeys, bucketDomains)
	default:
		return ErrFormat
	}
	for _, b := range must {
		if tx.Bucket(b) == nil {
			return damaged("it has no %s", b)
		}
	}
	return nil
}

// Check reads the whole file at path, which no process may be writing, and checks that it is a store. ErrFormat,
// ErrDamaged, ErrIsBackup, ErrLocked.
func Check(path string) error {
	f, err := open(path, openAs{readOnly: true, whole: true})
	if err != nil {
		return err
	}
	return wrap(f.Close())
}

// guarded runs fn, and turns two things into an error: the panics by which bbolt reports broken pages, and the faults
// of reading what the file does not hold. The error holds nothing of the panic's text, which may be about a record.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = errUnreadable
		}
	}()
	return fn()
}
