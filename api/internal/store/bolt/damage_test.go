//go:build !wasip1

package bolt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
)

// busyFile is the content of a store with deep trees, values of several pages, and free pages.
func busyFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, nil)
	for i := range 200 {
		r := rec(fmt.Sprintf("v_%03d", i))
		r.ExpireAt = 1<<40 + int64(i)
		r.Fields["f"] = store.Value{Blob: bytes.Repeat([]byte{byte(i)}, 100+i%40/39*9000)}
		e := &store.Entry{VaultID: r.ID, Time: int64(i), Event: "CreateVault", Chain: "c", Seq: 1}
		if err := s.Create(t.Context(), r, e, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		if err := s.Delete(t.Context(), fmt.Sprintf("v_%03d", i*5), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPages(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return data[:int64(p.meta.end)*p.meta.page] // without the reserve
}

// wrapped makes a backup of a store file, whole or not.
func wrapped(data []byte) []byte {
	out := binary.BigEndian.AppendUint64([]byte(backupMagic), uint64(len(data)))
	sum := sha256.Sum256(data)
	return append(append(out, data...), sum[:]...)
}

// broken calls try with many ways in which a file can be damaged, those that bbolt has panicked on among them.
func broken(t *testing.T, data []byte, try func(name string, data []byte)) {
	t.Helper()
	const size = 4096
	for n := 0; n < len(data); n += max(1, len(data)/97) {
		try(fmt.Sprintf("cut to %d", n), data[:n])
	}
	r := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(data); at += size {
		for _, off := range []int{0, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 64, 100 + r.IntN(size-100)} {
			for _, b := range []byte{0, 0xff} {
				d := bytes.Clone(data)
				for i := range 4 {
					d[at+off+i] = b
				}
				try(fmt.Sprintf("%#x at %d of page %d", b, off, at/size), d)
			}
		}
		if at >= 2*size {
			d := bytes.Clone(data)
			copy(d[at:at+size], data[(at+7*size)%len(data):])
			try(fmt.Sprintf("page %d of another place", at/size), d)
		}
	}
}

// If the check calls a file whole, bbolt opens it and reads it to its end. If the check refuses it, so does a restore.
func TestRestoreOfASumThatIsRightOverAStoreThatIsNot(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "store.db"), nil)
	if err := s.Create(t.Context(), rec("v_old"), nil, nil); err != nil {
		t.Fatal(err)
	}
	whole, refused, path := 0, 0, filepath.Join(dir, "broken.db")
	broken(t, busyFile(t), func(name string, d []byte) {
		p, err := readPages(bytes.NewReader(d), int64(len(d)))
		if err == nil {
			err = p.whole()
		}
		if err == nil {
			whole++
			if err := os.WriteFile(path, d, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := readThrough(path); errors.Is(err, errUnreadable) {
				t.Errorf("%s: taken as whole: %v", name, err)
			}
			return
		}
		if refused++; refused%10 != 0 { // a restore syncs, which takes its time
			return
		}
		err = s.Restore(bytes.NewReader(wrapped(d)), func(func() error) error { return errors.New("swapped") })
		if !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Get(t.Context(), "v_old"); err != nil {
			t.Fatalf("%s: old content: %v", name, err)
		}
	})
	if whole == 0 || refused < 300 {
		t.Fatalf("%d whole, %d refused", whole, refused)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.restore-*")); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

// readThrough opens a file and reads all that is in it.
func readThrough(path string) error {
	f, err := open(path, openAs{readOnly: true})
	if err != nil {
		return err
	}
	err = guarded(func() error {
		return f.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(_, v []byte) error {
					sha256.Sum256(v)
					return nil
				})
			})
		})
	})
	return errors.Join(err, f.Close())
}

func TestADamagedFileIsAnErrorNeverAPanic(t *testing.T) {
	dir := t.TempDir()
	opened, refused, n := 0, 0, 0
	broken(t, busyFile(t), func(name string, d []byte) {
		if n++; n%7 != 0 { // each writes, which takes its time
			return
		}
		path := filepath.Join(dir, fmt.Sprint(n))
		if err := os.WriteFile(path, d, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			if refused++; !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		opened++
		for step, err := range useAll(t, s) {
			known := errors.Is(err, ErrDamaged) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists)
			if err != nil && !known && !errors.Is(err, store.ErrConflict) && !errors.Is(err, ErrReplaced) {
				t.Errorf("%s: %s: %v", name, step, err)
			}
		}
		_ = errors.Join(s.Close(), os.Remove(path)) // it may be damaged
	})
	if opened < 50 || refused < 10 {
		t.Fatalf("%d opened, %d refused", opened, refused)
	}
}

