package image

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func sample() *Image {
	return &Image{
		Arch: AMD64, Memory: DefaultMemory, CPUs: DefaultCPUs, Kernel: []byte("kernel"), Cmdline: "quiet",
		Ramdisks: [][]byte{[]byte("code"), []byte("configuration")}, Metadata: []byte(`{"ImageName":"x"}`),
	}
}

func mustBytes(t testing.TB, im *Image) []byte {
	t.Helper()
	b, err := im.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SliceOfN(rapid.Byte(), 1, 64)
		im := &Image{
			Arch:   rapid.SampledFrom([]Arch{AMD64, ARM64}).Draw(t, "arch"),
			Memory: rapid.Uint64().Draw(t, "memory"), CPUs: rapid.Uint64().Draw(t, "cpus"),
			Kernel: part.Draw(t, "kernel"), Cmdline: rapid.StringN(1, 40, 100).Draw(t, "cmdline"),
			Ramdisks: rapid.SliceOfN(part, 1, MaxRamdisks).Draw(t, "ramdisks"), Metadata: part.Draw(t, "metadata"),
		}
		b, err := im.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.Bytes()
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("reading and writing again changed the file (%v)", err)
		}
	})
}

// The file in testdata was written and signed by AWS's own crate (testdata/make-fixtures.sh); its measurements are
// what that crate printed.
func TestImageOfTheFormatsOwnToolIsReadMeasuredAndVerified(t *testing.T) {
	file, err := os.ReadFile("../../testdata/peer-signed.eif")
	if err != nil {
		t.Fatal(err)
	}
	var want Measurements
	printed, err := os.ReadFile("../../testdata/peer-signed.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(printed, &want); err != nil {
		t.Fatal(err)
	}
	im, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := im.Measure()
	if err != nil {
		t.Fatal(err)
	}
	want.HashAlgorithm = got.HashAlgorithm
	if got != want {
		t.Fatalf("measurements are %+v, the other tool printed %+v", got, want)
	}
	if err := im.VerifySignature(); err != nil {
		t.Fatal(err)
	}
}

func TestPCR3OfTheReferencesRole(t *testing.T) {
	const want = "06cf918def1fde2640262fab1112649efd6ed7181fb485593e312e27b9350129" +
		"c353db2791e574558085c96fabc91e88"
	if got := RolePCR3("arn:aws:iam::123456789012:role/vault/example").String(); got != want {
		t.Fatalf("PCR3 is %s", got)
	}
}

func TestEachRegisterCoversItsOwnParts(t *testing.T) {
	base := measure(t, sample())
	for name, change := range map[string]func(*Image){
		"PCR0 PCR1": func(im *Image) { im.Kernel = []byte("other kernel") },
		"PCR1 PCR0": func(im *Image) { im.Ramdisks[0] = []byte("other code") },
		"PCR2 PCR0": func(im *Image) { im.Ramdisks[1] = []byte("other configuration") },
		"":          func(im *Image) { im.Metadata, im.Memory = []byte(`{}`), 1<<30 },
	} {
		im := sample()
		change(im)
		m := measure(t, im)
		for reg, same := range map[string]bool{
			"PCR0": m.PCR0 == base.PCR0, "PCR1": m.PCR1 == base.PCR1, "PCR2": m.PCR2 == base.PCR2,
		} {
			if same == strings.Contains(name, reg) {
				t.Errorf("after a change that should move %q, %s same=%v", name, reg, same)
			}
		}
	}
}

func measure(t *testing.T, im *Image) Measurements {
	t.Helper()
	m, err := im.Measure()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDamagedAndLyingFilesAreRefused(t *testing.T) {
	good := mustBytes(t, sample())
	fix := func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[crcOffset:], checksum(b))
		return b
	}
	for name, change := range map[string]func(b []byte) []byte{
		"empty":             func([]byte) []byte { return nil },
		"magic":             func(b []byte) []byte { b[0] = 'x'; return fix(b) },
		"version":           func(b []byte) []byte { b[5] = 3; return fix(b) },
		"checksum":          func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"truncated":         func(b []byte) []byte { return fix(b[:len(b)-1]) },
		"trailing bytes":    func(b []byte) []byte { return fix(append(b, 0)) },
		"section count":     func(b []byte) []byte { b[26] = 0xff; return fix(b) },
		"section offset":    func(b []byte) []byte { b[35]++; return fix(b) },
		"section size":      func(b []byte) []byte { b[284] = 0xff; return fix(b) },
		"kernel twice":      func(b []byte) []byte { b[headerSize+sectionHeaderSize+6+1] = 1; return fix(b) },
		"no section at all": func(b []byte) []byte { b = b[:headerSize]; b[27] = 0; return fix(b) },
	} {
		if _, err := Parse(change(bytes.Clone(good))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func signer(t *testing.T) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

func TestSigningTwiceGivesTheSameBytesAndCoversPCR0(t *testing.T) {
	cert, key := signer(t)
	a, b := sample(), sample()
	for _, im := range []*Image{a, b} {
		if err := im.Sign(cert, key); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(mustBytes(t, a), mustBytes(t, b)) {
		t.Fatal("two signatures of one image by one key differ")
	}
	back, err := Parse(mustBytes(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if err := back.VerifySignature(); err != nil {
		t.Fatal(err)
	}
	if measure(t, a).PCR8 == "" || measure(t, a).PCR0 != measure(t, sample()).PCR0 {
		t.Fatal("a signature must set PCR8 and leave PCR0")
	}
	back.Ramdisks[1] = []byte("another configuration")
	if back.VerifySignature() == nil {
		t.Fatal("the signature held over other content")
	}
	_, other := signer(t)
	if sample().Sign(cert, other) == nil {
		t.Fatal("signed with a key that is not the certificate's")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(mustBytes(f, sample()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerSize { // let the fuzzer past the checksum
			b = bytes.Clone(b)
			binary.BigEndian.PutUint32(b[crcOffset:], checksum(b))
		}
		im, err := Parse(b)
		if err != nil {
			return
		}
		if _, err := im.Measure(); err != nil && len(im.Signature) == 0 {
			t.Fatal(err)
		}
		_ = im.VerifySignature()
	})
}
