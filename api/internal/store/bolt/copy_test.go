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
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

func TestABackupThatNobodyTakesHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s := openAt(t, path, nil)
	big := rec("v_big")
	big.Fields["f"] = store.Value{Blob: make([]byte, 256<<10)}
	if err := s.Create(t.Context(), big, nil, nil); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Backup(w)
		ended <- errors.Join(err, w.Close())
	}()
	begun := make([]byte, 1)
	if _, err := io.ReadFull(r, begun); err != nil {
		t.Fatal(err)
	}
	mapped := fileSize(t, path)
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			big := rec(fmt.Sprintf("v_%d", i))
			big.Fields["f"] = store.Value{Blob: make([]byte, 1<<20)}
			if err := s.Create(t.Context(), big, nil, nil); err != nil {
				done <- err
				return
			}
			if info, err := os.Stat(path); err != nil || info.Size() > 8*mapped {
				_, got := s.Get(t.Context(), big.ID)
				done <- errors.Join(err, got, s.Ping(t.Context()))
				return
			}
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the writes and reads wait for the reader of the backup")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the copy has a name: %v, %v", left, err)
	}
	// The reader that takes the copy at last gets the store as it was.
	copied, err := ReadBackup(io.MultiReader(bytes.NewReader(begun), r), dir)
	if err = errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	list, _, err := copied.List(t.Context(), store.Page{})
	if err != nil || len(list) != 1 || list[0].ID != "v_big" {
		t.Fatalf("%v, %v", list, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("what was unpacked has a name: %v, %v", left, err)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestCopiesAreBounded(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	r, w := io.Pipe()
	ended := make(chan error, maxCopies)
	for range maxCopies {
		go func() {
			_, err := s.Backup(w)
			ended <- err
		}()
	}
	begun := make([]byte, 1)
	if _, err := io.ReadFull(r, begun); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(s.copies) < maxCopies {
		<-tick.C
	}
	if n, err := s.Backup(io.Discard); n != 0 || !errors.Is(err, ErrBusy) {
		t.Fatal(n, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range maxCopies {
		if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
			t.Fatal(err)
		}
	}
	if _, err := s.Backup(io.Discard); err != nil {
		t.Fatal(err)
	}
}

func TestACopyHoldsAllThatTheStoreHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, busyFile(t), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, nil)
	idem := &store.Idempotency{Key: "k", MAC: []byte("m"), VaultID: "v_idem", ExpireAt: 1 << 40}
	if err := s.Create(t.Context(), rec("v_idem"), nil, idem); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	n, err := s.Backup(&backup)
	if err != nil || n != int64(backup.Len()) {
		t.Fatal(n, err)
	}
	copied, err := ReadBackup(&backup, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if got, want := content(t, copied), content(t, s); got != want {
		t.Fatalf("the copy differs: %d and %d bytes", len(got), len(want))
	}
	if n >= fileSize(t, path) {
		t.Errorf("the copy has %d bytes, the store %d: free pages are in it", n, fileSize(t, path))
	}
}

// content lists all keys and values.
func content(t *testing.T, s *Store) string {
	t.Helper()
	var out strings.Builder
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				_, err := fmt.Fprintf(&out, "%s %x %x\n", name, k, v)
				return err
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWhatWasRemovedIsInNoBackup(t *testing.T) {
	clock := &storetest.Clock{}
	clock.Set(storetest.Start)
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), clock.Now)
	const removed, kept = "what was removed", "what was kept"
	for i := range 300 {
		r := rec(fmt.Sprintf("v_%d", i))
		r.Fields["f"] = store.Value{Blob: []byte(removed)}
		if r.ExpireAt = storetest.Start + 60; i%3 == 0 {
			r.Fields["f"], r.ExpireAt = store.Value{Blob: []byte(kept)}, 0
		}
		if err := s.Create(t.Context(), r, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	clock.Set(storetest.Start + 61)
	if n := s.sweepOnce(t.Context(), noEntry); n != 200 {
		t.Fatalf("%d removed", n)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(&backup); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(backup.Bytes(), []byte(removed)) || !bytes.Contains(backup.Bytes(), []byte(kept)) {
		t.Fatal("the backup holds what was removed, or not what was kept")
	}
}
