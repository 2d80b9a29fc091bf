// Package durable replaces files for the API so that a crash, of the process or the machine, leaves the whole old
// content or the whole new. A file is written beside the one that it replaces, synced and renamed over it. Then the
// folder is synced, which records the rename. A symbolic link is followed: the file to which it leads is replaced,
// not the link.
package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotFile reports a name that leads to something other than a file: a folder, a socket, a device.
var ErrNotFile = errors.New("not a file, and so not replaced")

// maxLinks is how many symbolic links are followed, as by the kernel.
const maxLinks = 40

// Resolve returns the name of the file to which path leads by symbolic links. The file need not exist.
func Resolve(path string) (string, error) {
	for range maxLinks {
		to, err := os.Readlink(path)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.EINVAL): // nothing there, or not a link
			return path, nil
		case err != nil:
			return "", err
		case !filepath.IsAbs(to):
			dir, err := filepath.EvalSymlinks(filepath.Dir(path)) // .. in the link is relative to the place of the link
			if err != nil {
				return "", err
			}
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", &os.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
}

// Replace makes what fill writes the content of the file at path, which only its owner may read. On an error of fill
// the old content stays. It returns fill's count. ErrNotFile.
func Replace(path string, fill func(io.Writer) (int64, error)) (int64, error) {
	s, err := Stage(path, fill)
	if err != nil {
		return 0, err
	}
	defer s.Discard()
	return s.Size, s.Commit()
}

// Staged is new content of a file that is not in its place yet. Several files are replaced by staging all of them, and
// committing them in an order of which each part is good.
type Staged struct {
	Size      int64 // what fill returned
	tmp, path string
}

// Stage writes what fill writes beside the file at path, and syncs it. The caller MUST Discard it in the end.
// ErrNotFile.
func Stage(path string, fill func(io.Writer) (int64, error)) (*Staged, error) {
	path, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "replace", Path: path, Err: ErrNotFile}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	n, err := fill(tmp)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(tmp.Name()))
	}
	return &Staged{Size: n, tmp: tmp.Name(), path: path}, nil
}

// Commit puts the content in its place.
func (s *Staged) Commit() error { return Rename(s.tmp, s.path) }

// Discard removes the content, unless it is in its place.
func (s *Staged) Discard() { _ = os.Remove(s.tmp) }

// WriteFile makes data the content of the file at path, as [Replace] does.
func WriteFile(path string, data []byte) error {
	_, err := Replace(path, func(w io.Writer) (int64, error) {
		n, err := w.Write(data)
		return int64(n), err
	})
	return err
}

// Rename gives a synced file the name of another one in the same folder.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// MkdirAll makes a folder, for its owner alone, and those above it that are missing.
func MkdirAll(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := MkdirAll(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return SyncDir(above)
}

// SyncDir makes the names in a folder durable that were made, renamed or removed before.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
