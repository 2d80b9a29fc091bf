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
	path, err := Resolve(path)
	if err != nil {
		return 0, err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return 0, &os.PathError{Op: "replace", Path: path, Err: ErrNotFile}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(tmp.Name()) // after the rename it has another name; it is there only if something failed
	n, err := fill(tmp)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return 0, err
	}
	return n, Rename(tmp.Name(), path)
}

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
