package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// plainOpener is a KMS whose ciphertexts are the data keys.
type plainOpener struct{}

func (plainOpener) OpenDataKey(_ context.Context, r keys.DataKeyRequest) (*secret.Buffer, error) {
	return secret.NewFrom(bytes.Clone(r.Wrapped))
}

// tenant is a domain of every suite.
type tenant struct {
	keys   *domain.Keys
	record []byte
}

func newTenant(tb testing.TB) tenant {
	tb.Helper()
	ds, dk := make([]byte, domain.SecretSize), make([]byte, domain.DataKeySize)
	_, _ = rand.Read(ds)
	_, _ = rand.Read(dk)
	descriptor, err := domain.Describe(ds, "acme", 1, 1, []sealed.Suite{sealed.XWing, sealed.P256, sealed.P384, sealed.P521}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := domain.SealSecret(dk, [32]byte(dk), domain.Sum(descriptor), keyARN, dk, ds)
	if err != nil {
		tb.Fatal(err)
	}
	record, err := (&domain.Record{Descriptor: descriptor, Wraps: []domain.Wrap{w}}).Append(nil)
	if err != nil {
		tb.Fatal(err)
	}
	k, err := domain.OpenKeys(descriptor, ds)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(k.Destroy)
	return tenant{k, record}
}

// request asks for the fields of a fresh vault, which two writes sealed.
func (d tenant) request(tb testing.TB, s sealed.Suite, id string) *wire.DecryptRequest {
	tb.Helper()
	m, err := d.keys.Mint(rand.Reader, domain.Made, id, s, 1)
	if err != nil {
		tb.Fatal(err)
	}
	pk, err := sealed.NewPublicKey(s, m.Public)
	if err != nil {
		tb.Fatal(err)
	}
	h := d.keys.Hash()
	q := &wire.DecryptRequest{
		VaultID: []byte(id), Suite: uint8(s), Encoding: 4, WrappedKey: m.Wrapped, Domain: h[:wire.DomainNameSize],
	}
	for i, fields := range []map[string][]byte{{"email": []byte("a@b")}, {"ssn": []byte("123"), "name": []byte("Bob")}} {
		w, err := sealed.SealRefs(s, pk, id, fields)
		if err != nil {
			tb.Fatal(err)
		}
		q.Encs = append(q.Encs, w.Enc)
		for _, name := range []string{"email", "ssn", "name"} {
			if blob := w.Fields[name]; blob != nil {
				q.AddField([]byte(name), blob).Enc = uint8(i)
			}
		}
	}
	return q
}

func domainWorld(tb testing.TB) *world {
	tb.Helper()
	return newWorld(tb, options{keys: keys.Config{
		Domains: keys.DomainConfig{Opener: plainOpener{}, KeyARNs: []string{keyARN}},
	}})
}

func TestAVaultUnderADomainOpensOnceTheDomainIsOpen(t *testing.T) {
	w, d := domainWorld(t), newTenant(t)
	for i, s := range sealed.DomainSuites() {
		q := d.request(t, s, fmt.Sprint("v_", i))
		if i == 0 {
			if _, code := w.do(q); code != wire.DomainUnknown {
				t.Errorf("before: %v", code)
			}
			if err := w.client.OpenDomain(t.Context(), d.record); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 { // cold, by the context, by the fields' keys
			m, code := w.do(q)
			want(t, q, m, code, "email=a@b", "ssn=123", "name=Bob")
		}
		q.AddExpression([]byte("last"), []byte("ssn.last(1)"))
		m, code := w.do(q)
		want(t, q, m, code, "@last=3")
	}
	if st := w.cache.Stats(); st.DomainOpens != 1 || st.VaultKeys != 4 || st.Derivations != 8 {
		t.Errorf("%+v", st)
	}
}

// With expressions that leave the reader the body moves; the fields are joined with their keys again.
func TestManyRequestsUnderADomainAtOnce(t *testing.T) {
	w, d := domainWorld(t), newTenant(t)
	if err := w.client.OpenDomain(t.Context(), d.record); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for i := range 16 {
		q := d.request(t, sealed.XWing, fmt.Sprint("v_", i%4))
		go func() {
			defer func() { done <- struct{}{} }()
			for range 10 {
				if m, code := w.do(q); code != wire.OK || len(m.Results) != 3 || string(m.Results[1].Value) != "123" {
					t.Errorf("%v", code)
				}
			}
		}()
	}
	for range 16 {
		<-done
	}
}

func TestRequestsUnderADomainThatAreRefused(t *testing.T) {
	w, d := domainWorld(t), newTenant(t)
	if err := w.client.OpenDomain(t.Context(), d.record); err != nil {
		t.Fatal(err)
	}
	other := d.request(t, sealed.XWing, "v_2")
	for what, c := range map[string]struct {
		spoil func(q *wire.DecryptRequest)
		want  wire.Code
	}{
		"a region":            {func(q *wire.DecryptRequest) { q.Region = []byte(region) }, wire.BadRequest},
		"a key context":       {func(q *wire.DecryptRequest) { q.KeyContext = true }, wire.BadRequest},
		"encoding 3":          {func(q *wire.DecryptRequest) { q.Encoding = 3 }, wire.BadRequest},
		"no suite":            {func(q *wire.DecryptRequest) { q.Suite = 0 }, wire.BadRequest},
		"an index too high":   {func(q *wire.DecryptRequest) { q.Fields[0].Enc = 2 }, wire.BadRequest},
		"another domain":      {func(q *wire.DecryptRequest) { q.Domain = make([]byte, 32) }, wire.DomainUnknown},
		"another suite":       {func(q *wire.DecryptRequest) { q.Suite = 1 }, wire.DecryptFailed},
		"another vault":       {func(q *wire.DecryptRequest) { q.VaultID = []byte("v_2") }, wire.DecryptFailed},
		"another wrapped key": {func(q *wire.DecryptRequest) { q.WrappedKey = other.WrappedKey }, wire.DecryptFailed},
		"a key of KMS's":      {func(q *wire.DecryptRequest) { q.WrappedKey = []byte("wrapped") }, wire.DecryptFailed},
		"encs swapped": {
			func(q *wire.DecryptRequest) { q.Encs[0], q.Encs[1] = q.Encs[1], q.Encs[0] }, wire.DecryptFailed,
		},
	} {
		q := d.request(t, sealed.XWing, "v_1")
		c.spoil(q)
		if _, code := w.do(q); code != c.want {
			t.Errorf("%s: %v, want %v", what, code, c.want)
		}
	}
	// One field that is another's fails alone.
	q := d.request(t, sealed.XWing, "v_1")
	q.Fields[1].Blob, q.Fields[2].Blob = q.Fields[2].Blob, q.Fields[1].Blob
	m, code := w.do(q)
	want(t, q, m, code, "email=a@b", "ssn!decrypt_failed", "name!decrypt_failed")
}

// A vault of KMS's keys may not have X-Wing, and a parent that did not announce domains may name none.
func TestDomainsAreForPeersThatAnnounceThem(t *testing.T) {
	d := newTenant(t)
	w := newWorld(t, options{without: wire.FeatureDomains, keys: keys.Config{
		Domains: keys.DomainConfig{Opener: plainOpener{}, KeyARNs: []string{keyARN}},
	}})
	if err := w.cache.OpenDomain(t.Context(), d.record, nil); err != nil {
		t.Fatal(err)
	}
	if _, code := w.do(d.request(t, sealed.XWing, "v_1")); code != wire.BadRequest {
		t.Errorf("%v", code)
	}
	v := w.vault("v_1", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9")
	q.Suite = uint8(sealed.XWing)
	if _, code := w.do(q); code != wire.BadRequest {
		t.Errorf("X-Wing without a domain: %v", code)
	}
}
