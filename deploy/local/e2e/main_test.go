// Package e2e shows that the real programs work together: every test runs the local stack's own processes, asks over
// HTTP as a caller would, and looks at what the processes logged. It needs nothing but the go command.
package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// bin is the folder of the programs, built once, with the race detector when the tests have it.
var bin string

// shipped is the folder of the programs without the race detector, for tests of how long they take.
var shipped = sync.OnceValues(func() (string, error) {
	if !proctest.Race {
		return bin, nil
	}
	dir := filepath.Join(bin, "shipped")
	return dir, build(dir, false)
})

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	for _, entry := range os.Environ() { // what the machine says of AWS is not for the stack
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "rde2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	if err := build(bin, proctest.Race); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "shared stack:", err)
		return 1
	}
	return code
}

func build(dir string, race bool) error {
	for name, args := range map[string][]string{
		"local": {"redoubt/deploy/local"}, "parent": {"redoubt/parent"}, "api": {"redoubt/api"},
		"enclave": {"-tags", "dev", "redoubt/enclave"},
	} {
		args = append([]string{"build", "-race=" + strconv.FormatBool(race), "-o", filepath.Join(dir, name)}, args...)
		if out, err := proctest.Run("go", args...); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, bytes.TrimSpace(out))
		}
	}
	return nil
}