// useAll does with a store what can be done.
func useAll(t *testing.T, s *Store) map[string]error {
	t.Helper()
	ctx, out := t.Context(), map[string]error{}
	_, _, out["list"] = s.List(ctx, store.Page{Limit: store.MaxPage})
	out["verify"] = s.AuditedVaults(ctx, func(id string) error {
		_, _, err := s.Audit(ctx, id, store.Page{})
		return err
	})
	_, out["get"] = s.Get(ctx, "v_039")
	_, out["backup"] = s.Backup(&bytes.Buffer{})
	out["ping"] = s.Ping(ctx)
	_, out["inspect"] = s.Inspect(ctx)
	out["create"] = s.Create(ctx, rec("v_0395"), &store.Entry{VaultID: "v_0395", Time: 1, Chain: "c", Seq: 1}, nil)
	out["delete"] = s.Delete(ctx, "v_041", 1, nil)
	s.sweepOnce(ctx, noEntry)
	return out
}

func TestAFileThatIsCutWhileItIsServedIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, busyFile(t), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, nil)
	if err := os.Truncate(path, 3*4096); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("ping: %v", err)
	}
	if _, _, err := s.List(t.Context(), store.Page{Limit: store.MaxPage}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("list: %v", err)
	}
	for range 2 { // the second must not wait for the first, whose lock bbolt may have kept
		if err := s.Create(t.Context(), rec("v_new"), nil, nil); !errors.Is(err, ErrDamaged) {
			t.Fatalf("create: %v", err)
		}
	}
	if err := s.Restore(bytes.NewReader(backupOf(t, "v_1")), nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Create(t.Context(), rec("v_new"), nil, nil), s.Ping(t.Context())); err != nil {
		t.Fatalf("after a restore: %v", err)
	}
}

func TestAFileThatExistedIsNeverTakenAsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("err = %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Fatalf("%v, %v", info, err)
	}
}

func TestARecordThatCannotBeReadHidesNoOther(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	for i, id := range []string{"v_1", "v_2", "v_3"} {
		e := &store.Entry{VaultID: id, Time: 1, Event: "CreateVault", Chain: "c", Seq: 1}
		later := &store.Entry{VaultID: id, Time: 2, Event: "DecryptVault", Chain: "c", Seq: 2}
		if err := errors.Join(s.Create(t.Context(), rec(id), e, nil), s.AppendAudit(t.Context(), later)); err != nil {
			t.Fatal(i, err)
		}
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(bucketRecords).Put([]byte("v_2"), []byte("junk")),
			tx.Bucket(bucketAudit).Put(auditKey(&store.Entry{VaultID: "v_2", Time: 2, Chain: "c", Seq: 2}), []byte("junk")))
	})
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := s.List(t.Context(), store.Page{})
	if err != nil || len(list) != 2 {
		t.Fatalf("list = %v, %v", list, err)
	}
	if _, err := s.Get(t.Context(), "v_2"); !errors.Is(err, ErrDamaged) {
		t.Fatalf("get: %v", err)
	}
	if err := s.Create(t.Context(), rec("v_2"), nil, nil); !errors.Is(err, ErrDamaged) {
		t.Fatalf("create over it: %v", err)
	}
	entries, _, err := s.Audit(t.Context(), "v_2", store.Page{})
	if err != nil || len(entries) != 2 || entries[1].Event != store.EventUnreadable || entries[1].Chain != "c" ||
		entries[1].Seq != 2 || entries[1].Time != 2 {
		t.Fatalf("audit: %+v, %v", entries, err)
	}
	if n := s.Damaged(); n != 4 {
		t.Fatalf("counted %d times", n)
	}
	found, err := s.Inspect(t.Context())
	if err != nil || found.Records != 3 || found.Entries != 6 || len(found.Damaged) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
}

// TestAnEntryOfNoTimeEndsNoReader: a key of the log whose time is damaged comes after where that vault's log ends, and a
// reader that goes on from there must not find the same vault again.
func TestAnEntryOfNoTimeEndsNoReader(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for i, id := range []string{"v_1", "v_2"} {
		e := &store.Entry{VaultID: id, Time: int64(i + 1), Chain: "c", Seq: 1}
		if err := s.Create(t.Context(), rec(id), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		key := append(auditPrefix("v_1"), "\xff\xff\xff\xff\xff\xff\xff\xffc"...)
		return tx.Bucket(bucketAudit).Put(key, []byte("no entry"))
	})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	err = s.AuditedVaults(t.Context(), func(id string) error {
		if seen = append(seen, id); len(seen) > 2 {
			return errors.New("a vault is found again")
		}
		return nil
	})
	if err != nil || !slices.Equal(seen, []string{"v_1", "v_2"}) {
		t.Fatalf("%v, %v", seen, err)
	}
}

// TestAReaderGoesRoundNoDamagedTree: keys that do not rise end it.
func TestAReaderGoesRoundNoDamagedTree(t *testing.T) {
	for _, keys := range [][]string{{"b", "b"}, {"b", "a"}, {"b", "c", "b"}, {"b", ""}} {
		seen, err := order{last: []byte("b")}, error(nil)
		for _, k := range keys {
			err = errors.Join(err, seen.next([]byte(k)))
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", keys, err)
		}
	}
	if got := past([]byte("a\xff")); string(got) != "b" || past([]byte("\xff")) != nil {
		t.Errorf("past: %q", got)
	}
}
