package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestExportsOfBothSidesAgree(t *testing.T) {
	for _, s := range DomainSuites() {
		_, sk, pk := domainPair(t, s)
		for _, labels := range [][]string{{"a"}, {"a", "b", strings.Repeat("l", MaxName)}} {
			sent, got := make([]byte, ExportSize*len(labels)), make([]byte, ExportSize*len(labels))
			enc, err := SetupExports(sent, pk, "info", labels...)
			if err != nil {
				t.Fatal(err)
			}
			if err := sk.DeriveExports(got, []byte("info"), enc, labels...); err != nil || !bytes.Equal(sent, got) {
				t.Errorf("%v: %v", s, err)
			}
			if len(labels) > 1 && bytes.Equal(got[:ExportSize], got[ExportSize:2*ExportSize]) {
				t.Errorf("%v: two labels give one secret", s)
			}
			if err := sk.DeriveExports(got, []byte("other"), enc, labels...); err != nil || bytes.Equal(sent, got) {
				t.Errorf("%v: another info gives the same: %v", s, err)
			}
		}
	}
}

func TestExportsThatCannotBeMadeLeaveNothing(t *testing.T) {
	_, sk, pk := domainPair(t, P384)
	full := func() []byte { return bytes.Repeat([]byte{1}, ExportSize) }
	zeros := make([]byte, ExportSize)
	enc, err := SetupExports(full(), pk, "", "a")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		enc   []byte
		label string
	}{
		"no point":     {make([]byte, len(enc)), "a"},
		"a short enc":  {enc[1:], "a"},
		"a long label": {enc, strings.Repeat("l", MaxName+1)},
	} {
		mem := full()
		if err := sk.DeriveExports(mem, nil, c.enc, c.label); !errors.Is(err, ErrOpen) || !bytes.Equal(mem, zeros) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int{0, ExportSize - 1, 2 * ExportSize} {
		if err := sk.DeriveExports(make([]byte, n), nil, enc, "a"); !errors.Is(err, ErrOpen) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := SetupExports(make([]byte, n), pk, "", "a"); !errors.Is(err, ErrKey) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := SetupExports(full(), nil, "", "a"); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	mem := full()
	if _, err := setupExports(noRandom{}, mem, pk, "", []string{"a"}); !errors.Is(err, ErrSeal) || !bytes.Equal(mem, zeros) {
		t.Errorf("without random bytes: %v", err)
	}
}

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The key and nonce are those of crypto/hkdf.
func TestOneMessageIsSealedUnderHKDF(t *testing.T) {
	exported := make([]byte, ExportSize)
	_, _ = rand.Read(exported)
	for _, info := range []string{"", "request", strings.Repeat("i", MaxOnce)} {
		kn, err := hkdf.Expand(sha512.New384, exported, info, FieldSize)
		if err != nil {
			t.Fatal(err)
		}
		want, err := sealAEAD(nil, kn[:keySize], kn[keySize:], []byte("plain"), []byte("aad"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := SealOnce([]byte("x"), exported, []byte(info), []byte("plain"), []byte("aad"))
		if err != nil || !bytes.Equal(got[1:], want) {
			t.Errorf("%d bytes of info: %v", len(info), err)
		}
		plain, err := OpenOnce(nil, exported, []byte(info), want, []byte("aad"))
		if err != nil || string(plain) != "plain" {
			t.Error(err)
		}
		if _, err := OpenOnce(nil, exported, []byte(info), want, []byte("aae")); !errors.Is(err, ErrOpen) {
			t.Errorf("other associated data: %v", err)
		}
	}
	long := make([]byte, MaxOnce+1)
	if _, err := SealOnce(nil, exported, long, nil, nil); !errors.Is(err, ErrSeal) {
		t.Error(err)
	}
	if _, err := OpenOnce(nil, exported, long, make([]byte, 16), nil); !errors.Is(err, ErrOpen) {
		t.Error(err)
	}
	if _, err := SealOnce(nil, exported[1:], nil, nil, nil); !errors.Is(err, ErrSeal) {
		t.Error(err)
	}
}
