package kms

import (
	"crypto/tls"
	"maps"
	"strings"
	"testing"

	"redoubt/wire/kit/secret"
)

const westARN = "arn:aws:kms:us-west-2:000000000000:key/77777777-2222-3333-4444-555555555555"

var dataKey = strings.Repeat("k", DomainKeySize)

func domainContext(id, generation string) map[string]string {
	return map[string]string{"redoubt:domain": id, "redoubt:gen": generation}
}

func domainKey() DomainRequest {
	return DomainRequest{
		KeyARN: testARN, DomainID: "acme", Generation: 12, Wrapped: wrap(testARN, domainContext("acme", "12"), dataKey),
	}
}

func (c *testClient) DomainKey(t testing.TB, r DomainRequest) (*secret.Buffer, error) {
	t.Helper()
	if r.By == nil {
		r.By = c.by
	}
	return c.Client.DomainKey(t.Context(), r)
}

func mustOpenDomain(t testing.TB, c *testClient, r DomainRequest) {
	t.Helper()
	got, err := c.DomainKey(t, r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Destroy()
	if string(got.Bytes()) != dataKey {
		t.Error("opened to something else")
	}
}

func mustRefuseDomain(t testing.TB, c *testClient, r DomainRequest, want Cause) {
	t.Helper()
	got, err := c.DomainKey(t, r)
	if got != nil {
		t.Error("a key beside the error")
	}
	checkFailure(t, err, want)
}

func TestADomainsKeyIsBoundToDomainAndGeneration(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	mustOpenDomain(t, c, domainKey())
	q := f.asked()[0]
	if q.KeyId != testARN || !maps.Equal(q.EncryptionContext, domainContext("acme", "12")) ||
		len(q.Recipient.AttestationDocument) == 0 {
		t.Errorf("asked with key %s, context %v, a document of %d bytes", q.KeyId, q.EncryptionContext,
			len(q.Recipient.AttestationDocument))
	}
	for name, wrapped := range map[string][]byte{
		"another domain":       wrap(testARN, domainContext("acme.00", "12"), dataKey),
		"another generation":   wrap(testARN, domainContext("acme", "11"), dataKey),
		"a generation with 0":  wrap(testARN, domainContext("acme", "012"), dataKey),
		"a vault's key":        wrap(testARN, vaultContext("acme"), dataKey),
		"a key of no context":  wrap(testARN, nil, dataKey),
		"another key's":        wrap(otherARN, domainContext("acme", "12"), dataKey),
		"not a ciphertext":     []byte("x"),
		"one entry is missing": wrap(testARN, map[string]string{"redoubt:domain": "acme"}, dataKey),
	} {
		t.Run(name, func(t *testing.T) {
			r := domainKey()
			r.Wrapped = wrapped
			mustRefuseDomain(t, c, r, Denied)
		})
	}
	// And the reverse: what opens domains opens as no vault's key.
	r := vaultKey("acme", "")
	r.Wrapped = domainKey().Wrapped
	mustFail(t, c, r, Denied)
}

func TestADomainsKeyComesUnderListedKeysAlone(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f, func(cfg *Config) { cfg.DomainKeys = []string{otherARN} })
	mustOpenDomain(t, c, domainKey())
	r := domainKey()
	r.KeyARN, r.Wrapped = otherARN, wrap(otherARN, domainContext("acme", "12"), dataKey)
	mustOpenDomain(t, c, r)
	asked := len(f.asked())
	r.KeyARN = westARN
	mustRefuseDomain(t, c, r, Denied)
	v := vaultKey("v_1", "private key") // a key for domains opens no vault's key
	v.KeyARN, v.Wrapped = otherARN, wrap(otherARN, vaultContext("v_1"), "private key")
	mustFail(t, c, v, Denied)
	if len(f.asked()) != asked {
		t.Error("KMS was asked with a key that is not listed")
	}
	f.set(func(f *fakeKMS) { f.edit = func(_ int, answer map[string]any) { answer["KeyId"] = otherARN } })
	mustRefuseDomain(t, c, domainKey(), BadAnswer)
}

