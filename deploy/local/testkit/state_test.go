package testkit

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/kit/attest"
)

func TestAStateFolderHasOneUserAtATime(t *testing.T) {
	dir := t.TempDir()
	first, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "another local stack") {
		t.Fatalf("error %v", err)
	}
	first.close()
	again, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.close()
}

func TestAPathTooLongForASocketIsSaid(t *testing.T) {
	if _, err := openState(filepath.Join(t.TempDir(), strings.Repeat("d", 100))); err == nil ||
		!strings.Contains(err.Error(), "--state") {
		t.Errorf("error %v", err)
	}
}

func TestTheSoftwareRootIsMadeOnceAndIsPrivate(t *testing.T) {
	s, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	read := func() string {
		if err := s.ensureNSMRoot(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(s.path(nsmRootFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if first, second := read(), read(); first != second {
		t.Error("made twice")
	}
	if _, err := attest.ParseRoot([]byte(read())); err != nil {
		t.Error(err)
	}
	if err := s.writeCredentials(); err != nil {
		t.Fatal(err)
	}
	if err := s.writeEnclaveConfig("arn", "127.0.0.1:1", "", nil); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
}

func TestAMissingProgramFailsAndUnlocksTheState(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		_, err := Start(context.Background(), Options{Bin: filepath.Join(dir, "bin"), State: dir, FreePorts: true})
		if err == nil || !strings.Contains(err.Error(), "start kms") {
			t.Fatalf("error %v", err)
		}
	}
}

func TestProcessesInheritNothingOfAWS(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	for _, entry := range environment() {
		if strings.HasPrefix(entry, "AWS") {
			t.Errorf("inherits %s", entry)
		}
	}
}
