//go:build !wasip1

package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

// Marks of what is in records: no other bytes of a store are like these.
var removedMark, keptMark = []byte("WHAT-WAS-REMOVED"), []byte("WHAT-WAS-KEPT")

func marked(id string, mark []byte) *store.Record {
	r := rec(id)
	r.WrappedKey = append([]byte("key of "+id+": "), mark...)
	r.Fields["f"] = store.Value{Blob: append([]byte("field of "+id+": "), mark...)}
	r.Fields["large"] = store.Value{Blob: bytes.Repeat(mark, 1+len(id)*37%700)} // some of them of many pages
	return r
}

// marksIn counts a mark in all files of a folder.
func marksIn(t *testing.T, dir string, mark []byte) (n int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(data, mark)
	}
	return n
}

// untilErased waits until nothing removed is in the folder.
func untilErased(t *testing.T, dir string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); marksIn(t, dir, removedMark) > 0; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d removed values are still there", marksIn(t, dir, removedMark))
		}
	}
}

func openToErase(t *testing.T, path string, now func() time.Time, erasing func(string)) *Store {
	t.Helper()
	s, err := Open(path, Options{Now: now, Reserve: 256 << 10, eraseAfter: 10 * time.Millisecond, erasing: erasing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// await waits for a step.
func await(t *testing.T, steps <-chan string, step string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case got := <-steps:
			if got == step {
				return
			}
		case <-late:
			t.Fatalf("erasing never %s", step)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatExpiredWasDeletedOrOverwrittenIsInNoFile(t *testing.T) {
	dir, clock := t.TempDir(), &storetest.Clock{}
	clock.Set(storetest.Start)
	s := openToErase(t, filepath.Join(dir, "store.db"), clock.Now, nil)
	const each = 300
	var writers sync.WaitGroup
	for i := range 4 * each {
		r := marked(fmt.Sprintf("v_%s_%d", strings.Repeat("x", rand.IntN(20)), i), removedMark)
		switch i % 4 {
		case 0:
			r.ExpireAt = storetest.Start + 60
		case 1:
			r = marked(r.ID, keptMark)
		}
		writers.Go(func() {
			err := s.Create(t.Context(), r, nil, nil)
			switch i % 4 {
			case 2:
				err = s.Delete(t.Context(), r.ID, r.Modified, nil)
			case 3:
				u := &store.Update{ID: r.ID, Revision: r.Modified, Modified: 2, Remove: []string{"large"}}
				u.Set = map[string]store.Value{"f": {Blob: keptMark}}
				err = s.Update(t.Context(), u, nil)
				if err == nil {
					err = s.Delete(t.Context(), r.ID, 2, nil) // its wrapped key is marked too
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	clock.Set(storetest.Start + 61)
	for s.sweepOnce(t.Context(), noEntry) > 0 {
		continue
	}
	untilErased(t, dir)
	var backup bytes.Buffer
	_, err := s.Backup(&backup)
	must(t, err)
	if bytes.Contains(backup.Bytes(), removedMark) || bytes.Count(backup.Bytes(), []byte("key of")) != each {
		t.Fatal("the backup holds what was removed, or not what was kept")
	}
	must(t, s.Close())
	must(t, Check(filepath.Join(dir, "store.db")))
	if n := marksIn(t, dir, []byte("key of")); n < each {
		t.Fatalf("%d of %d records are left", n, each)
	}
}

func TestWhatAKilledProcessLeftIsErasedAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s, err := Open(path, Options{Reserve: 256 << 10, eraseAfter: time.Hour})
	must(t, err)
	defer s.Close()
	for i := range 100 {
		must(t, s.Create(t.Context(), marked(fmt.Sprintf("v_%d", i), removedMark), nil, nil))
	}
	for i := range 100 {
		must(t, s.Delete(t.Context(), fmt.Sprintf("v_%d", i), 1, nil))
	}
	killed := t.TempDir()
	data, err := os.ReadFile(path)
	must(t, err)
	data = append(data, bytes.Repeat(removedMark, 4096)...) // what a commit wrote that did not come to its end
	must(t, os.WriteFile(filepath.Join(killed, "store.db"), data, 0o600))
	if marksIn(t, killed, removedMark) < 5000 {
		t.Fatal("nothing is left to erase")
	}
	openToErase(t, filepath.Join(killed, "store.db"), nil, nil)
	untilErased(t, killed)
}

func TestAStoreThatIsClosedErasesFirst(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "store.db"), Options{eraseAfter: time.Hour})
	must(t, err)
	must(t, s.Create(t.Context(), marked("v_1", removedMark), nil, nil))
	must(t, s.Delete(t.Context(), "v_1", 1, nil))
	must(t, s.Close())
	if n := marksIn(t, dir, removedMark); n != 0 {
		t.Fatalf("%d values are still there", n)
	}
}

// losesNewest makes a file's newest meta page invalid, as if it had not been written whole, and bbolt takes the other.
func losesNewest(t *testing.T, data []byte) []byte {
	t.Helper()
	p, err := readPages(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	data = bytes.Clone(data)
	for at := int64(0); at <= p.meta.page; at += p.meta.page {
		if m, ok := p.metaAt(at); ok && m.stamp == p.meta.stamp {
			data[at+headSize+metaSize-1] ^= 1
		}
	}
	return data
}

func TestACrashWhileErasingLosesNothingInEitherState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var (
		crashed [][]byte
		ready   atomic.Bool // all that is kept is there
	)
	s := openToErase(t, path, nil, func(step string) {
		if step != stepWrote || !ready.Load() || len(crashed) >= 200 {
			return
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		crashed = append(crashed, data) // read after Close
	})
	for i := range 20 {
		must(t, s.Create(t.Context(), marked(fmt.Sprintf("v_kept_%d", i), keptMark), nil, nil))
	}
	ready.Store(true)
	for i := range 60 {
		id := fmt.Sprintf("v_%d", i)
		must(t, s.Create(t.Context(), marked(id, removedMark), nil, nil))
		must(t, s.Delete(t.Context(), id, 1, nil))
		if i%10 == 9 {
			untilErased(t, filepath.Dir(path))
		}
	}
	must(t, s.Close())
	if len(crashed) < 20 {
		t.Fatalf("%d writes", len(crashed))
	}
	left := filepath.Join(t.TempDir(), "left.db")
	for i, data := range crashed {
		for name, data := range map[string][]byte{"newest": data, "the one before": losesNewest(t, data)} {
			must(t, os.WriteFile(left, data, 0o600))
			if err := Check(left); err != nil {
				t.Fatalf("write %d, %s: %v", i, name, err)
			}
			again, err := Open(left, Options{ReadOnly: true})
			must(t, err)
			for k := range 20 {
				id := fmt.Sprintf("v_kept_%d", k)
				r, err := again.Get(t.Context(), id)
				must(t, err)
				if !bytes.Equal(r.Fields["large"].Blob, marked(id, keptMark).Fields["large"].Blob) {
					t.Fatalf("write %d, %s: %s is not what it was", i, name, id)
				}
			}
			must(t, again.Close())
		}
	}
}

func TestNothingIsErasedThatAReaderSees(t *testing.T) {
	steps := make(chan string, 1000)
	s := openToErase(t, filepath.Join(t.TempDir(), "store.db"), nil, func(step string) { steps <- step })
	must(t, s.Create(t.Context(), marked("v_1", removedMark), nil, nil))
	removed := make(chan error, 1)
	must(t, s.view(func(tx *bbolt.Tx) error {
		got := tx.Bucket(bucketRecords).Get([]byte("v_1"))
		go func() { removed <- s.Delete(t.Context(), "v_1", 1, nil) }()
		await(t, steps, stepFound)
		select {
		case step := <-steps:
			t.Errorf("%s while a reader is there", step)
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := decodeRecord("v_1", got); err != nil || !bytes.Contains(got, removedMark) {
			t.Errorf("what is read was erased: %v", err)
		}
		return nil
	}))
	must(t, <-removed)
	untilErased(t, filepath.Dir(s.path))
}

func TestNothingIsErasedThatACopyReadsAndLaterItIs(t *testing.T) {
	steps := make(chan string, 1000)
	s := openToErase(t, filepath.Join(t.TempDir(), "store.db"), nil, func(step string) { steps <- step })
	must(t, s.Create(t.Context(), marked("v_1", removedMark), nil, nil))
	tx, err := s.begin()
	must(t, err)
	defer func() { _ = tx.Rollback() }() // again, unless the test failed
	must(t, s.Delete(t.Context(), "v_1", 1, nil))
	for range 3 {
		await(t, steps, stepPostponed)
	}
	if got := tx.Bucket(bucketRecords).Get([]byte("v_1")); !bytes.Contains(got, removedMark) {
		t.Error("what the copy reads was erased")
	}
	must(t, tx.Rollback())
	s.snapshots.Add(-1)
	untilErased(t, filepath.Dir(s.path))
}

func TestARestoredFileIsErasedToo(t *testing.T) {
	dir := t.TempDir()
	s := openToErase(t, filepath.Join(dir, "store.db"), nil, nil)
	old := t.TempDir()
	from, err := Open(filepath.Join(old, "store.db"), Options{Reserve: 256 << 10, eraseAfter: time.Hour})
	must(t, err)
	defer from.Close()
	must(t, from.Create(t.Context(), marked("v_1", removedMark), nil, nil))
	must(t, from.Delete(t.Context(), "v_1", 1, nil))
	data, err := os.ReadFile(filepath.Join(old, "store.db"))
	must(t, err)
	if !bytes.Contains(data, removedMark) {
		t.Fatal("nothing to erase")
	}
	must(t, s.Restore(bytes.NewReader(wrapped(data)), nil)) // a backup of the whole file, as they were once
	untilErased(t, dir)
}

// TestNothingOfAFileThatIsRestoredWhileTheOldOneIsErasedIsErased: what is free in one file is in use in the other.
func TestNothingOfAFileThatIsRestoredWhileTheOldOneIsErasedIsErased(t *testing.T) {
	ids := make([]string, 300)
	for i := range ids {
		ids[i] = fmt.Sprintf("v_%d", i)
	}
	backup := backupOf(t, ids...)
	from, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{Reserve: 256 << 10, eraseAfter: time.Hour})
	must(t, err)
	defer from.Close()
	for _, id := range ids {
		must(t, from.Create(t.Context(), marked(id, removedMark), nil, nil))
	}
	for _, id := range ids {
		must(t, from.Delete(t.Context(), id, 1, nil))
	}
	old, err := os.ReadFile(from.path)
	must(t, err)
	path := filepath.Join(t.TempDir(), "store.db")
	must(t, os.WriteFile(path, old, 0o600))
	found, swapped := make(chan struct{}, 1), make(chan struct{})
	s := openToErase(t, path, nil, func(step string) {
		if step == stepFound {
			select {
			case found <- struct{}{}:
				<-swapped
			default:
			}
		}
	})
	<-found
	must(t, s.Restore(bytes.NewReader(backup), nil))
	close(swapped)
	untilErased(t, filepath.Dir(path))
	for _, id := range ids {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Fatal(id, err)
		}
	}
	must(t, s.Close())
	must(t, Check(path))
}

// The watch on each commit must agree with what the file says.
func TestPagesThatAreNotInUseAreDirtyOrZero(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(path, Options{Reserve: 64 << 10, eraseAfter: time.Hour})
	must(t, err)
	must(t, s.db.learn()) // nothing commits yet
	r := rand.New(rand.NewPCG(1, 2))
	live := map[string]int64{}
	for i := range 400 {
		id := fmt.Sprintf("v_%0*d", 1+r.IntN(20), r.IntN(10))
		rev, there := live[id]
		switch {
		case !there:
			must(t, s.Create(t.Context(), marked(id, removedMark), nil, nil))
			live[id] = 1
		case r.IntN(2) == 0:
			must(t, s.Delete(t.Context(), id, rev, nil))
			delete(live, id)
		default:
			u := &store.Update{ID: id, Revision: rev, Modified: rev + 1}
			u.Set = map[string]store.Value{"f": {Blob: bytes.Repeat(removedMark, r.IntN(2000))}}
			must(t, s.Update(t.Context(), u, nil))
			live[id]++
		}
		if i%20 == 0 {
			allDirtyOrZero(t, s, path)
		}
	}
	must(t, s.Close())
}

func allDirtyOrZero(t *testing.T, s *Store, path string) {
	t.Helper()
	s.mu.RLock() // between two commits: the last one was waited for
	defer s.mu.RUnlock()
	data, err := os.ReadFile(path)
	must(t, err)
	_, free, list, err := s.db.state()
	must(t, err)
	for _, page := range free {
		at := data[page*4096 : (page+1)*4096]
		if s.db.erase.dirty.has(page) || bytes.Equal(at, make([]byte, 4096)) {
			continue
		}
		if kind := binary.LittleEndian.Uint16(at[8:]); kind != flagList || bytes.Contains(at, removedMark) {
			t.Fatalf("page %d is taken for erased; list %v, kind %d", page, list, kind)
		}
	}
}

func TestAFileThatIsCutWhileItIsErasedIsAnErrorAndNotMadeLonger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	steps := make(chan string, 1000)
	var armed atomic.Bool
	cut := make(chan error, 1)
	s := openToErase(t, path, nil, func(step string) {
		if step == stepFound && armed.Swap(false) {
			cut <- os.Truncate(path, 0)
		}
		steps <- step
	})
	must(t, s.Create(t.Context(), marked("v_1", removedMark), nil, nil))
	armed.Store(true)
	_ = s.Delete(t.Context(), "v_1", 1, nil) // before it is cut, or after
	must(t, <-cut)
	await(t, steps, stepWrote)
	if err := s.Create(t.Context(), marked("v_2", keptMark), nil, nil); err == nil {
		t.Error("a write of a file that was cut")
	}
	if err := s.Ping(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("ping: %v", err)
	}
}

func TestAFileThatWasCutIsNotMadeLonger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, nil)
	must(t, s.Create(t.Context(), marked("v_1", keptMark), nil, nil))
	must(t, os.Truncate(path, 3*4096))
	if _, err := s.db.provide(s.reserve, 10<<20); !errors.Is(err, ErrDamaged) {
		t.Errorf("err = %v", err)
	}
	if n := fileSize(t, path); n != 3*4096 {
		t.Errorf("the file has %d bytes", n)
	}
}
