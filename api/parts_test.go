package main_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/proctest"
)

// keyedFile is an embedded store with vaults under a domain, as the API leaves it.
type keyedFile struct {
	*testing.T
	path string
	keys *domain.Keys
}

func newKeyedFile(t *testing.T) *keyedFile {
	t.Helper()
	ds := []byte(rand.Text() + rand.Text())[:domain.SecretSize]
	described, err := domain.Describe(ds, "acme", 1, 1, []sealed.Suite{sealed.XWing}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrap, err := domain.SealSecret(ds, [domain.SaltSize]byte{}, domain.Sum(described), "arn", []byte("blob"), ds)
	if err != nil {
		t.Fatal(err)
	}
	record, err := (&domain.Record{Descriptor: described, Wraps: []domain.Wrap{wrap}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &keyedFile{T: t, path: filepath.Join(t.TempDir(), "store.db")}
	if f.keys, err = domain.OpenKeys(described, ds); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.keys.Destroy)
	f.with(func(s *bolt.Store) error {
		return s.PutDomain(t.Context(), &store.Domain{ID: "acme", Generation: 1, Record: record, MAC: []byte("m")}, nil)
	})
	return f
}

// with changes the store.
func (f *keyedFile) with(change func(*bolt.Store) error) {
	f.Helper()
	s, err := bolt.Open(f.path, bolt.Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(change(s), s.Close()); err != nil {
		f.Fatal(err)
	}
}

// add makes vaults.
func (f *keyedFile) add(ids ...string) {
	f.Helper()
	f.with(func(s *bolt.Store) error {
		for _, id := range ids {
			m, err := f.keys.Mint(rand.Reader, domain.Made, id, sealed.XWing, 1)
			dh := f.keys.Hash()
			if err = errors.Join(err, s.CreateKeyed(f.Context(), &store.Record{
				ID: id, Encoding: store.EncodingDomain, Domain: dh[:], Epoch: 1, Modified: 1,
			}, &store.Epoch{
				WrappedKey: m.Wrapped, PublicKey: m.Public, Statement: m.Statement[:], Suite: []byte("0123456789"),
			}, nil, nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// erase erases a vault.
func (f *keyedFile) erase(id string) {
	f.Helper()
	f.with(func(s *bolt.Store) error {
		r, k, err := s.GetKeyed(f.Context(), id)
		if err != nil {
			return err
		}
		return s.Erase(f.Context(), id, r.Modified, k, 1, nil)
	})
}

// vaults lists the vaults whose records and keys belong together, in the store's order.
func (f *keyedFile) vaults() (ids []string) {
	f.Helper()
	f.with(func(s *bolt.Store) error {
		list, _, err := s.List(f.Context(), store.Page{})
		for _, line := range list {
			if _, _, err := s.GetKeyed(f.Context(), line.ID); err == nil {
				ids = append(ids, line.ID)
			}
		}
		return err
	})
	return ids
}

func (f *keyedFile) run(args ...string) (out, errOut string, code int) {
	f.Helper()
	return command(f.T, []string{"API_STORE=bolt:" + f.path}, args...)
}

func (f *keyedFile) must(args ...string) string {
	f.Helper()
	out, errOut, code := f.run(args...)
	if code != 0 {
		f.Fatalf("api %s: exit %d: %s", strings.Join(args, " "), code, errOut)
	}
	return out
}

func TestABackupHasItsKeysInAFileOfTheirOwnAndBothComeBack(t *testing.T) {
	f := newKeyedFile(t)
	f.add("v_1", "v_2")
	to := filepath.Join(t.TempDir(), "copy")
	if out := f.must("backup", to); !strings.Contains(out, to+".keys") {
		t.Errorf("backup said %q", out)
	}
	f.erase("v_1")
	f.add("v_3")
	f.must("restore", to, "--yes")
	if got := fmt.Sprint(f.vaults()); got != "[v_1 v_2]" {
		t.Errorf("restored: %s", got)
	}
	var report struct{ Records, Keyed, Domains int }
	if err := json.Unmarshal([]byte(f.must("restore", "check", "--json")), &report); err != nil || report.Keyed != 2 ||
		report.Domains != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	other := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(to+".keys", other); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := f.run("restore", to, "--yes"); code != 1 || !strings.Contains(errOut, "hint: name the file with the keys") {
		t.Errorf("without keys: exit %d: %s", code, errOut)
	}
	f.must("restore", to, "--yes", "--keys", other)
}

func TestAStoreWithoutDomainsIsBackedUpToOneFile(t *testing.T) {
	f := &keyedFile{T: t, path: filepath.Join(t.TempDir(), "store.db")}
	f.with(func(s *bolt.Store) error {
		return s.Create(t.Context(), &store.Record{ID: "v_kms", Modified: 1}, nil, nil)
	})
	to := filepath.Join(t.TempDir(), "copy")
	f.must("backup", to)
	if _, err := os.Stat(to + ".keys"); err == nil {
		t.Error("there is a file of keys")
	}
	f.must("restore", to, "--yes")
	f.must("restore", "check")
}

func TestOneFileWithAllIsWrittenWhereThatIsAsked(t *testing.T) {
	f := newKeyedFile(t)
	f.add("v_1")
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	f.must("backup", whole, "--whole")
	f.add("v_2")
	f.must("restore", whole, "--yes")
	if got := fmt.Sprint(f.vaults()); got != "[v_1]" {
		t.Errorf("restored: %s", got)
	}
	if out := f.must("backup", "-"); !strings.HasPrefix(out, "redoubt backup 1") {
		t.Errorf("standard output: %.20q", out)
	}
	for _, args := range [][]string{{"-", "--keys", "k"}, {"a", "--whole", "--keys", "k"}, {"a", "--keys", "a"}} {
		if _, errOut, code := f.run(append([]string{"backup"}, args...)...); code != 2 {
			t.Errorf("%v: exit %d: %s", args, code, errOut)
		}
	}
}

// Keys that are older than the records lack those of newer vaults.
func TestKeysThatDoNotBelongToTheRecordsAreRefused(t *testing.T) {
	f := newKeyedFile(t)
	dir := t.TempDir()
	f.add("v_1")
	f.must("backup", filepath.Join(dir, "old"))
	f.add("v_2")
	f.must("backup", filepath.Join(dir, "new"))
	f.add("v_3")
	before := fmt.Sprint(f.vaults())
	_, errOut, code := f.run("restore", filepath.Join(dir, "new"), "--yes", "--keys", filepath.Join(dir, "old.keys"))
	if code != 1 || !strings.Contains(errOut, "1 of 2") || !strings.Contains(errOut, "v_2") ||
		!strings.Contains(errOut, "hint: use keys that were backed up together") || fmt.Sprint(f.vaults()) != before {
		t.Fatalf("exit %d: %s; then %v", code, errOut, f.vaults())
	}
	// Keys that are newer serve older records.
	f.must("restore", filepath.Join(dir, "old"), "--yes", "--keys", filepath.Join(dir, "new.keys"))
	if got := fmt.Sprint(f.vaults()); got != "[v_1]" {
		t.Errorf("older records: %s", got)
	}
	f.must("restore", filepath.Join(dir, "new"), "--yes", "--partial", "--keys", filepath.Join(dir, "old.keys"))
	out, errOut, code := f.run("restore", "check", "--json")
	var report struct {
		Problems []struct{ Vault, Kind string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 1 || len(report.Problems) != 1 ||
		report.Problems[0].Vault != "v_2" || report.Problems[0].Kind != "no_keys" || !strings.Contains(errOut, "hint:") {
		t.Errorf("check: exit %d: %s %s", code, out, errOut)
	}
}

func TestACheckThatCannotReadHasNoVerdict(t *testing.T) {
	dir := t.TempDir()
	f := &keyedFile{T: t, path: filepath.Join(dir, "none.db")}
	if _, errOut, code := f.run("restore", "check"); code != 3 {
		t.Errorf("no store: exit %d: %s", code, errOut)
	}
}

// A restore that is killed, at whichever of its steps, leaves the whole old content or the whole new.
func TestAKilledRestoreOfBothPartsLeavesTheOldOrTheNew(t *testing.T) {
	f := newKeyedFile(t)
	f.add("v_1", "v_2")
	to := filepath.Join(t.TempDir(), "copy")
	f.must("backup", to)
	f.erase("v_1")
	f.add("v_3")
	const was, becomes = "[v_2 v_3]", "[v_1 v_2]"
	data, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, given := range []int{0, len(data) / 3, len(data) - 1, len(data)} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := proctest.CommandContext(ctx, binary, "restore", "-", "--yes", "--keys", to+".keys", "--admin", "off")
		cmd.Env = []string{"API_STORE=bolt:" + f.path}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		if _, err := in.Write(data[:given]); err != nil {
			t.Fatal(err)
		}
		if given == len(data) {
			_ = in.Close()
		}
		go func() { ended <- cmd.Wait() }()
		if given == len(data) {
			waitFor(t, func() bool { // the whole is beside the store, or in its place already
				list, _ := filepath.Glob(filepath.Join(filepath.Dir(f.path), ".*.restore-*"))
				return len(list) == 1 || len(ended) == 1
			})
		}
		_ = cmd.Process.Kill()
		if <-ended != nil {
			killed++
		}
		cancel()
		if got := fmt.Sprint(f.vaults()); got != was && (given < len(data) || got != becomes) {
			t.Fatalf("killed after %d bytes: %s", given, got)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.path), ".*restore*")); len(left) > 0 {
			t.Errorf("after the next start there is still %v", left)
		}
	}
	if killed < 3 {
		t.Errorf("%d of 4 were killed", killed)
	}
	f.must("restore", to, "--yes")
	if got := fmt.Sprint(f.vaults()); got != becomes {
		t.Errorf("in the end: %s", got)
	}
}

func TestBothPartsComeFromAndGoToAServer(t *testing.T) {
	f := newKeyedFile(t)
	f.add("v_1", "v_2")
	s := start(t, apitest.NewStack(t), f.path)
	to := filepath.Join(t.TempDir(), "copy")
	f.must("backup", to)
	if keys, err := os.Stat(to + ".keys"); err != nil || keys.Size() == 0 {
		t.Fatal(keys, err)
	}
	f.must("restore", "check")
	f.must("restore", to, "--yes")
	if err := s.stop(t); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.vaults()); got != "[v_1 v_2]" {
		t.Errorf("restored: %s", got)
	}
	for _, part := range []string{to, to + ".keys"} {
		if _, errOut, code := f.run("backup", f.path, "--keys", part); code != 1 || !strings.Contains(errOut, "the store itself") {
			t.Errorf("onto the store: exit %d: %s", code, errOut)
		}
		if _, errOut, code := f.run("backup", part, "--keys", f.path); code != 1 || !strings.Contains(errOut, "the store itself") {
			t.Errorf("keys onto the store: exit %d: %s", code, errOut)
		}
	}
}