func TestADomainsKeyOfAnotherRegionIsAskedForThere(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f, func(cfg *Config) { cfg.DomainKeys = []string{westARN} })
	r := domainKey()
	r.KeyARN, r.Wrapped = westARN, wrap(westARN, domainContext("acme", "12"), dataKey)
	mustRefuseDomain(t, c, r, NoEgress) // the fake's egress knows one host
	if _, err := c.UnwrapHMACKey(t.Context(), "us-west-2", []byte("w")); err == nil {
		t.Error("a region of domains alone has a key of hmac_sha256")
	}
	if _, err := New(Config{
		Keys: c.cfg.Keys, Dial: f.dial, Module: c.cfg.Module, DomainKeys: []string{"alias/redoubt"},
	}); err == nil {
		t.Error("an alias was taken for a domain's key")
	}
}

func TestADomainsKeyHasItsSize(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	for _, plain := range []string{dataKey[1:], dataKey + "k", "k"} {
		r := domainKey()
		r.Wrapped = wrap(testARN, domainContext("acme", "12"), plain)
		mustRefuseDomain(t, c, r, BadAnswer)
	}
	asked := len(f.asked())
	for _, id := range []string{"", "Acme", "a/b", "a b", "a\x00", strings.Repeat("a", 64), "ä"} {
		r := domainKey()
		r.DomainID = id
		mustRefuseDomain(t, c, r, Invalid)
	}
	if len(f.asked()) != asked {
		t.Error("KMS was asked for a domain that cannot be")
	}
}

// classicalEnds are ways to speak TLS that a quantum computer could open later.
var classicalEnds = map[string]func(*tls.Config){
	"TLS 1.2":              func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	"TLS 1.3, X25519":      func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} },
	"TLS 1.3, P-256":       func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
	"TLS 1.3, P-384":       func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} },
	"TLS 1.3, all of ours": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256} },
}

func TestDomainsKeysTravelByHybridTLSAlone(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	mustOpenDomain(t, c, domainKey())
	if s := f.spoken[0]; s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 {
		t.Errorf("spoken was TLS %x with %v", s.Version, s.CurveID)
	}
	for name, end := range classicalEnds {
		t.Run(name, func(t *testing.T) {
			c.domains.CloseIdleConnections()
			c.transport.CloseIdleConnections()
			f.set(func(f *fakeKMS) { f.tls = end })
			asked := len(f.asked())
			// More often than failures that open a region's circuit: vaults' keys are served by such an end.
			for range 20 {
				mustRefuseDomain(t, c, domainKey(), NoHybrid)
			}
			if len(f.asked()) != asked {
				t.Error("the request went out")
			}
			mustUnwrap(t, c, vaultKey("v_1", "private key"), "private key")
		})
	}
}

// A connection of vaults' keys, or a ticket of one, is never used for a domain.
func TestDomainsKeysShareNoConnection(t *testing.T) {
	f := newFakeKMS(t)
	f.tls = classicalEnds["TLS 1.3, X25519"]
	c, _ := newTestClient(t, f)
	mustUnwrap(t, c, vaultKey("v_1", "private key"), "private key")
	mustRefuseDomain(t, c, domainKey(), NoHybrid)
	f.set(func(f *fakeKMS) { f.tls = nil })
	mustOpenDomain(t, c, domainKey())
	if s := f.spoken[len(f.spoken)-1]; s.CurveID != tls.X25519MLKEM768 || s.DidResume {
		t.Errorf("spoken was %v, resumed %v", s.CurveID, s.DidResume)
	}
}

func TestClassicalTLSForDomainsIsASetting(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f, func(cfg *Config) { cfg.ClassicalDomains = true })
	for name, end := range classicalEnds {
		c.domains.CloseIdleConnections()
		f.set(func(f *fakeKMS) { f.tls = end })
		t.Run(name, func(t *testing.T) { mustOpenDomain(t, c, domainKey()) })
	}
}

func TestAttemptsForDomainsAreCounted(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	mustUnwrap(t, c, vaultKey("v_1", "private key"), "private key")
	if n := c.Stats().Domains; n != 0 {
		t.Errorf("%d attempts before the first", n)
	}
	mustOpenDomain(t, c, domainKey())
	f.set(func(f *fakeKMS) { f.fail = failing(-1, 400, "AccessDeniedException") })
	mustRefuseDomain(t, c, domainKey(), Denied)
	if n := c.Stats().Domains; n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}
