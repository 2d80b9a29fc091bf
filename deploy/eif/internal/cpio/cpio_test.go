package cpio

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

func sample(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, err := range []error{
		w.File("/init", 0o755, []byte("#!")),
		w.CharDevice("/dev/console", 5, 1),
		w.File("/etc/redoubt/enclave.yaml", 0o644, []byte("keys: {}\n")),
		w.Dir("/proc"),
		w.Dir("/etc"), // there already
		w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestSameEntriesGiveTheSameBytesPaddedTo512(t *testing.T) {
	a, b := sample(t), sample(t)
	if !bytes.Equal(a, b) {
		t.Fatal("two archives of the same entries differ")
	}
	if len(a)%512 != 0 {
		t.Fatalf("length %d is not a multiple of 512", len(a))
	}
}

// The listing of an independent reader (GNU cpio, when the machine has it) must show each entry with its mode.
func TestIndependentReaderListsEveryEntry(t *testing.T) {
	bin, err := exec.LookPath("cpio")
	if err != nil {
		bin, err = exec.LookPath("bsdtar")
	}
	if err != nil {
		checkByHand(t, sample(t))
		return
	}
	args := []string{"-it", "--quiet"}
	if strings.HasSuffix(bin, "bsdtar") {
		args = []string{"-tf", "-"}
	}
	cmd := proctest.Command(t, bin, args...)
	cmd.Stdin = bytes.NewReader(sample(t))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "init\ndev\ndev/console\netc\netc/redoubt\netc/redoubt/enclave.yaml\nproc\n"
	if string(out) != want {
		t.Fatalf("listing is %q, want %q", out, want)
	}
}

func checkByHand(t *testing.T, b []byte) {
	t.Helper()
	if !bytes.HasPrefix(b, []byte("070701")) || bytes.Count(b, []byte("070701")) != 8 ||
		!bytes.Contains(b, []byte("TRAILER!!!")) {
		t.Fatal("not a newc archive of seven entries and a trailer")
	}
}

func TestBadEntriesAreRefused(t *testing.T) {
	for _, name := range []string{"", "/", "..", "../x", "a\x00b", strings.Repeat("n", MaxNameLength+1)} {
		w := NewWriter(&bytes.Buffer{})
		if err := w.File(name, 0o644, nil); !errors.Is(err, ErrEntry) {
			t.Errorf("name of %d bytes: got %v", len(name), err)
		}
	}
	w := NewWriter(&bytes.Buffer{})
	if err := w.File("a", 0o644, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.File("a", 0o644, nil); !errors.Is(err, ErrEntry) {
		t.Errorf("a second entry of one name: got %v", err)
	}
}
