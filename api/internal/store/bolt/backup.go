//go:build !wasip1

package bolt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"redoubt/api/internal/durable"
)

// backupMagic begins a backup: magic, 8 bytes length of the store file (big endian), the file, its SHA-256.
const backupMagic = "redoubt backup 1\n"

// ErrBackup reports a backup that is cut short or altered, or a file that is not a backup.
var ErrBackup = errors.New("bolt: not an intact backup")

// unpack writes the store file inside a backup to out. It returns ErrBackup if the backup is not intact: the checksum
// is verified before anything opens the file.
func unpack(r io.Reader, out io.Writer) error {
	head := make([]byte, len(backupMagic)+8)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(backupMagic)]) != backupMagic {
		return ErrBackup
	}
	size := binary.BigEndian.Uint64(head[len(backupMagic):])
	if size > math.MaxInt64 {
		return ErrBackup
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(r, int64(size)))
	if err != nil {
		return wrap(err)
	}
	tail := make([]byte, sha256.Size+1)
	m, _ := io.ReadFull(r, tail)
	if n != int64(size) || m != sha256.Size || !bytes.Equal(tail[:m], sum.Sum(nil)) {
		return ErrBackup
	}
	return nil
}

// ReadBackup unpacks a backup into a file without a name in dir, which disappears with the process, and opens it for
// reading. ErrBackup, ErrFormat, ErrDamaged.
func ReadBackup(r io.Reader, dir string) (*Store, error) {
	f, err := durable.Unnamed(dir)
	if err != nil {
		return nil, wrap(err)
	}
	if err := unpack(r, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	db, err := openFile(f)
	if err != nil {
		return nil, err
	}
	return start(f.Name(), db, Options{ReadOnly: true}), nil
}

// Restore replaces the store's content with a backup read from r, while the store serves. The copy is unpacked beside
// the file and checked while requests go on. They wait only for the swap, a rename, and see either the old content or
// the new. around, unless nil, runs the swap, so that it can keep out what must not happen at the same time. On an
// error before the swap the old content stays. ErrBackup, ErrFormat.
func (s *Store) Restore(r io.Reader, around func(swap func() error) error) error {
	name, err := stage(r, s.path)
	if err != nil {
		return err
	}
	defer os.Remove(name) // after the swap it has another name; it is there only if something failed
	db, err := open(name, openAs{})
	if err != nil {
		return err
	}
	broken := false // whether the old file is broken, which then cannot be closed
	swap := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := os.Rename(name, s.path); err != nil {
			return wrap(err)
		}
		s.db, db = db, s.db
		broken = s.broken.Swap(false) || db.stuck.Load()
		select {
		case s.swapped <- struct{}{}:
		default:
		}
		return wrap(durable.SyncDir(filepath.Dir(s.path)))
	}
	if around != nil {
		err = around(swap)
	} else {
		err = swap()
	}
	if broken {
		return errors.Join(err, wrap(db.f.Close())) // as Close does
	}
	return errors.Join(err, wrap(db.Close()))
}

// RestoreFile makes a backup read from r the store file at path, which no process may have open. It does not look at
// what the file held before. ErrBackup, ErrFormat, ErrLocked.
func RestoreFile(r io.Reader, path string) error {
	path, err := durable.Resolve(path)
	if err != nil {
		return wrap(err)
	}
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return wrap(err)
	}
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		defer old.Close() // which ends the lock: no process opens the file while it is replaced
		if err := syscall.Flock(int(old.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return ErrLocked
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return wrap(err)
	}
	name, err := stage(r, path)
	if err != nil {
		return err
	}
	defer os.Remove(name) // as in Restore
	return wrap(durable.Rename(name, path))
}

// staged is the beginning of the names of files that are to become the file at path.
func staged(path string) string { return "." + filepath.Base(path) + ".restore-" }

// sweepStaged removes what a killed restore left. The caller holds the lock of the file at path.
func sweepStaged(path string) {
	dir, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // the next start tries again
	}
	for _, e := range dir {
		if strings.HasPrefix(e.Name(), staged(path)) {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name())) // as above
		}
	}
}

// stage unpacks a backup beside the file at path, checks that it is a store, and returns its name.
func stage(r io.Reader, path string) (string, error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), staged(path)+"*")
	if err != nil {
		return "", wrap(err)
	}
	name := tmp.Name()
	err = errors.Join(unpack(r, tmp), tmp.Sync(), tmp.Close())
	if err == nil {
		err = Check(name)
	}
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrFormat) {
		err = fmt.Errorf("%w: what is in it is no store: %w", ErrBackup, err)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(name))
	}
	return name, nil
}

// isBackup reports whether the file begins as a backup does.
func isBackup(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	begins := make([]byte, len(backupMagic))
	_, err = io.ReadFull(f, begins)
	return err == nil && string(begins) == backupMagic
}
