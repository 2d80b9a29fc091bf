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
	"golang.org/x/sys/unix"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/test/proctest"
)

const (
	smallDisk    = 8 << 20
	smallReserve = 1 << 20
)

// smallFileSystem is a folder whose file system has room for so many bytes.
func smallFileSystem(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk)); err != nil {
		t.Skipf("mounting a file system needs root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestWithoutRoomInTheFileSystemWhatIsThereIsReadAndRemoved(t *testing.T) {
	useWithoutRoom(t, smallFileSystem(t))
}

const limited = "REDOUBT_TEST_FILE_SIZE"

func TestWithoutRoomForALongerFileWhatIsThereIsReadAndRemoved(t *testing.T) {
	if os.Getenv(limited) != "" {
		limit := unix.Rlimit{Cur: smallDisk, Max: smallDisk}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		useWithoutRoom(t, t.TempDir())
		return
	}
	cmd := proctest.Command(t, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), limited+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v: %s", err, out)
	}
}

// useWithoutRoom fills a store in dir and uses it then.
func useWithoutRoom(t *testing.T, dir string) {
	t.Helper()
	ctx := t.Context()
	s, err := Open(filepath.Join(dir, "store.db"), Options{Reserve: smallReserve})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ids := fillUp(t, s)
	if err := s.Ping(ctx); !errors.Is(err, store.ErrFull) || !s.Full() {
		t.Fatalf("ping: %v", err)
	}
	more := map[string]store.Value{"f": {Blob: make([]byte, 60_000)}}
	set := &store.Update{ID: ids[0], Revision: 1, Modified: 2, Set: more}
	if err := s.Update(ctx, set, nil); !errors.Is(err, store.ErrFull) {
		t.Fatalf("an update: %v", err)
	}
	if _, err := s.Get(ctx, ids[0]); err != nil {
		t.Fatal(err)
	}
	// Reads are audited for some time. What they leave is for removals.
	audited := 0
	for ; ; audited++ {
		e := entryOf(ids[0])
		e.Time, e.Chain, e.Body = int64(audited), "c", make([]byte, 5000)
		err := s.AppendAudit(ctx, e)
		if errors.Is(err, store.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if audited < 50 {
		t.Fatalf("%d reads were audited", audited)
	}
	remove := &store.Update{ID: ids[0], Revision: 1, Modified: 2, Remove: []string{"f"}}
	if err := s.Update(ctx, remove, entryOf(ids[0])); err != nil {
		t.Fatalf("removing a field: %v", err)
	}
	for _, id := range ids[1:] {
		if err := s.Delete(ctx, id, 1, entryOf(id)); err != nil {
			t.Fatalf("removing %s: %v", id, err)
		}
	}
	if err := s.Ping(ctx); err != nil {
		t.Fatalf("ping after removals: %v", err)
	}
	if err := s.Create(ctx, recOf("v_again"), nil, nil); err != nil {
		t.Fatalf("a create after removals: %v", err)
	}
	if err := errors.Join(s.Close(), Check(filepath.Join(dir, "store.db"))); err != nil {
		t.Fatal(err)
	}
}

func recOf(id string) *store.Record {
	r := rec(id)
	r.Fields["f"] = store.Value{Blob: make([]byte, 20_000)}
	return r
}

func entryOf(id string) *store.Entry {
	return &store.Entry{VaultID: id, Time: 1, Event: "DeleteVault", Chain: "d", Seq: 1}
}

// fillUp makes records until there is no room.
func fillUp(t *testing.T, s *Store) (ids []string) {
	t.Helper()
	for {
		id := fmt.Sprintf("v_%d", len(ids))
		err := s.Create(t.Context(), recOf(id), nil, nil)
		switch {
		case errors.Is(err, store.ErrFull) && len(ids) > 100:
			return ids
		case err != nil:
			t.Fatalf("create %d: %v", len(ids), err)
		case len(ids) > smallDisk/20_000:
			t.Fatal("no end to it")
		}
		ids = append(ids, id)
	}
}

func TestAStoreWhoseRoomOthersTookUsesItsReserveAndResumes(t *testing.T) {
	dir := smallFileSystem(t)
	s, err := Open(filepath.Join(dir, "store.db"), Options{Reserve: smallReserve})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Create(t.Context(), recOf("v_1"), nil, nil); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(log, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	for i := 2; ; i++ { // what lies beyond the reserve
		if err := s.Create(t.Context(), recOf(fmt.Sprintf("v_%d", i)), nil, nil); errors.Is(err, store.ErrFull) {
			break
		} else if err != nil || i > 1000 {
			t.Fatal(i, err)
		}
	}
	if err := s.Delete(t.Context(), "v_1", 1, entryOf("v_1")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Close(), os.Remove(log.Name())); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(retryRoom / 10)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); s.Ping(t.Context()) != nil; <-tick.C {
		if time.Now().After(end) {
			t.Fatal(s.Ping(t.Context()))
		}
	}
	if err := s.Create(t.Context(), recOf("v_again"), nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAWriteThatReadersSeeAlthoughItFailedIsOfUnknownOutcome(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	last := 0
	if err := s.view(func(tx *bbolt.Tx) error { last = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.uncommitted(unix.ENOSPC, last); !errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrFull) {
		t.Errorf("seen: %v", err)
	}
	if err := s.uncommitted(unix.ENOSPC, last+1); !errors.Is(err, store.ErrFull) {
		t.Errorf("not seen: %v", err)
	}
}

func TestAWriteLargerThanItsShareOfTheReserveIsRefusedBeforeItTakesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, nil)
	s.db.tail.mu.Lock()
	s.db.tail.full, s.db.tail.until = unix.EDQUOT, time.Now().Add(time.Hour)
	s.db.tail.mu.Unlock()
	before := fileSize(t, path)
	large := &store.Entry{VaultID: "v_1", Time: 1, Chain: "c", Seq: 1, Body: make([]byte, before)}
	if err := s.AppendAudit(t.Context(), large); !errors.Is(err, store.ErrFull) {
		t.Fatalf("err = %v", err)
	}
	if after := fileSize(t, path); after != before {
		t.Fatalf("the file has %d bytes, and had %d", after, before)
	}
	large.Body = large.Body[:1000]
	if err := s.AppendAudit(t.Context(), large); err != nil {
		t.Fatal(err)
	}
}

func TestAWriteLargerThanTheReserveIsTakenWhileThereIsRoom(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	for i := range 4 {
		r := rec(fmt.Sprintf("v_%d", i))
		r.Fields["f"] = store.Value{Blob: make([]byte, 4<<20)}
		must(t, s.Create(t.Context(), r, nil, nil))
	}
	var backup bytes.Buffer // without free pages, and no longer than it must be
	_, err := s.Backup(&backup)
	must(t, err)
	path := filepath.Join(t.TempDir(), "store.db")
	must(t, RestoreFile(&backup, path))
	s = openAt(t, path, nil)
	for i := range 4 { // a small change writes all of a record, and its neighbour
		u := &store.Update{ID: fmt.Sprintf("v_%d", i), Revision: 1, Modified: 2}
		u.Set = map[string]store.Value{"g": {Blob: []byte("small")}}
		must(t, s.Update(t.Context(), u, nil))
	}
}
