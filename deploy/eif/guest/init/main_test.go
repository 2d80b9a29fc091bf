package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAProgramThatPassesNoTestFailsTheGuest(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		status       int
	}{
		{"one passes", "echo '--- PASS: TestGuestX (0.00s)'; echo PASS", 0},
		{"none is there", "echo 'testing: warning: no tests to run'; echo PASS", 1},
		{"all are skipped", "echo '--- SKIP: TestGuestX (0.00s)'; echo PASS", 1},
		{"a part of a skipped one passes", "echo '    --- PASS: TestGuestX/y'; echo '--- SKIP: TestGuestX'", 1},
		{"one fails", "echo '--- PASS: TestGuestX (0.00s)'; echo '--- FAIL: TestGuestY'; exit 1", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, script := range map[string]string{"a": tt.script, "b": "echo '--- PASS: TestGuestB'"} {
				text := []byte("#!/bin/sh\n" + script + "\n")
				if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			if status := runAll(dir, &out); status != tt.status {
				t.Errorf("status %d:\n%s", status, &out)
			}
			if !strings.Contains(out.String(), "GUEST b: err=<nil>") {
				t.Errorf("the program after it did not run:\n%s", &out)
			}
		})
	}
	if status := runAll(t.TempDir(), &bytes.Buffer{}); status != 1 {
		t.Errorf("without a program: status %d", status)
	}
}
