package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func text(s string) func(io.Writer) (int64, error) {
	return func(w io.Writer) (int64, error) {
		n, err := io.WriteString(w, s)
		return int64(n), err
	}
}

func TestFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := errors.Join(MkdirAll(dir), MkdirAll(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "file")
	if n, err := Replace(path, text("old")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	broken := errors.New("broken")
	_, err := Replace(path, func(w io.Writer) (int64, error) {
		_, _ = text("half")(w)
		return 4, broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); string(got) != "old" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if n, err := Replace(path, text("newer")); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("left in the folder: %v, %v", list, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 5 {
		t.Fatalf("%v, %v", info, err)
	}
}

func TestFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if _, err := Replace(file, text("x")); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(file, "below")); err == nil {
		t.Fatal("made a folder in a file")
	}
	if err := SyncDir(filepath.Join(file, "..", "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestFileBehindALinkIsReplaced(t *testing.T) {
	dir := t.TempDir()
	file, link, second := filepath.Join(dir, "sub", "file"), filepath.Join(dir, "sub", "link"), filepath.Join(dir, "second")
	err := errors.Join(MkdirAll(filepath.Dir(file)), os.Symlink("../sub/file", link), os.Symlink("sub/link", second))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"made", "replaced"} { // the link leads to nothing at first
		if _, err := Replace(second, text(content)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(file)
		if got, _ := os.ReadFile(file); string(got) != content || err != nil || !info.Mode().IsRegular() {
			t.Fatalf("%q, %v, %v", got, info, err)
		}
	}
	if err := errors.Join(os.Remove(file), os.Symlink("link", file)); err != nil {
		t.Fatal(err)
	}
	if _, err := Replace(second, text("x")); !errors.Is(err, syscall.ELOOP) {
		t.Fatalf("a ring of links: %v", err)
	}
}

func TestOnlyFilesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe} {
		if _, err := Replace(path, text("x")); !errors.Is(err, ErrNotFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("%v, %v", info, err)
	}
}
