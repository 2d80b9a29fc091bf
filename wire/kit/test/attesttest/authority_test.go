package attesttest_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

var start = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

func newAuthority(t testing.TB, chain attesttest.Chain) *attesttest.Authority {
	t.Helper()
	authority, err := attesttest.New(chain)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// TestWhatIsIssuedVerifiesToTheSameFields is the codec's property: any fields within the limits come back unchanged.
func TestWhatIsIssuedVerifiesToTheSameFields(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{Intermediates: 1, Now: func() time.Time { return start }})
	field := rapid.SliceOfN(rapid.Byte(), 1, attest.MaxField)
	rapid.Check(t, func(r *rapid.T) {
		spec := attesttest.Spec{
			ModuleID: rapid.StringN(1, 60, 256).Draw(r, "module"), Untagged: rapid.Bool().Draw(r, "untagged"),
			Nonce: field.Draw(r, "nonce"), UserData: field.Draw(r, "user data"), PublicKey: field.Draw(r, "key"),
			PCRs: attest.PCRs{0: {1}},
			Time: start.Add(time.Duration(rapid.IntRange(-50_000, 50_000).Draw(r, "ms")) * time.Millisecond),
		}
		for i := range rapid.IntRange(0, attest.MaxPCRs-1).Draw(r, "registers") {
			spec.PCRs[i] = attest.Measurement{byte(i + 1), rapid.Byte().Draw(r, "value")}
		}
		document, err := authority.Issue(spec)
		if err != nil {
			r.Fatal(err)
		}
		got, err := attest.Verify(document, attest.Options{
			Roots: []attest.Root{authority.Root()}, Allowed: []attest.PCRs{{0: {9}}, spec.PCRs},
			Nonce: attest.Equal(spec.Nonce), UserData: attest.Equal(spec.UserData), PublicKey: attest.Equal(spec.PublicKey),
			Now: func() time.Time { return start },
		})
		if err != nil {
			r.Fatal(err)
		}
		if got.ModuleID != spec.ModuleID || !got.Time.Equal(spec.Time) || len(got.PCRs) != len(spec.PCRs) {
			r.Fatal("fields changed")
		}
	})
}

func TestALoadedRootIssuesForTheSamePin(t *testing.T) {
	first := newAuthority(t, attesttest.Chain{})
	key, err := first.RootKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	second := newAuthority(t, attesttest.Chain{RootCertPEM: first.RootCertPEM(), RootKeyPEM: key})
	document, err := second.Issue(attesttest.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = attest.Verify(document, attest.Options{Roots: []attest.Root{first.Root()}, UncheckedPCRs: true})
	if err != nil {
		t.Error(err)
	}
	other := newAuthority(t, attesttest.Chain{})
	for name, chain := range map[string]attesttest.Chain{
		"key of another":  {RootCertPEM: other.RootCertPEM(), RootKeyPEM: key},
		"no key":          {RootCertPEM: first.RootCertPEM()},
		"no certificate":  {RootKeyPEM: key},
		"key not PEM":     {RootCertPEM: first.RootCertPEM(), RootKeyPEM: []byte("x")},
		"key not a key":   {RootCertPEM: first.RootCertPEM(), RootKeyPEM: first.RootCertPEM()},
		"two in the file": {RootCertPEM: append(first.RootCertPEM(), other.RootCertPEM()...), RootKeyPEM: key},
	} {
		if _, err := attesttest.New(chain); !errors.Is(err, attesttest.ErrRoot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheLeafIsRenewedBeforeItEnds(t *testing.T) {
	now := start
	authority := newAuthority(t, attesttest.Chain{Now: func() time.Time { return now }})
	for range 40 { // 40 hours: intermediates and leaf of the first hour are long over
		document, err := authority.Issue(attesttest.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = attest.Verify(document, attest.Options{
			Roots: []attest.Root{authority.Root()}, UncheckedPCRs: true, Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatalf("after %v: %v", now.Sub(start), err)
		}
		now = now.Add(time.Hour)
	}
}
