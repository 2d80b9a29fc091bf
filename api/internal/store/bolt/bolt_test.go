//go:build !wasip1

package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return openAt(t, filepath.Join(t.TempDir(), "store.db"), now)
	})
}

func openAt(t *testing.T, path string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(path, Options{Now: now, Reserve: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func rec(id string) *store.Record {
	return &store.Record{ID: id, Encoding: 3, Created: 1, Modified: 1, Fields: map[string]store.Value{}}
}

func TestReopenedFileHoldsWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "store.db")
	s := openAt(t, path, nil)
	if err := s.Create(t.Context(), rec("v_1"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if _, err := openAt(t, path, nil).Get(t.Context(), "v_1"); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	openAt(t, path, nil)
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("err = %v", err)
	}
}

func TestForeignFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("junk"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("someone else's"))
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{junk, other} {
		if _, err := Open(path, Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: err = %v", filepath.Base(path), err)
		}
	}
}

func TestOneBrokenWriteDoesNotBreakItsGroup(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	group := make([]*write, 5)
	for i := range group {
		group[i] = &write{apply: func(tx *bbolt.Tx) error {
			if i == 2 {
				panic("broken")
			}
			if i == 3 {
				return tx.Bucket(bucketRecords).Put(nil, nil) // bbolt refuses an empty key
			}
			data, err := encodeRecord(rec(fmt.Sprint(i)))
			if err != nil {
				return err
			}
			return putRecord(tx, fmt.Sprint(i), data, 0, 0)
		}}
	}
	s.commitGroup(group)
	for i, w := range group {
		_, err := s.Get(t.Context(), fmt.Sprint(i))
		if broken := i == 2 || i == 3; broken != (w.err != nil) || broken != (err != nil) {
			t.Errorf("write %d: err = %v, get = %v", i, w.err, err)
		}
	}
}

func TestWriteAfterCloseIsRefused(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), rec("v_1"), nil, nil); !errors.Is(err, errClosed) {
		t.Fatalf("err = %v", err)
	}
}

func TestSweepRemovesOnlyWhatExpired(t *testing.T) {
	clock := &storetest.Clock{}
	clock.Set(storetest.Start)
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), clock.Now)
	for i, at := range []int64{0, storetest.Start + 10, storetest.Start + 100} {
		r := rec(fmt.Sprint(i))
		r.ExpireAt = at
		idem := &store.Idempotency{Key: fmt.Sprint(i), ExpireAt: storetest.Start + 5 + int64(i)*10}
		if err := s.Create(t.Context(), r, nil, idem); err != nil {
			t.Fatal(err)
		}
	}
	clock.Set(storetest.Start + 15)
	if n := s.sweepOnce(t.Context(), noEntry); n != 3 { // record 1, idempotency items 0 and 1
		t.Fatalf("%d removed", n)
	}
	err := s.view(func(tx *bbolt.Tx) error {
		if n := tx.Bucket(bucketRecords).Stats().KeyN; n != 2 {
			t.Errorf("%d records left", n)
		}
		if n := tx.Bucket(bucketIdem).Stats().KeyN; n != 1 {
			t.Errorf("%d idempotency items left", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEntryMovedToAnotherKeyShows(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	e := &store.Entry{VaultID: "v_1", Time: 7, Event: "DecryptVault", Chain: "c", Seq: 1}
	if err := s.AppendAudit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	plain := *e
	plain.Chain, plain.Seq = "", 0 // as an entry of the reference is kept
	for key, want := range map[*store.Entry]int64{e: e.Time, &plain: store.TimeAltered} {
		err := s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketAudit)
			_, data := b.Cursor().First()
			data = bytes.Clone(data)
			return errors.Join(b.Delete(auditKey(e)), b.Put(auditKey(key), data))
		})
		if err != nil {
			t.Fatal(err)
		}
		if last, err := s.LastAudit(t.Context(), "v_1"); err != nil || last.Time != want {
			t.Fatalf("entry %+v, %v", last, err)
		}
	}
}

func BenchmarkConcurrentCreate(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "store.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		me := fmt.Sprintf("%p", pb)
		for i := 0; pb.Next(); i++ {
			if err := s.Create(b.Context(), rec(fmt.Sprintf("%s-%d", me, i)), nil, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
