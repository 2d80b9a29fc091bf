//go:build dev

package nsm

import (
	"errors"
	"slices"
	"testing"
	"time"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

var softTime = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

func newSoft(t *testing.T, pcrs attest.PCRs) (Module, attest.Root) {
	t.Helper()
	now := func() time.Time { return softTime }
	authority, err := attesttest.New(attesttest.Chain{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	key, err := authority.RootKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewSoft(SoftConfig{RootCertPEM: authority.RootCertPEM(), RootKeyPEM: key, PCRs: pcrs, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return m, authority.Root()
}

func TestSoftModuleSignsRealDocumentsUnderTheConfiguredRoot(t *testing.T) {
	m, root := newSoft(t, attesttest.DefaultPCRs())
	document, err := m.Attest([]byte("user"), []byte("nonce"), []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := attest.Verify(document, attest.Options{
		Roots: []attest.Root{root}, Allowed: []attest.PCRs{attesttest.DefaultPCRs()},
		Now: func() time.Time { return softTime }, Nonce: attest.Equal([]byte("nonce")),
		UserData: attest.Equal([]byte("user")), PublicKey: attest.Equal([]byte("key")),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.PCRs) != hardwareRegisters {
		t.Errorf("%d registers in the document, want %d", len(doc.PCRs), hardwareRegisters)
	}
}

func TestSoftModuleWithoutMeasurementsLooksLikeDebugMode(t *testing.T) {
	m, root := newSoft(t, nil)
	document, err := m.Attest(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = attest.Verify(document, attest.Options{
		Roots: []attest.Root{root}, UncheckedPCRs: true, Now: func() time.Time { return softTime },
	})
	if !errors.Is(err, attest.ErrDebug) {
		t.Errorf("got %v, want %v", err, attest.ErrDebug)
	}
}

func TestSoftRegistersExtendAndLockAsTheModulesDo(t *testing.T) {
	m, _ := newSoft(t, attesttest.DefaultPCRs())
	if _, err := m.Extend(0, []byte("x")); !errors.Is(err, ErrLocked) {
		t.Errorf("extending PCR0: %v", err)
	}
	first, err := m.Extend(16, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Extend(16, []byte("hello"))
	if err != nil || first == second {
		t.Errorf("extending twice: %v, same value %v", err, first == second)
	}
	if err := m.Lock(16); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Extend(16, []byte("again")); !errors.Is(err, ErrLocked) {
		t.Errorf("extending a locked register: %v", err)
	}
	if value, locked, err := m.PCR(16); err != nil || !locked || value != second {
		t.Errorf("register 16: %v %v %v", value, locked, err)
	}
	said, err := m.Describe()
	if err != nil || !slices.Contains(said.Locked, 16) || said.Digest != "SHA384" {
		t.Errorf("description %+v, %v", said, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Attest(nil, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestSoftModuleRefusesAnUnusableRootAndRegistersAbove15(t *testing.T) {
	if _, err := NewSoft(SoftConfig{RootCertPEM: []byte("x"), RootKeyPEM: []byte("y")}); !errors.Is(err, attesttest.ErrRoot) {
		t.Errorf("unusable root: %v", err)
	}
	if _, err := NewSoft(SoftConfig{PCRs: attest.PCRs{16: {}}}); !errors.Is(err, ErrArgument) {
		t.Errorf("register 16: %v", err)
	}
}

// The software module refuses what the hardware would, so that what calls it meets each refusal in development.
func TestSoftModuleRefusesWhatTheHardwareWould(t *testing.T) {
	m, _ := newSoft(t, attesttest.DefaultPCRs())
	extend := func(index int, data []byte) error { _, err := m.Extend(index, data); return err }
	read := func(index int) error { _, _, err := m.PCR(index); return err }
	sign := func(nonce []byte) error { _, err := m.Attest(nil, nonce, nil); return err }
	describe := func() error { _, err := m.Describe(); return err }
	const own = hardwareRegisters
	if err := m.Lock(own); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want error }{
		"no such register extended": {extend(attest.MaxPCRs, []byte("x")), ErrArgument},
		"no such register read":     {read(-1), ErrArgument},
		"no such register locked":   {m.Lock(attest.MaxPCRs), ErrArgument},
		"nothing to extend by":      {extend(own+1, nil), ErrArgument},
		"too much to extend by":     {extend(own+1, make([]byte, MaxExtend+1)), ErrArgument},
		"a locked one extended":     {extend(own, []byte("x")), ErrLocked},
		"a locked one locked":       {m.Lock(own), ErrLocked},
		"too long a nonce":          {sign(make([]byte, 10_000)), ErrArgument},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"attest": sign(nil), "random": m.Random(make([]byte, 1)), "describe": describe(), "read": read(own),
		"extend": extend(own+1, []byte("x")), "lock": m.Lock(own + 1),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after the end: %v", what, err)
		}
	}
	if _, err := NewSoft(SoftConfig{PCRs: attest.PCRs{own: {}}}); !errors.Is(err, ErrArgument) {
		t.Errorf("a register of the enclave's own is preset: %v", err)
	}
}
