package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// The test binary itself is a Go binary that links cyclonedx-go.
func TestListsWhatIsLinkedAndIsTheSameTwice(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := run(w, []string{self}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatal("two bills of the same binary differ")
	}
	file, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	for _, want := range []string{hex.EncodeToString(sum[:]), "pkg:golang/github.com/CycloneDX/cyclonedx-go@v", "pkg:golang/std@go"} {
		if !strings.Contains(a.String(), want) {
			t.Errorf("no %s in the bill", want)
		}
	}
}

func TestWhatIsNoGoBinaryIsRefused(t *testing.T) {
	if err := run(&bytes.Buffer{}, []string{"main.go"}); err == nil {
		t.Fatal("a text file was taken for a binary")
	}
}

func TestTheEnclavesMachineCodeIsListed(t *testing.T) {
	for tags, want := range map[string]int{"": 0, "dev": 0, "s2nbignum": 1, "dev,s2nbignum": 1} {
		info := &buildinfo.BuildInfo{Settings: []debug.BuildSetting{{Key: "-tags", Value: tags}}}
		if got := machineCode(info); len(got) != want {
			t.Errorf("%q: %v", tags, got)
		}
	}
}

// TestEachDirectDependencySaysWhatItIsFor reads go.mod: a dependency is taken for a reason, which `make deps` shows.
func TestEachDirectDependencySaysWhatItIsFor(t *testing.T) {
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\s*([\w./-]+\.[\w./-]+) v(\S+)(?: // (.*))?$`).
		FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(m[3], "indirect") {
			continue
		}
		direct++
		if len(strings.Fields(m[3])) < 2 {
			t.Errorf("go.mod does not say what %s is for", m[1])
		}
	}
	if direct < 20 {
		t.Errorf("%d direct dependencies found", direct)
	}
}
