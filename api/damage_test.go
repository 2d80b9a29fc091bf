package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
)

func TestADamagedStoreIsToldInASentence(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, copied := filepath.Join(dir, "store.db"), filepath.Join(dir, "copy")
	backedUp(t, stack, file, copied)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := stack.Env("API_STORE=bolt:" + file)
	if out, errOut, code := command(t, env, "store", "check"); code != 0 || !strings.Contains(out, "1 records, 1 audit entries, 0 damaged") {
		t.Fatalf("exit %d: %s%s", code, out, errOut)
	}
	whole := [][]string{{"store", "check"}, {"audit", "verify"}, {"serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off"}}
	for name, data := range map[string][]byte{
		"empty": {}, "cut": good[:2*4096+100], "cut between pages": good[:5*4096], "junk": []byte(strings.Repeat("junk", 9999)),
		"meta pages": append(make([]byte, 2*4096), good[2*4096:]...),
	} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range whole {
			want := 1
			if args[0] == "audit" {
				want = 3 // nothing is known of the log
			}
			out, errOut, code := command(t, env, args...)
			if code != want || !strings.Contains(errOut, "api restore BACKUP") || strings.Contains(errOut, "goroutine ") {
				t.Errorf("%s: %v: exit %d: %s%s", name, args, code, out, errOut)
			}
		}
	}
	if _, errOut, code := command(t, env, "restore", copied, "--yes"); code != 0 {
		t.Fatal(errOut)
	}
	start(t, stack, file)
	if out, errOut, code := command(t, env, "store", "check"); code != 0 || !strings.Contains(out, "1 records") {
		t.Fatalf("of a store that is served: exit %d: %s%s", code, out, errOut)
	}
}
