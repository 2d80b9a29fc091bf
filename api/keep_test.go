package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
	"redoubt/api/internal/audit"
)

func TestABackupIsNeverWrittenOverAStore(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, other := filepath.Join(dir, "store.db"), filepath.Join(dir, "other.db")
	hard, soft := filepath.Join(dir, "hard"), filepath.Join(dir, "soft")
	id := backedUp(t, stack, file, filepath.Join(dir, "copy"))
	if err := os.Symlink(file, soft); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, hard); err != nil {
		t.Fatal(err)
	}
	refused := func(to string, env ...string) {
		t.Helper()
		_, errOut, code := command(t, stack.Env(env...), "backup", to)
		if code != 1 || !strings.Contains(errOut, "is the store itself") || !strings.Contains(errOut, "hint: name another file") {
			t.Fatalf("backup onto %s: exit %d: %s", to, code, errOut)
		}
	}
	for _, to := range []string{file, hard, soft} {
		refused(to, "API_STORE=bolt:"+file)
	}
	s := start(t, stack, file, "--suite", "P-256")
	for _, to := range []string{file, hard, soft} {
		refused(to, "API_STORE=bolt:"+file)
		refused(to, "API_STORE=bolt:"+other, "API_ADMIN="+file+".sock") // whose store the flags don't name
	}
	if _, errOut, code := command(t, stack.Env("API_STORE=bolt:"+file), "backup", file+".sock"); code != 1 || !strings.Contains(errOut, "not a file") {
		t.Fatalf("onto the socket: exit %d: %s", code, errOut)
	}
	later, err := s.client.Create(t.Context(), map[string]string{"city": "Basel"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(t); err != nil {
		t.Fatal(err)
	}
	s = start(t, stack, file)
	for _, id := range []string{id, later.ID} {
		if _, _, err := s.client.Get(t.Context(), id); err != nil {
			t.Fatalf("after a restart: %v", err)
		}
	}
}

func TestACheckpointVouchesOnlyForWhatHolds(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, old, heads := filepath.Join(dir, "store.db"), filepath.Join(dir, "copy"), filepath.Join(dir, "heads")
	backedUp(t, stack, file, old)
	env := stack.Env("API_STORE=bolt:" + file)
	nightly := func(args ...string) (string, int) {
		out, errOut, code := command(t, env, append([]string{"audit", "verify"}, args...)...)
		return out + errOut, code
	}
	s := start(t, stack, file, "--suite", "P-256")
	if _, err := s.client.Create(t.Context(), map[string]string{"city": "Basel"}, client.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(t); err != nil {
		t.Fatal(err)
	}
	if text, code := nightly("--write-checkpoint", heads); code != 0 {
		t.Fatal(text)
	}
	if text, code := nightly("--since", heads, "--write-checkpoint", heads); code != 0 {
		t.Fatal(text)
	}
	before, err := os.ReadFile(heads)
	if err != nil {
		t.Fatal(err)
	}
	if c := (audit.Checkpoint{}); json.Unmarshal(before, &c) != nil || len(c.Heads) != 2 {
		t.Fatalf("heads of %d vaults", len(c.Heads))
	}
	if _, errOut, code := command(t, env, "restore", old, "--yes"); code != 0 { // which cuts the log
		t.Fatal(errOut)
	}
	for range 2 {
		for _, args := range [][]string{{"--since", heads, "--write-checkpoint", heads}, {"--write-checkpoint", heads}} {
			text, code := nightly(args...)
			if code != 1 || !strings.Contains(text, audit.TextCheckpoint) || !strings.Contains(text, "hint: the checkpoint was left as it is") {
				t.Fatalf("%v: exit %d: %s", args, code, text)
			}
		}
	}
	if after, err := os.ReadFile(heads); err != nil || string(after) != string(before) {
		t.Fatal("the checkpoint was written over")
	}
	fresh := filepath.Join(dir, "fresh")
	if text, code := nightly("--since", heads, "--write-checkpoint", fresh); code != 1 {
		t.Fatal(text)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Fatal("a checkpoint of a log with problems was made")
	}
	if text, code := nightly("--write-checkpoint", file); code != 3 || !strings.Contains(text, "hint: --write-checkpoint replaces a checkpoint") {
		t.Fatalf("onto the store: exit %d: %s", code, text)
	}
	if text, code := nightly("--write-checkpoint", fresh); code != 0 {
		t.Fatal(text)
	}
}

// TestAStoreThatWasPutBackShowsAgainstACheckpointOutside: by a restore of a backup, or beside the API by a copy of the
// file, what was deleted since is back, and what was read since was read by nobody. The store by itself is whole.
func TestAStoreThatWasPutBackShowsAgainstACheckpointOutside(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, old, outside := filepath.Join(dir, "store.db"), filepath.Join(dir, "copy"), filepath.Join(dir, "outside")
	id := backedUp(t, stack, file, old)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := stack.Env("API_STORE=bolt:" + file)
	verify := func(args ...string) (string, int) {
		out, errOut, code := command(t, env, append([]string{"audit", "verify"}, args...)...)
		return out + errOut, code
	}
	s := start(t, stack, file, "--suite", "P-256", "--audit-checkpoint-file", outside, "--audit-checkpoint-every", "1s")
	if _, err := s.client.Decrypt(t.Context(), id, client.DecryptRequest{Fields: []string{"city"}, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // of the first entry, and the one that counts it
		data, err := os.ReadFile(outside)
		return err == nil && strings.Count(string(data), "\n") == 2
	})
	if text, code := verify("--since", outside); code != 0 || !strings.Contains(text, "entries with a MAC: 2") ||
		!strings.Contains(text, "; 2 are in checkpoints") || strings.Contains(text, "(--since)") {
		t.Fatalf("while it serves: exit %d: %s", code, text)
	}
	if err := s.client.Delete(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(t); err != nil { // which makes a checkpoint
		t.Fatal(err)
	}
	if text, code := verify("--since", outside); code != 0 || !strings.Contains(text, "; 3 are in checkpoints") {
		t.Fatalf("after it: exit %d: %s", code, text)
	}
	for way, put := range map[string]func(){
		"a restore": func() {
			if _, errOut, code := command(t, env, "restore", old, "--yes"); code != 0 {
				t.Fatal(errOut)
			}
		},
		"a copy of the file": func() {
			if err := os.WriteFile(file, before, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		put()
		if text, code := verify(); code != 0 || !strings.Contains(text, "only a checkpoint from outside it shows that (--since)") {
			t.Fatalf("%s: exit %d: %s", way, code, text)
		}
		if text, code := verify("--since", outside); code != 1 || !strings.Contains(text, audit.TextOldTally) || !strings.Contains(text, audit.TextShort) {
			t.Fatalf("%s: exit %d: %s", way, code, text)
		}
	}
}
