//go:build !wasip1

package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/api/internal/store"
)

func TestBackupAndRestoreWhileServing(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	if err := s.Create(t.Context(), rec("v_kept"), nil, nil); err != nil {
		t.Fatal(err)
	}
	var copied bytes.Buffer
	if _, err := s.Backup(&copied); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Create(t.Context(), rec(fmt.Sprintf("v_later_%d", i)), nil, nil); err != nil {
				t.Errorf("write during a restore: %v", err)
				return
			}
			if _, err := s.Get(t.Context(), "v_kept"); err != nil {
				t.Errorf("read during a restore: %v", err)
				return
			}
		}
	})
	for range 3 {
		if err := s.Restore(bytes.NewReader(copied.Bytes()), nil); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if err := s.Restore(bytes.NewReader(copied.Bytes()), nil); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.List(t.Context(), store.Page{})
	if err != nil || len(list) != 1 || list[0].ID != "v_kept" {
		t.Fatalf("list = %v, %v", list, err)
	}
}

func TestRestoreOfABrokenBackupKeepsTheOldContent(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "store.db"), nil)
	for i := range 200 {
		if err := s.Create(t.Context(), rec(fmt.Sprintf("v_%d", i)), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var good bytes.Buffer
	if _, err := s.Backup(&good); err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"empty":          nil,
		"text":           []byte(strings.Repeat("no store", 5000)),
		"truncated":      good.Bytes()[:good.Len()/2],
		"one byte short": good.Bytes()[:good.Len()-1],
		"trailing byte":  append(bytes.Clone(good.Bytes()), 0),
		"flipped bit": func() []byte {
			b := bytes.Clone(good.Bytes())
			b[len(b)/2] ^= 1
			return b
		}(),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			if err := s.Restore(bytes.NewReader(data), nil); !errors.Is(err, ErrBackup) {
				t.Fatalf("err = %v", err)
			}
			if _, err := s.Get(t.Context(), "v_7"); err != nil {
				t.Fatalf("old content: %v", err)
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.restore-*")); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

// backupOf is a backup of a store that holds these records.
func backupOf(t *testing.T, ids ...string) []byte {
	t.Helper()
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	for _, id := range ids {
		if err := s.Create(t.Context(), rec(id), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var copied bytes.Buffer
	if _, err := s.Backup(&copied); err != nil {
		t.Fatal(err)
	}
	return copied.Bytes()
}

func TestRestoreDoesNotWaitForABackupThatIsReadSlowly(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "store.db"), nil)
	if err := s.Create(t.Context(), rec("v_old"), nil, nil); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	swapped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Backup(w)
		_ = w.CloseWithError(err)
	})
	head := make([]byte, 1)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		err := s.Restore(bytes.NewReader(backupOf(t, "v_new")), func(swap func() error) error {
			defer close(swapped)
			return swap()
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-swapped
	if _, err := s.Get(t.Context(), "v_new"); err != nil {
		t.Error(err)
	}
	if err := s.Create(t.Context(), rec("v_later"), nil, nil); err != nil {
		t.Error(err)
	}
	copied := filepath.Join(dir, "copy")
	if err := RestoreFile(io.MultiReader(bytes.NewReader(head), r), copied); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := openAt(t, copied, nil).Get(t.Context(), "v_old"); err != nil {
		t.Errorf("the backup is not of the time when it began: %v", err)
	}
}

func TestRestoreFileReplacesWhateverIsThere(t *testing.T) {
	copied := backupOf(t, "v_1")
	for name, old := range map[string][]byte{
		"nothing": nil, "empty": {}, "junk": bytes.Repeat([]byte("junk"), 10_000), "short": []byte("x"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sub", "store.db")
			if old != nil {
				if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, old, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if err := RestoreFile(bytes.NewReader(copied[:len(copied)-1]), path); !errors.Is(err, ErrBackup) {
				t.Fatalf("a cut backup: %v", err)
			}
			if left, _ := os.ReadFile(path); !bytes.Equal(left, old) {
				t.Fatal("a cut backup replaced the file")
			}
			if err := RestoreFile(bytes.NewReader(copied), path); err != nil {
				t.Fatal(err)
			}
			if _, err := openAt(t, path, nil).Get(t.Context(), "v_1"); err != nil {
				t.Fatal(err)
			}
			if err := RestoreFile(bytes.NewReader(copied), path); !errors.Is(err, ErrLocked) {
				t.Fatalf("while it is open: %v", err)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
				t.Fatalf("left behind: %v", left)
			}
		})
	}
}

// descriptors counts those of this process that are of the file.
func descriptors(t *testing.T, path string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range list {
		if name, _ := os.Readlink("/proc/self/fd/" + fd.Name()); name == path {
			n++
		}
	}
	return n
}

// A process that waited for the lock would otherwise write to a file that has no name any more.
func TestOpenThatWaitedForARestoreIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, nil)
	opened := make(chan error)
	go func() {
		second, err := Open(path, Options{})
		if err == nil {
			_ = second.Close()
		}
		opened <- err
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for descriptors(t, path) < 2 {
		<-tick.C
	}
	if err := s.Restore(bytes.NewReader(backupOf(t, "v_1")), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; !errors.Is(err, ErrLocked) {
		t.Fatalf("err = %v", err)
	}
}

func TestWhatAKilledRestoreLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	for _, name := range []string{".store.db.restore-1", ".other.db.restore-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openAt(t, path, nil)
	left, err := filepath.Glob(filepath.Join(dir, ".*.restore-*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != ".other.db.restore-1" {
		t.Fatalf("left: %v, %v", left, err)
	}
}
