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
	err = k.Run(Output{&out})
	return out.String(), err
}

func inputs(t *testing.T) (string, []string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"kernel": "a kernel", "enclave": "\x7fELF enclave", "nsm.ko": "\x7fELF module", "enclave.yaml": "keys: {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := func(n string) string { return filepath.Join(dir, n) }
	return dir, []string{
		"build", "--kernel", p("kernel"), "--init", p("enclave"), "--module", p("nsm.ko"), "--config", p("enclave.yaml"),
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
	dir, args := inputs(t)
	out := filepath.Join(dir, "a.eif")
	printed, err := run(t, append(args, "--output", out, "--arch", "arm64")...)
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
