//go:build guest

package nsm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hf/nsm/request"

	"redoubt/wire/kit/attest"
)

// These run in a test guest with a /dev/nsm (make test-enclave): the module as the product uses it.

func device1(t *testing.T) Module {
	t.Helper()
	m := Open()
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestGuestModuleDescribesItself(t *testing.T) {
	d, err := device1(t).Describe()
	if err != nil {
		t.Fatal(err)
	}
	if d.Digest != "SHA384" || d.MaxPCRs != 32 || d.ModuleID == "" {
		t.Fatalf("description is %+v", d)
	}
}

func TestGuestModuleGivesEntropyThatDiffers(t *testing.T) {
	m := device1(t)
	var a, b [300]byte // more than one answer of the module holds
	if err := errors.Join(m.Random(a[:]), m.Random(b[:])); err != nil {
		t.Fatal(err)
	}
	if a == b || bytes.Count(a[:], []byte{0}) > 30 {
		t.Fatal("the module's randomness is not random")
	}
}

func TestGuestRegisterExtendsThenLocksForGood(t *testing.T) {
	m := device1(t)
	const index = 20
	before, locked, err := m.PCR(index)
	if err != nil || locked {
		t.Fatalf("register %d: locked %v, %v", index, locked, err)
	}
	after, err := m.Extend(index, []byte("measured"))
	if err != nil || after == before {
		t.Fatalf("extend: %v", err)
	}
	if err := m.Lock(index); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Extend(index, []byte("again")); !errors.Is(err, ErrLocked) {
		t.Fatalf("extending a locked register: %v", err)
	}
	now, locked, err := m.PCR(index)
	if err != nil || !locked || now != after {
		t.Fatalf("register after lock: locked %v changed %v, %v", locked, now != after, err)
	}
}

func TestGuestDocumentCarriesWhatItWasAskedToCarry(t *testing.T) {
	m := device1(t)
	nonce, user, key := []byte("a nonce of a caller"), []byte("user data"), []byte("a public key")
	raw, err := m.Attest(user, nonce, key)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := attest.VerifyUnsigned(raw, attest.Options{
		UncheckedPCRs: true, AllowDebug: true,
		Nonce: attest.Equal(nonce), UserData: attest.Equal(user), PublicKey: attest.Equal(key),
	})
	if err != nil {
		t.Fatalf("%v; the document begins with %x", err, raw[:12])
	}
	if want, _, err := m.PCR(20); err == nil && doc.PCRs[20] != want {
		t.Errorf("register 20 in the document is not the module's")
	}
	if raw, err = m.Attest(nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := attest.VerifyUnsigned(raw, attest.Options{UncheckedPCRs: true, AllowDebug: true}); err != nil {
		t.Fatalf("a document without optional fields: %v", err)
	}
}

func TestGuestOversizedFieldsAreRefusedBeforeTheModuleSeesThem(t *testing.T) {
	m := device1(t)
	for name, args := range map[string][3][]byte{
		"user data":  {make([]byte, MaxUserData+1), nil, nil},
		"nonce":      {nil, make([]byte, MaxUserData+1), nil},
		"public key": {nil, nil, make([]byte, MaxPublicKey+1)},
	} {
		if _, err := m.Attest(args[0], args[1], args[2]); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Attest(make([]byte, MaxUserData), make([]byte, MaxUserData), make([]byte, MaxPublicKey)); err != nil {
		t.Errorf("fields of the largest size: %v", err)
	}
	if _, err := m.Extend(99, nil); !errors.Is(err, ErrArgument) {
		t.Errorf("register 99: %v", err)
	}
}

// TestGuestErrorsOfTheModuleItselfAreTyped goes past our own checks, so that driver and module refuse. (QEMU's module has
// no limit for one field, as Amazon's has, but for the whole request.)
func TestGuestErrorsOfTheModuleItselfAreTyped(t *testing.T) {
	d, ok := device1(t).(*device)
	if !ok {
		t.Fatal("the production module is not the device")
	}
	for name, ask := range map[string]request.Request{
		"register to extend": &request.ExtendPCR{Index: 99, Data: []byte{7}},
		"register to lock":   &request.LockPCR{Index: 99},
		"register to read":   &request.DescribePCR{Index: 99},
	} {
		if _, err := d.send(ask); !errors.Is(err, ErrRefused) ||
			!strings.Contains(err.Error(), "InvalidIndex") {
			t.Errorf("%s: %v", name, err)
		}
	}
	said := make([]byte, maxResponse)
	for _, n := range []int{maxRequest + 1, 1 << 20} {
		if _, err := d.exchange(make([]byte, n), said); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a request of %d bytes: %v", n, err)
		}
	}
	if _, err := d.send(&request.Attestation{UserData: make([]byte, maxRequest)}); !errors.Is(err, ErrArgument) {
		t.Errorf("a request longer than the driver takes: %v", err)
	}
	n, err := d.exchange([]byte("no CBOR of a request"), said)
	if err != nil || !bytes.Contains(said[:n], []byte("Error")) {
		t.Errorf("a request that is none: %q, %v", said[:n], err)
	}
	const index = 21
	if err := errors.Join(d.Lock(index), d.Random(said[:1])); err != nil {
		t.Fatalf("after the refusals: %v", err)
	}
	if err := d.Lock(index); !errors.Is(err, ErrLocked) {
		t.Errorf("locking twice: %v", err)
	}
}
