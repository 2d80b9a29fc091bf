//go:build !wasip1

package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/storetest"
)

// keyOf is a key of the vault, with a mark in it.
func keyOf(id string, n uint16, mark []byte) *store.Epoch {
	wrapped := make([]byte, 54, 102)
	wrapped[0], wrapped[1], wrapped[3] = 0xD1, 4, 1
	binary.BigEndian.PutUint16(wrapped[4:], n)
	wrapped = append(append(wrapped, mark...), bytes.Repeat([]byte{byte(n)}, 48-len(mark))...)
	return &store.Epoch{
		WrappedKey: wrapped, PublicKey: append([]byte("pk "), mark...), Statement: append([]byte("ks "), mark...),
		Suite: []byte("HPKE"), Created: 1,
	}
}

func keyedRec(id string, n uint16) *store.Record {
	r := rec(id)
	r.Encoding, r.Domain, r.Epoch = store.EncodingDomain, bytes.Repeat([]byte{7}, 48), n
	return r
}

func formatOf(t *testing.T, s *Store) (out string) {
	t.Helper()
	err := s.view(func(tx *bbolt.Tx) error {
		out = string(tx.Bucket(bucketMeta).Get(keyFormat))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An earlier release knows one format and refuses any other. Until the first write that it could not read, the file is
// its own.
func TestTheFormatChangesWithTheFirstWriteOfADomain(t *testing.T) {
	first := map[string]func(*Store) error{
		"a vault": func(s *Store) error {
			return s.CreateKeyed(t.Context(), keyedRec("v_1", 1), keyOf("v_1", 1, nil), nil, nil)
		},
		"a domain": func(s *Store) error {
			return s.PutDomain(t.Context(), &store.Domain{ID: "acme", Generation: 1, Record: []byte("r")}, nil)
		},
		"a reseal": func(s *Store) error {
			if err := s.Create(t.Context(), rec("v_1"), nil, nil); err != nil {
				return err
			}
			return s.Reseal(t.Context(), &store.Reseal{Record: keyedRec("v_1", 1), Revision: 1, Key: *keyOf("v_1", 1, nil)}, nil)
		},
	}
	for name, write := range first {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			s := openAt(t, path, nil)
			if err := s.Create(t.Context(), rec("v_kms"), nil, nil); err != nil {
				t.Fatal(err)
			}
			// A read changes nothing, nor does a write that is refused.
			_, _, err := s.GetKeyed(t.Context(), "v_kms")
			if _, none := s.Domain(t.Context(), "acme", 1); err != nil || !errors.Is(none, store.ErrNotFound) {
				t.Fatal(err, none)
			}
			err = s.CreateKeyed(t.Context(), keyedRec("v_kms", 1), keyOf("v_kms", 1, nil), nil, nil)
			if !errors.Is(err, store.ErrExists) || formatOf(t, s) != "redoubt store 1" {
				t.Fatalf("%v, format %q", err, formatOf(t, s))
			}
			if err := write(s); err != nil {
				t.Fatal(err)
			}
			if formatOf(t, s) != "redoubt store 2" {
				t.Fatalf("format %q", formatOf(t, s))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := Check(path); err != nil {
				t.Fatal(err)
			}
			openAt(t, path, nil)
		})
	}
}

func TestAFileOfANewerFormatOrWithoutItsKeysIsRefused(t *testing.T) {
	for name, change := range map[string]func(*bbolt.Tx) error{
		"a newer format": func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketMeta).Put(keyFormat, []byte("redoubt store 3"))
		},
		"no keys":    func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketKeys) },
		"no domains": func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketDomains) },
	} {
		path := filepath.Join(t.TempDir(), "store.db")
		s := openAt(t, path, nil)
		if err := s.CreateKeyed(t.Context(), keyedRec("v_1", 1), keyOf("v_1", 1, nil), nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.db.Update(change), s.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of what was erased, dropped or has expired nothing is in the folder's files about a second later.
func TestErasedKeysAreGoneFromTheFile(t *testing.T) {
	clock := &storetest.Clock{}
	clock.Set(storetest.Start)
	dir := t.TempDir()
	s := openToErase(t, filepath.Join(dir, "store.db"), clock.Now, nil)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := func(id string, mark []byte, expire int64) (*store.Record, *store.Keys) {
		t.Helper()
		r := keyedRec(id, 1)
		r.ExpireAt = expire
		r.Encs = map[string][]byte{"0000000000000001": append([]byte("enc "), mark...)}
		r.Fields["f"] = store.Value{Blob: append([]byte("field "), mark...)}
		must(s.CreateKeyed(ctx, r, keyOf(id, 1, mark), nil, nil))
		r, k, err := s.GetKeyed(ctx, id)
		must(err)
		return r, k
	}
	for i := range 40 { // neighbours, so that pages are shared
		create("kept_"+string(rune('a'+i)), keptMark, 0)
	}
	r, k := create("erased", removedMark, 0)
	dropped, dk := create("dropped", removedMark, 0)
	create("expired", removedMark, storetest.Start+10)
	if n := marksIn(t, dir, removedMark); n < 3*5 {
		t.Fatalf("%d marks before", n)
	}
	must(s.Erase(ctx, "erased", r.Modified, k, 1, nil))
	to := keyedRec("dropped", 2)
	to.Modified = dropped.Modified + 1
	must(s.Reseal(ctx, &store.Reseal{Record: to, Revision: dropped.Modified, Keys: dk, Key: *keyOf("dropped", 2, keptMark)}, nil))
	_, dk, err := s.GetKeyed(ctx, "dropped")
	must(err)
	must(s.DropEpochs(ctx, "dropped", to.Modified, dk, []uint16{1}, nil))
	clock.Set(storetest.Start + 20)
	for s.sweepOnce(ctx, noEntry) > 0 {
		continue
	}
	untilErased(t, dir)
	if n := marksIn(t, dir, keptMark); n < 41*3 {
		t.Errorf("%d marks of what was kept", n)
	}
	if _, _, err := s.GetKeyed(ctx, "kept_a"); err != nil {
		t.Error(err)
	}
	if stone, err := s.Keys(ctx, "erased"); err != nil || stone.Erased == 0 {
		t.Errorf("tombstone %v, %v", stone, err)
	}
	if _, err := s.Keys(ctx, "expired"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("keys of what expired: %v", err)
	}
}

// A tombstone outlives the sweep, also where a record with that id was brought back and expires.
func TestTheSweepKeepsTombstones(t *testing.T) {
	clock := &storetest.Clock{}
	clock.Set(storetest.Start)
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), clock.Now)
	if err := s.CreateKeyed(t.Context(), keyedRec("v_1", 1), keyOf("v_1", 1, nil), nil, nil); err != nil {
		t.Fatal(err)
	}
	r, k, err := s.GetKeyed(t.Context(), "v_1")
	if err == nil {
		err = s.Erase(t.Context(), "v_1", r.Modified, k, 1, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	back := rec("v_1")
	back.ExpireAt = storetest.Start + 5
	if err := s.Create(t.Context(), back, nil, nil); err != nil {
		t.Fatal(err)
	}
	clock.Set(storetest.Start + 10)
	if s.sweepOnce(t.Context(), noEntry) == 0 {
		t.Fatal("nothing was swept")
	}
	if stone, err := s.Keys(t.Context(), "v_1"); err != nil || stone.Erased != 1 {
		t.Fatalf("%v, %v", stone, err)
	}
}
