//go:build !wasip1

package bolt

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"redoubt/api/internal/store"
)

// parted is a store with vaults of both kinds and a domain, and its backups.
func parted(t *testing.T) (s *Store, whole, records, keys []byte) {
	t.Helper()
	s = openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	marks := keyedRec("v_1", 1)
	marks.Fields["f"] = store.Value{Blob: keptMark}
	err := errors.Join(
		s.Create(t.Context(), rec("v_kms"), &store.Entry{VaultID: "v_kms", Time: 1, Event: "CreateVault"}, nil),
		s.CreateKeyed(t.Context(), marks, keyOf("v_1", 1, removedMark), nil, nil),
		s.PutDomain(t.Context(), &store.Domain{ID: "acme", Generation: 1, Record: []byte("r"), MAC: []byte("m")}, nil),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s, taken(t, s.Backup), taken(t, s.BackupRecords), taken(t, s.BackupKeys)
}

func TestABackupOfRecordsHasNoKeyAndOneOfKeysNoRecord(t *testing.T) {
	_, whole, records, keys := parted(t)
	for name, tt := range map[string]struct {
		backup      []byte
		record, key bool
	}{"whole": {whole, true, true}, "records": {records, true, false}, "keys": {keys, false, true}} {
		if got := bytes.Contains(tt.backup, keptMark); got != tt.record {
			t.Errorf("%s: a record is in it: %v", name, got)
		}
		if got := bytes.Contains(tt.backup, removedMark); got != tt.key {
			t.Errorf("%s: a key is in it: %v", name, got)
		}
	}
}

func TestNeitherPartIsRestoredAlone(t *testing.T) {
	s, _, records, keys := parted(t)
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		backup []byte
		want   error
	}{"records": {records, ErrKeysApart}, "keys": {keys, ErrBackup}} {
		if err := s.Restore(bytes.NewReader(tt.backup), nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: restore: %v", name, err)
		}
		if err := RestoreFile(bytes.NewReader(tt.backup), filepath.Join(dir, name)); !errors.Is(err, tt.want) {
			t.Errorf("%s: restore of a file: %v", name, err)
		}
	}
	if _, err := ReadBackup(bytes.NewReader(records), dir); !errors.Is(err, ErrKeysApart) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := s.GetKeyed(t.Context(), "v_1"); err != nil {
		t.Errorf("after refused restores: %v", err)
	}
}

func TestBothPartsTogetherAreTheWhole(t *testing.T) {
	s, whole, records, keys := parted(t)
	before, beforeKeys, err := s.GetKeyed(t.Context(), "v_1")
	if err != nil {
		t.Fatal(err)
	}
	var joined bytes.Buffer
	if n, err := Join(bytes.NewReader(records), bytes.NewReader(keys), t.TempDir(), &joined); err != nil || n != int64(joined.Len()) {
		t.Fatal(n, err)
	}
	for name, backup := range map[string][]byte{"whole": whole, "joined": joined.Bytes()} {
		path := filepath.Join(t.TempDir(), "restored.db")
		if err := RestoreFile(bytes.NewReader(backup), path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := openAt(t, path, nil)
		got, gotKeys, err := r.GetKeyed(t.Context(), "v_1")
		if err != nil || string(got.Fields["f"].Blob) != string(before.Fields["f"].Blob) ||
			!bytes.Equal(gotKeys.Epochs[0].WrappedKey, beforeKeys.Epochs[0].WrappedKey) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Get(t.Context(), "v_kms"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Domain(t.Context(), "acme", 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.LastAudit(t.Context(), "v_kms"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(r.Close(), Check(path)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A backup of records from before a reseal opens with the keys of after it, as long as the old key is kept.
func TestRecordsOfBeforeAResealOpenWithLaterKeys(t *testing.T) {
	s, _, records, _ := parted(t)
	r, k, err := s.GetKeyed(t.Context(), "v_1")
	if err != nil {
		t.Fatal(err)
	}
	to := keyedRec("v_1", 2)
	to.Modified = r.Modified + 1
	if err := s.Reseal(t.Context(), &store.Reseal{Record: to, Revision: r.Modified, Keys: k, Key: *keyOf("v_1", 2, nil)}, nil); err != nil {
		t.Fatal(err)
	}
	var joined bytes.Buffer
	if _, err := Join(bytes.NewReader(records), bytes.NewReader(taken(t, s.BackupKeys)), t.TempDir(), &joined); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(&joined, nil); err != nil {
		t.Fatal(err)
	}
	if got, keys, err := s.GetKeyed(t.Context(), "v_1"); err != nil || got.Epoch != 1 || len(keys.Epochs) != 2 {
		t.Fatalf("%v, %v", keys, err)
	}
}

func TestOnlyRecordsAndKeysJoin(t *testing.T) {
	_, whole, records, keys := parted(t)
	cut := records[:len(records)-1]
	for name, pair := range map[string][2][]byte{
		"the wrong way round": {keys, records}, "a whole backup": {whole, keys}, "records twice": {records, records},
		"keys twice": {keys, keys}, "cut": {cut, keys}, "nothing": {nil, nil},
	} {
		_, err := Join(bytes.NewReader(pair[0]), bytes.NewReader(pair[1]), t.TempDir(), &bytes.Buffer{})
		if !errors.Is(err, ErrNotKeys) && !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A store without domains has one backup, and its parts are that.
func TestWithoutDomainsABackupIsWhole(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "store.db"), nil)
	if err := s.Create(t.Context(), rec("v_kms"), nil, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "restored.db")
	if err := RestoreFile(bytes.NewReader(taken(t, s.BackupRecords)), path); err != nil {
		t.Fatal(err)
	}
	if r := openAt(t, path, nil); formatOf(t, r) != "redoubt store 1" {
		t.Errorf("format %q", formatOf(t, r))
	}
}

// taken is a backup.
func taken(t *testing.T, take func(io.Writer) (int64, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	if n, err := take(&out); err != nil || n != int64(out.Len()) {
		t.Fatal(n, err)
	}
	return out.Bytes()
}
