package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tools are a QEMU and a vhost-device-vsock that are scripts: what the guest prints is the test's to say.
func tools(t *testing.T, machine, guest string) (qemu, vsock string) {
	t.Helper()
	script := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return script("qemu", `[ "$2" = help ] && { echo "`+machine+`  a machine"; exit; }`+"\n"+guest),
		script("vsock", `while [ $# -gt 0 ]; do [ "$1" = --socket ] && touch "$2"; shift; done; exec sleep 60`)
}

// built is an image.
func built(t *testing.T, args ...string) string {
	t.Helper()
	dir, build := inputs(t)
	out := filepath.Join(dir, "enclave.eif")
	if _, err := run(t, append(build, append(args, "--output", out)...)...); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBootSucceedsWhenTheEnclaveServesAndNotBefore(t *testing.T) {
	eif := built(t)
	said := filepath.Join(t.TempDir(), "args")
	qemu, vsock := tools(t, "nitro-enclave",
		`echo "$@" > `+said+`; echo booting; echo '{"level":"INFO","msg":"serving"}'; exec sleep 60`)
	text, err := run(t, "boot", eif, "--qemu", qemu, "--vsock", vsock)
	if err != nil || !strings.Contains(text, `"ServesAfterSeconds"`) || !strings.Contains(text, `"PCR0"`) {
		t.Fatalf("%v %s", err, text)
	}
	args, err := os.ReadFile(said)
	if err != nil || !strings.Contains(string(args), "-kernel "+eif+" ") || strings.Contains(string(args), "acpi=on") {
		t.Errorf("%v %s", err, args)
	}
	for name, tc := range map[string]struct{ guest, timeout, want string }{
		"panic": {
			`echo "Kernel panic - not syncing: no /dev/nsm"`, "5m",
			"the machine ended; the console's last lines:\nKernel panic",
		},
		"silence": {"exec sleep 60", "1s", "the time was up"},
	} {
		qemu, vsock := tools(t, "nitro-enclave", tc.guest)
		_, err := run(t, "boot", eif, "--qemu", qemu, "--vsock", vsock, "--timeout", tc.timeout)
		if !errors.Is(err, ErrNotServed) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A kernel's trace has 40 to 60 lines, as many as the stack's remains look like addresses of code.
func TestAFailedBootShowsWhatTheEnclaveSaidBeforeAPanicHoweverLongTheTraceIs(t *testing.T) {
	qemu, vsock := tools(t, "nitro-enclave", `
		i=0; while [ $i -lt 300 ]; do echo "[    1.0] early $i"; i=$((i+1)); done
		echo '{"level":"ERROR","msg":"ended","cause":"cannot open /dev/nsm"}'
		echo "[   15.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"
		i=0; while [ $i -lt 300 ]; do echo "[   15.5]  ? function+$i"; i=$((i+1)); done`)
	_, err := run(t, "boot", built(t), "--qemu", qemu, "--vsock", vsock)
	if !errors.Is(err, ErrNotServed) {
		t.Fatal(err)
	}
	for _, want := range []string{"cannot open /dev/nsm", "Attempted to kill init", "function+0\n", "(more)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in it", want)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n > 2*consoleTail+1 {
		t.Errorf("%d lines", n)
	}
}

func TestBootSaysWhenTheVsockDeviceEndsAtOnce(t *testing.T) {
	qemu, _ := tools(t, "nitro-enclave", "exec sleep 60")
	_, err := run(t, "boot", built(t), "--qemu", qemu, "--vsock", "/bin/false")
	if !errors.Is(err, errEnded) {
		t.Errorf("%v", err)
	}
}

func TestBootSaysWhatIsMissing(t *testing.T) {
	eif := built(t)
	t.Setenv("TESTBED", t.TempDir())
	t.Setenv("PATH", "/nonexistent")
	if _, err := run(t, "boot", eif); !errors.Is(err, ErrNoTool) || !strings.Contains(err.Error(), "make test-enclave") {
		t.Errorf("no QEMU: %v", err)
	}
	t.Setenv("PATH", "/usr/bin:/bin")
	qemu, vsock := tools(t, "microvm", "")
	if _, err := run(t, "boot", eif, "--qemu", qemu, "--vsock", vsock); !errors.Is(err, ErrNoTool) ||
		!strings.Contains(err.Error(), "without the nitro-enclave machine") {
		t.Errorf("another QEMU: %v", err)
	}
}

func TestBootRefusesAnImageOfAnotherProcessor(t *testing.T) {
	dir, build := inputsFor(t, "arm64")
	out := filepath.Join(dir, "enclave.eif")
	if _, err := run(t, append(build, "--output", out)...); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "boot", out); err == nil || !strings.Contains(err.Error(), "arm64") {
		t.Errorf("%v", err)
	}
}
