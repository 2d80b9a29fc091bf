//go:build !wasip1

package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	bbolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"redoubt/api/internal/durable"
)

// ErrNoRoom reports that the store's file system has no room for a copy of it.
var ErrNoRoom = errors.New("bolt: no room beside the store for a copy of it: make room, then try again")

// ErrBusy reports that the greatest number of copies is being made or sent already.
var ErrBusy = errors.New("bolt: other backups are being taken: wait for them to end")

const (
	// maxCopies bounds the copies at one time. Each takes as much room as the live records.
	maxCopies = 4
	// copyBatch is how many bytes of a copy are written in one transaction, whose pages are held in memory.
	copyBatch = 16 << 20
	// leaveFree is the room that a copy leaves to the store beside which it stands.
	leaveFree = 16 << 20
)

// Backup writes a consistent copy of the store's content to w while the store serves, and returns the number of bytes
// written, which is 0 if the copy could not be made. Removed records are not in it. The copy is first made in a file
// without a name beside the store, so that a slow w holds up nothing. While the copy is made, at the speed of the
// disk, writes need new pages. A write that needs more of the file mapped into memory then waits, together with the
// reads after it. ErrNoRoom, ErrBusy, ErrDamaged.
func (s *Store) Backup(w io.Writer) (int64, error) { return s.backup(w, everything) }

func (s *Store) backup(w io.Writer, what share) (int64, error) {
	select {
	case s.copies <- struct{}{}:
		defer func() { <-s.copies }()
	default:
		return 0, ErrBusy
	}
	f, size, err := s.copied(what)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return pack(w, f, size)
}

// pack writes a backup of the first size bytes of f, and returns the number of bytes written.
func pack(w io.Writer, f *os.File, size int64) (int64, error) {
	head := binary.BigEndian.AppendUint64([]byte(backupMagic), uint64(size))
	if _, err := w.Write(head); err != nil {
		return 0, wrap(err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.NewSectionReader(f, 0, size))
	if err != nil {
		return int64(len(head)) + n, wrap(err)
	}
	tail, err := w.Write(sum.Sum(nil))
	return int64(len(head)) + n + int64(tail), wrap(err)
}

// copied makes a copy of the store's content and returns its length.
func (s *Store) copied(what share) (*os.File, int64, error) {
	tx, err := s.begin()
	if err != nil {
		return nil, 0, wrap(err)
	}
	defer func() {
		_ = tx.Rollback() // only read
		s.snapshots.Add(-1)
	}()
	dir := filepath.Dir(s.path)
	f, err := durable.Unnamed(dir)
	if err != nil && tx.DB().IsReadOnly() { // the folder may be read-only, too
		dir = os.TempDir()
		f, err = durable.Unnamed(dir)
	}
	if err == nil {
		err = room(dir, tx)
	}
	size := int64(0)
	if err == nil {
		size, err = copyTo(f, func(to *bbolt.DB) error { return copyAll(to, tx, what) })
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	if err != nil {
		if f != nil {
			_ = f.Close() // it is gone
		}
		return nil, 0, wrap(err)
	}
	return f, size, nil
}

// room checks that a copy fits into the file system and leaves some room.
func room(dir string, tx *bbolt.Tx) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return wrap(err)
	}
	db := tx.DB()
	need := tx.Size() - int64(db.Stats().FreePageN)*int64(db.Info().PageSize)
	if left := int64(fs.Bavail) * fs.Bsize; left < need+leaveFree {
		return fmt.Errorf("%w: it takes %d bytes, and %d are free", ErrNoRoom, need+leaveFree, left)
	}
	return nil
}

// begin starts a transaction that outlasts a Restore: Restore closes the file that it replaces only after the
// transaction's end. The transaction is counted in s.snapshots.
func (s *Store) begin() (*bbolt.Tx, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var tx *bbolt.Tx
	err := s.db.reading(func(began *bool) (err error) {
		tx, err = s.db.Begin(false)
		*began = true
		return err
	})
	if err == nil {
		s.snapshots.Add(1)
	}
	return tx, err
}

// copyTo fills an empty file with a store of what fill puts into it, and returns its length.
func copyTo(f *os.File, fill func(*bbolt.DB) error) (int64, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0) // bbolt closes what it has opened
	if err != nil {
		return 0, wrap(err)
	}
	err = guarded(func() error {
		to, err := bbolt.Open(f.Name(), 0, &bbolt.Options{
			FreelistType: bbolt.FreelistMapType, NoSync: true, NoGrowSync: true,
			OpenFile: func(name string, _ int, _ fs.FileMode) (*os.File, error) { return os.NewFile(uintptr(fd), name), nil },
		})
		if err != nil {
			return wrap(err)
		}
		return errors.Join(to.Update(makeBuckets), fill(to), to.Close())
	})
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, wrap(err)
	}
	p, err := readPages(f, info.Size())
	if err != nil {
		return 0, err
	}
	return int64(p.meta.end) * p.meta.page, nil
}

// copyAll copies a part of what from sees.
func copyAll(to *bbolt.DB, from *bbolt.Tx, what share) error {
	for _, name := range what.buckets() {
		if from.Bucket(name) == nil {
			continue // in a store of an earlier release, or without domains
		}
		err := to.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(name)
			return err
		})
		if err != nil {
			return wrap(err)
		}
		c, seen := from.Bucket(name).Cursor(), order{}
		for k, v := c.First(); k != nil; {
			err := to.Update(func(tx *bbolt.Tx) (err error) {
				b := tx.Bucket(name)
				b.FillPercent = 1 // keys come in order, so no page is split later
				for n := 0; k != nil && n < copyBatch && err == nil; k, v = c.Next() {
					n += len(k) + len(v)
					if err = seen.next(k); err == nil {
						err = b.Put(k, v)
					}
				}
				return err
			})
			if err != nil {
				return wrap(err)
			}
		}
	}
	return wrap(to.Update(func(tx *bbolt.Tx) error { return what.mark(tx, from) }))
}
