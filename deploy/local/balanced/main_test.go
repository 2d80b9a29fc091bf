//go:build operate

package balanced

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// bin is the folder of the programs.
var bin = flag.String("bin", "", "folder with local, enclave (tag dev), parent and api; default: they are built")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	for _, entry := range os.Environ() { // what the machine says of AWS is not for the stack
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	if *bin == "" {
		dir, err := os.MkdirTemp("", "rdlb")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		*bin = dir
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "shared stack:", err)
		return 1
	}
	return code
}

func build(dir string) error {
	for name, args := range map[string][]string{
		"local": {"redoubt/deploy/local"}, "parent": {"redoubt/parent"}, "api": {"redoubt/api"},
		"enclave": {"-tags", "dev", "redoubt/enclave"},
	} {
		args = append([]string{"build", "-o", filepath.Join(dir, name)}, args...)
		if out, err := proctest.Run("go", args...); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, bytes.TrimSpace(out))
		}
	}
	return nil
}
