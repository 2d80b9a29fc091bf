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
	return data
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

// What the check takes as whole, bbolt opens and reads to its end; what it refuses, a restore refuses.
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
