package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/client"
	"redoubt/api/internal/apistack"
	"redoubt/api/internal/audit"
)

func TestABackupIsNeverWrittenOverAStore(t *testing.T) {
	stack, dir := apistack.New(t), t.TempDir()
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
	stack, dir := apistack.New(t), t.TempDir()
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
	if c := (audit.Checkpoint{}); json.Unmarshal(before, &c) != nil || len(c) != 2 {
		t.Fatalf("heads of %d vaults", len(c))
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
	if text, code := nightly("--write-checkpoint", file); code != 1 || !strings.Contains(text, "hint: --write-checkpoint replaces a checkpoint") {
		t.Fatalf("onto the store: exit %d: %s", code, text)
	}
	if text, code := nightly("--write-checkpoint", fresh); code != 0 {
		t.Fatal(text)
	}
}
