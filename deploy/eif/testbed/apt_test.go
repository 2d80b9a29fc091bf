// Package testbed has no code: its scripts make what make test-enclave runs in. See the README beside this folder.
package testbed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// TestAnotherAptIsWaitedFor has an apt-get whose lists are locked at first, as by another one that runs.
func TestAnotherAptIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script("dpkg-query", `echo installed; echo "no packages found matching gamma" >&2; exit 1`)
	script("apt-get", `echo "$@" >>`+dir+`/calls
		[ "$1" = update ] && [ ! -e `+dir+`/once ] && touch `+dir+`/once && {
			echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)" >&2; exit 100; }
		[ ! -e `+dir+`/broken ] || { echo "E: no space left" >&2; exit 100; }`)
	install := func(packages ...string) (string, error) {
		cmd := proctest.Command(t, "../../../.ci/apt", packages...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := install("alpha", "gamma"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	lines := strings.Split(string(calls), "\n")
	if err != nil || len(lines) != 4 || !strings.HasPrefix(lines[1], "update") ||
		!strings.HasPrefix(lines[2], "-o DPkg::Lock::Timeout=600 install ") || !strings.HasSuffix(lines[2], " alpha gamma") {
		t.Errorf("%v %q", err, lines)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := install("alpha", "gamma"); err == nil || !strings.Contains(out, "no space left") {
		t.Errorf("another failure: %v %s", err, out)
	}
	if out, err := install("alpha"); err != nil {
		t.Errorf("all of them are there: %v %s", err, out)
	}
}

// TestNoScriptCallsAptPastIt: each that installs has to wait.
func TestNoScriptCallsAptPastIt(t *testing.T) {
	out, err := proctest.Command(t, "git", "-C", "../../..", "grep", "-nE", "apt-get (.* )?install|apt-get update", "--",
		"Makefile", "*.sh", ".ci").CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, ".ci/apt:") {
			t.Errorf("not by .ci/apt: %s", line)
		}
	}
}
