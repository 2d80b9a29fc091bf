package nsm_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// issuer is the package that makes attestation documents under a root of one's own. Whoever links it can pretend to
// be attested; the production enclave must not.
const issuer = "redoubt/wire/kit/test/attesttest"

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := proctest.Command(t, "go", args...)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func dependencies(t *testing.T, tags string) []string {
	t.Helper()
	return strings.Fields(goTool(t, "list", "-deps", "-tags", tags, "redoubt/enclave/..."))
}

// TestProductionEnclaveCannotForgeAttestation proves on the package graph that no package of the enclave, built
// without the tag dev, reaches the issuer of documents. That the tag dev does reach it shows that the test can fail.
func TestProductionEnclaveCannotForgeAttestation(t *testing.T) {
	if slices.Contains(dependencies(t, ""), issuer) {
		t.Errorf("the production enclave links %s", issuer)
	}
	if !slices.Contains(dependencies(t, "dev"), issuer) {
		t.Errorf("the dev enclave does not link %s: this test proves nothing", issuer)
	}
	files := goTool(t, "list", "-f", "{{range .GoFiles}}{{.}} {{end}}", "redoubt/enclave/internal/nsm")
	if strings.Contains(files, "soft") {
		t.Errorf("the software module is compiled without the tag dev: %s", files)
	}
}

// TestProductionBinaryHasNoSoftwareModule looks for the symbols in the linked binary itself.
func TestProductionBinaryHasNoSoftwareModule(t *testing.T) {
	if strings.TrimSpace(goTool(t, "list", "-f", "{{.Name}}", "redoubt/enclave")) != "main" {
		t.Fatal("redoubt/enclave is no command")
	}
	symbols := func(tags string) string {
		binary := filepath.Join(t.TempDir(), "enclave")
		goTool(t, "build", "-tags", tags, "-o", binary, "redoubt/enclave")
		return goTool(t, "tool", "nm", binary)
	}
	forbidden := []string{issuer + ".", "redoubt/enclave/internal/nsm.NewSoft", "redoubt/enclave/internal/nsm.(*soft)"}
	production, dev := symbols(""), symbols("dev")
	for _, symbol := range forbidden {
		if strings.Contains(production, symbol) {
			t.Errorf("the production binary contains %s", symbol)
		}
		if !strings.Contains(dev, symbol) {
			t.Errorf("the dev binary does not contain %s: this test proves nothing", symbol)
		}
	}
}
