package attest_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

// base is the moment at which all documents of these tests are made and checked.
var base = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func newAuthority(t testing.TB, chain attesttest.Chain) *attesttest.Authority {
	t.Helper()
	if chain.Now == nil {
		chain.Now = at(base)
	}
	authority, err := attesttest.New(chain)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func issue(t testing.TB, authority *attesttest.Authority, spec attesttest.Spec) []byte {
	t.Helper()
	document, err := authority.Issue(spec)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// goodSpec and goodOptions belong together: what the one makes the other accepts.
func goodSpec() attesttest.Spec {
	return attesttest.Spec{
		ModuleID: "i-1-enc2", UserData: []byte("user data"), Nonce: []byte("0123456789abcdef"),
		PublicKey: []byte("public key"),
	}
}

func goodOptions(authority *attesttest.Authority) attest.Options {
	return attest.Options{
		Roots: []attest.Root{authority.Root()}, Allowed: []attest.PCRs{attesttest.DefaultPCRs()}, Now: at(base),
		Nonce: attest.Equal([]byte("0123456789abcdef")), UserData: attest.Equal([]byte("user data")),
		PublicKey: attest.Equal([]byte("public key")),
	}
}

func TestVerifyReturnsEveryFieldOfAGenuineDocument(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	for _, untagged := range []bool{false, true} {
		spec := goodSpec()
		spec.Untagged = untagged
		got, err := attest.Verify(issue(t, authority, spec), goodOptions(authority))
		if err != nil {
			t.Fatalf("untagged %v: %v", untagged, err)
		}
		if got.ModuleID != spec.ModuleID || !got.Time.Equal(base) || got.Certificate == nil ||
			!bytes.Equal(got.Nonce, spec.Nonce) || !bytes.Equal(got.UserData, spec.UserData) ||
			!bytes.Equal(got.PublicKey, spec.PublicKey) || !got.PCRs.Match(attesttest.DefaultPCRs()) {
			t.Errorf("untagged %v: fields differ: %+v", untagged, got)
		}
	}
}

func TestVerifyFindsTheRootByHashAtAnyPositionOrOutsideTheBundle(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	reorder := map[string]func([][]byte) [][]byte{
		"root last":   func(b [][]byte) [][]byte { return [][]byte{b[1], b[2], b[0]} },
		"reversed":    func(b [][]byte) [][]byte { return [][]byte{b[2], b[1], b[0]} },
		"without it":  func(b [][]byte) [][]byte { return b[1:] },
		"root double": func(b [][]byte) [][]byte { return [][]byte{b[0], b[0], b[1], b[2]} },
	}
	for name, order := range reorder {
		spec := goodSpec()
		spec.EditPayload = func(m map[string]any) { m["cabundle"] = order(m["cabundle"].([][]byte)) }
		if _, err := attest.Verify(issue(t, authority, spec), goodOptions(authority)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyNeedsTheRootInTheBundleWhenOnlyItsHashIsPinned(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	opts := goodOptions(authority)
	opts.Roots = []attest.Root{{Hash: authority.Root().Hash}}
	if _, err := attest.Verify(issue(t, authority, goodSpec()), opts); err != nil {
		t.Fatal(err)
	}
	spec := goodSpec()
	spec.EditPayload = func(m map[string]any) { m["cabundle"] = m["cabundle"].([][]byte)[1:] }
	if _, err := attest.Verify(issue(t, authority, spec), opts); !errors.Is(err, attest.ErrChain) {
		t.Errorf("got %v, want %v", err, attest.ErrChain)
	}
}

func TestVerifyIgnoresSignedFieldsItDoesNotKnow(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	spec := goodSpec()
	spec.EditPayload = func(m map[string]any) { m["new_field"] = []byte("x") }
	if _, err := attest.Verify(issue(t, authority, spec), goodOptions(authority)); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyRefusesFlippedBits bends a bit of every third byte, and every bit of the signature's ends; FuzzVerify has
// the others.
func TestVerifyRefusesFlippedBits(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{Intermediates: 1})
	document, opts := issue(t, authority, goodSpec()), goodOptions(authority)
	opts.Roots = []attest.Root{{Hash: authority.Root().Hash}} // no spare copy of the root outside the document
	var bits []int
	for i := 0; i < len(document); i += 3 {
		bits = append(bits, 8*i+i%8)
	}
	for i := range 8 {
		bits = append(bits, 8*(len(document)-1)+i, 8*(len(document)-96)+i)
	}
	for _, bit := range bits {
		bent := bytes.Clone(document)
		bent[bit/8] ^= 1 << (bit % 8)
		if _, err := attest.Verify(bent, opts); err == nil {
			t.Fatalf("bit %d of byte %d may be flipped", bit%8, bit/8)
		}
	}
}

func TestVerifyRefusesEveryTruncationAndTrailingBytes(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	document, opts := issue(t, authority, goodSpec()), goodOptions(authority)
	for n := range document {
		if _, err := attest.Verify(document[:n], opts); err == nil {
			t.Fatalf("accepted the first %d bytes", n)
		}
	}
	if _, err := attest.Verify(append(bytes.Clone(document), 0), opts); !errors.Is(err, attest.ErrFormat) {
		t.Errorf("trailing byte: %v", err)
	}
	if _, err := attest.Verify(make([]byte, attest.MaxDocument+1), opts); !errors.Is(err, attest.ErrFormat) {
		t.Errorf("over the size limit: %v", err)
	}
}

func TestVerifyTakesOneSpellingOfTheEnvelope(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	document, opts := issue(t, authority, goodSpec()), goodOptions(authority)
	for name, long := range map[string][]byte{
		"array":            slices.Concat(document[:1], []byte{0x98, 0x04}, document[2:]),
		"protected header": slices.Concat(document[:2], []byte{0x58, 0x04}, document[3:]),
		"signature":        slices.Concat(document[:len(document)-98], []byte{0x59, 0x00, 0x60}, document[len(document)-96:]),
		"tag":              append([]byte{0xd8, 0x12}, document[1:]...),
		"tag twice":        append([]byte{0xd2}, document...),
	} {
		if _, err := attest.Verify(long, opts); !errors.Is(err, attest.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWSRootHasThePublishedFingerprint(t *testing.T) {
	root := attest.AWSRoot()
	if root.Certificate == nil {
		t.Fatal("the embedded certificate does not have the pinned hash")
	}
	if got := hex.EncodeToString(root.Hash[:]); got != attest.AWSRootFingerprint {
		t.Errorf("fingerprint %s", got)
	}
	if cn := root.Certificate.Subject.CommonName; cn != "aws.nitro-enclaves" {
		t.Errorf("common name %q", cn)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root.Certificate)
	if _, err := root.Certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: base}); err != nil {
		t.Error(err)
	}
}

func TestWithoutRootsOnlyTheAWSRootIsTrusted(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	opts := goodOptions(authority)
	opts.Roots = nil
	if _, err := attest.Verify(issue(t, authority, goodSpec()), opts); !errors.Is(err, attest.ErrChain) {
		t.Errorf("got %v, want %v", err, attest.ErrChain)
	}
}

func TestVerifyUnsignedTakesOnlyDocumentsWithoutSignature(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	opts := goodOptions(authority)
	unsigned, err := authority.Unsigned(goodSpec())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attest.VerifyUnsigned(unsigned, opts); err != nil {
		t.Errorf("QEMU's form: %v", err)
	}
	if _, err := attest.Verify(unsigned, opts); err == nil {
		t.Error("Verify accepted a document without a signature")
	}
	if _, err := attest.VerifyUnsigned(issue(t, authority, goodSpec()), opts); !errors.Is(err, attest.ErrSignature) {
		t.Errorf("a signed document: %v", err)
	}
	wrong := goodSpec()
	wrong.Nonce = []byte("another nonce...")
	if unsigned, err = authority.Unsigned(wrong); err != nil {
		t.Fatal(err)
	}
	if _, err := attest.VerifyUnsigned(unsigned, opts); !errors.Is(err, attest.ErrNonce) {
		t.Errorf("wrong nonce: %v", err)
	}
}

func TestParseMeasurement(t *testing.T) {
	want := attesttest.DefaultPCRs()[1]
	got, err := attest.ParseMeasurement(want.String())
	if err != nil || got != want {
		t.Errorf("round trip: %v %v", got, err)
	}
	for _, bad := range []string{"", "00", want.String() + "0", "zz" + want.String()[2:]} {
		if _, err := attest.ParseMeasurement(bad); !errors.Is(err, attest.ErrOptions) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	authority := newAuthority(b, attesttest.Chain{Intermediates: 3}) // as many as AWS has
	document, opts := issue(b, authority, goodSpec()), goodOptions(authority)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := attest.Verify(document, opts); err != nil {
			b.Fatal(err)
		}
	}
}
