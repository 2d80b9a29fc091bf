package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"redoubt/api/internal/durable"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/wire/kit/domain"
)

// A crash between the two leaves keys that are younger than the records, which serve them; never the other way round.
func TestKeysGetTheirPlaceBeforeTheRecords(t *testing.T) {
	dir := t.TempDir()
	stage := func(name string) *durable.Staged {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := durable.Stage(path, func(w io.Writer) (int64, error) {
			n, err := w.Write([]byte("new"))
			return int64(n), err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	has := func(name string) string {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		return string(data)
	}
	records, keys := stage("records"), stage("keys")
	records.Discard() // so that it cannot be committed
	if err := commitBackup(records, keys); err == nil || has("keys") != "new" || has("records") != "old" {
		t.Errorf("%v: keys %s, records %s", err, has("keys"), has("records"))
	}
	records, keys = stage("records"), stage("keys")
	keys.Discard()
	if err := commitBackup(records, keys); err == nil || has("keys") != "old" || has("records") != "old" {
		t.Errorf("%v: keys %s, records %s", err, has("keys"), has("records"))
	}
}

func TestABackupWithRecordsThatDoNotOpenIsRefusedUnlessAskedFor(t *testing.T) {
	st, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	key := &store.Epoch{WrappedKey: make([]byte, 102)}
	copy(key.WrappedKey, []byte{domain.Mark, 4, 0, 1, 0, 1}) // of no domain that is there
	r := &store.Record{ID: "v_1", Domain: make([]byte, domain.HashSize), Epoch: 1, Modified: 1}
	if err := st.CreateKeyed(t.Context(), r, key, nil, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	whole, err := os.Create(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if _, err := st.Backup(whole); err != nil {
		t.Fatal(err)
	}
	for partial, want := range map[bool]error{false: errPartial, true: nil} {
		cmd := &restoreFromCmd{Partial: partial}
		if err := cmd.judge(&env{ctx: t.Context()}, whole, dir); !errors.Is(err, want) {
			t.Errorf("partial %v: %v", partial, err)
		}
	}
}
