//go:build !wasip1

package bolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// emptyAt makes an empty store and lets go of it.
func emptyAt(t *testing.T, path string) {
	t.Helper()
	s, err := Open(path, Options{})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsAcknowledgedOfAFileThatWasReplaced(t *testing.T) {
	cases := map[string]func(path, other string) error{
		"replaced": func(path, other string) error { return os.Rename(other, path) },
		"removed":  func(path, _ string) error { return os.Remove(path) },
	}
	for name, take := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, kept := filepath.Join(dir, "store.db"), filepath.Join(dir, "kept")
			s := openAt(t, path, nil)
			emptyAt(t, filepath.Join(dir, "other"))
			if err := errors.Join(os.Link(path, kept), take(path, filepath.Join(dir, "other"))); err != nil {
				t.Fatal(err)
			}
			err := s.Create(t.Context(), rec("v_1"), nil, nil)
			if !errors.Is(err, ErrReplaced) || !errors.Is(err, store.ErrUnavailable) || !errors.Is(s.Ping(t.Context()), ErrReplaced) {
				t.Fatalf("err = %v, ping %v", err, s.Ping(t.Context()))
			}
			if err := os.Rename(kept, path); err != nil { // put back
				t.Fatal(err)
			}
			if err := errors.Join(s.Create(t.Context(), rec("v_1"), nil, nil), s.Ping(t.Context())); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFileThatIsReplacedDuringACommitIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, nil)
	err := s.update(t.Context(), &write{apply: func(tx *bbolt.Tx) error { return os.Remove(path) }})
	if !errors.Is(err, ErrReplaced) {
		t.Fatalf("err = %v", err)
	}
}

func TestRestoreThroughALinkReplacesTheFile(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	path, link := filepath.Join(data, "store.db"), filepath.Join(dir, "link")
	emptyAt(t, path)
	if err := os.Symlink(filepath.Join("data", "store.db"), link); err != nil {
		t.Fatal(err)
	}
	if err := RestoreFile(bytes.NewReader(backupOf(t, "v_1")), link); err != nil {
		t.Fatal(err)
	}
	served := openAt(t, link, nil)
	if err := served.Restore(bytes.NewReader(backupOf(t, "v_1", "v_2")), nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(served.Create(t.Context(), rec("v_3"), nil, nil), served.Close()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Fatalf("the link is gone: %v, %v", info, err)
	}
	list, _, err := openAt(t, path, nil).List(t.Context(), store.Page{})
	if err != nil || len(list) != 3 {
		t.Fatalf("the file holds %v, %v", list, err)
	}
}
