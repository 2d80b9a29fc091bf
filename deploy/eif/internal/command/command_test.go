package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"redoubt/deploy/eif/internal/image"
	"redoubt/deploy/eif/internal/kernel"
	"redoubt/deploy/eif/kerneltest"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var cli CLI
	p, err := kong.New(&cli, kong.Vars(Vars()), kong.Exit(func(int) { t.Fatal("unexpected exit") }))
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Parse(args)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = k.Run(Output{Writer: &out})
	return out.String(), err
}

// inputs are the arguments of a build for amd64 but for its output, and the folder of their files.
func inputs(t *testing.T) (string, []string) {
	t.Helper()
	return inputsFor(t, image.AMD64)
}

func inputsFor(t *testing.T, arch image.Arch) (string, []string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"kernel": kerneltest.Image(arch, version), "enclave": []byte("\x7fELF enclave"),
		"nsm.ko": kerneltest.Module(arch, version), "enclave.yaml": []byte("keys: {}\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := func(n string) string { return filepath.Join(dir, n) }
	return dir, []string{
		"build", "--kernel", p("kernel"), "--init", p("enclave"), "--module", p("nsm.ko"), "--config", p("enclave.yaml"),
		"--arch", string(arch),
	}
}

// folder is a folder of blobs with the kernel and the module of inputs, in AWS's layout.
func folder(t *testing.T, arch image.Arch) string {
	t.Helper()
	dir := t.TempDir()
	for file, data := range kerneltest.Blobs(arch, version) {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const version = "6.6.79"

func TestAnImageOfBlobsHasTheirKernelCommandLineAndModule(t *testing.T) {
	for _, arch := range []image.Arch{image.AMD64, image.ARM64} {
		dir, plain := inputsFor(t, arch)
		args := append([]string{"build", "--blobs", folder(t, arch)}, plain[3:5]...)
		args = append(append(args, plain[7:]...), "--output", filepath.Join(dir, "blobs.eif"))
		printed, err := run(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		// The same by single files: the same measurements.
		const line = "quiet nomodules random.trust_cpu=off root=/dev/ram0"
		single, err := run(t, append(plain, "--cmdline", line, "--output", filepath.Join(dir, "single.eif"))...)
		if err != nil || single != printed {
			t.Errorf("%v\n%s\n%s", err, printed, single)
		}
		var r Result
		if err := json.Unmarshal([]byte(printed), &r); err != nil {
			t.Fatal(err)
		}
		if r.Kernel.Version != version || r.Kernel.Cmdline != line || len(r.Kernel.SHA256) != 64 ||
			len(r.Kernel.Modules) != 1 || !strings.HasPrefix(r.Kernel.Modules[0], "nsm.ko ") {
			t.Errorf("%+v", r.Kernel)
		}
		file, err := os.ReadFile(filepath.Join(dir, "blobs.eif"))
		if err != nil || !bytes.Contains(file, []byte("modules/00-nsm.ko")) || bytes.Contains(file, []byte("nitro-cli's own")) {
			t.Errorf("the image's modules: %v", err)
		}
	}
}

func TestNoImageIsMadeOfAKernelWithoutTheDriver(t *testing.T) {
	dir, plain := inputs(t)
	out := filepath.Join(dir, "x.eif")
	none := folder(t, image.AMD64)
	if err := os.Remove(filepath.Join(none, "nsm.ko")); err != nil {
		t.Fatal(err)
	}
	rest := append(append([]string{}, plain[3:5]...), append(plain[7:], "--output", out)...)
	for name, first := range map[string][]string{
		"blobs without nsm.ko": {"build", "--blobs", none},
		"a kernel alone":       {"build", "--kernel", filepath.Join(dir, "kernel")},
		"a configuration that says m": {
			"build", "--kernel", filepath.Join(dir, "kernel"), "--kernel-config", filepath.Join(none, "bzImage.config"),
		},
	} {
		_, err := run(t, append(first, rest...)...)
		if !errors.Is(err, kernel.ErrNoNSM) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: an image was written", name)
		}
	}
	both := append([]string{"build", "--blobs", none, "--kernel", filepath.Join(dir, "kernel")}, rest...)
	if _, err := run(t, both...); err == nil {
		t.Error("blobs and a kernel together were taken")
	}
	if _, err := run(t, append([]string{"build"}, rest...)...); err == nil {
		t.Error("no kernel at all was taken")
	}
}

func TestTwoBuildsAreByteIdenticalAndVerifyAgainstTheirOwnPCRs(t *testing.T) {
	dir, args := inputs(t)
	pcrs := filepath.Join(dir, "pcrs.json")
	var files [2][]byte
	for i := range files {
		out := filepath.Join(t.TempDir(), "enclave.eif")
		if _, err := run(t, append(args, "--output", out, "--pcrs", pcrs)...); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
		if text, err := run(t, "verify", out, "--pcrs", pcrs); err != nil || !strings.Contains(text, "PCR2 equal") {
			t.Fatalf("verify: %v\n%s", err, text)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Fatal("two builds of the same inputs differ")
	}
}

func TestVerifyFailsOnAnotherImageAndOnAFileThatNamesNothing(t *testing.T) {
	dir, args := inputs(t)
	out, pcrs := filepath.Join(dir, "a.eif"), filepath.Join(dir, "pcrs.json")
	if _, err := run(t, append(args, "--output", out, "--pcrs", pcrs)...); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "enclave.yaml"), []byte("keys: {eu-west-1: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, append(args, "--output", out)...); err != nil {
		t.Fatal(err)
	}
	text, err := run(t, "verify", out, "--pcrs", pcrs)
	if !errors.Is(err, ErrMismatch) || !strings.Contains(text, "PCR1 equal") || !strings.Contains(text, "PCR2 DIFFERS") {
		t.Fatalf("another configuration must move PCR2 alone: %v\n%s", err, text)
	}
	if err := os.WriteFile(pcrs, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "verify", out, "--pcrs", pcrs); err == nil {
		t.Fatal("a file without measurements verified an image")
	}
}

func TestDescribeShowsWhatBuildPrinted(t *testing.T) {
	dir, args := inputsFor(t, image.ARM64)
	out := filepath.Join(dir, "a.eif")
	printed, err := run(t, append(args, "--output", out)...)
	if err != nil {
		t.Fatal(err)
	}
	described, err := run(t, "describe", out)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	var d Description
	if err := errors.Join(json.Unmarshal([]byte(printed), &r), json.Unmarshal([]byte(described), &d)); err != nil {
		t.Fatal(err)
	}
	if d.Measurements != r.Measurements || d.Arch != "arm64" || d.Signed || !d.CheckCRC {
		t.Fatalf("described %+v, built %+v", d, r)
	}
}
