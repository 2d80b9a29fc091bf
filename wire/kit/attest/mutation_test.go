package attest_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

// A mutation bends one thing about a document that would be accepted, and says how the verifier must refuse it.
type mutation struct {
	name string
	spec func(*attesttest.Spec)
	opts func(*attest.Options)
	want error
}

func payload(edit func(map[string]any)) func(*attesttest.Spec) {
	return func(s *attesttest.Spec) { s.EditPayload = edit }
}

func set(key string, value any) func(*attesttest.Spec) {
	return payload(func(m map[string]any) { m[key] = value })
}

func bundle(edit func([][]byte) [][]byte) func(*attesttest.Spec) {
	return payload(func(m map[string]any) { m["cabundle"] = edit(m["cabundle"].([][]byte)) })
}

func pcrs(edit func(map[uint64][]byte)) func(*attesttest.Spec) {
	return payload(func(m map[string]any) { edit(m["pcrs"].(map[uint64][]byte)) })
}

func signature(edit func([]byte) []byte) func(*attesttest.Spec) {
	return func(s *attesttest.Spec) { s.EditSignature = edit }
}

func made(d time.Duration) func(*attesttest.Spec) {
	return func(s *attesttest.Spec) { s.Time = base.Add(d) }
}

// coseMutations are about the envelope: SECURITY.md, check 9.
var coseMutations = []mutation{
	{
		name: "ES256", spec: func(s *attesttest.Spec) { s.Protected = []byte{0xa1, 0x01, 0x26} },
		want: attest.ErrAlgorithm,
	},
	{
		name: "ES512", spec: func(s *attesttest.Spec) { s.Protected = []byte{0xa1, 0x01, 0x38, 0x23} },
		want: attest.ErrAlgorithm,
	},
	{name: "no algorithm", spec: func(s *attesttest.Spec) { s.Protected = []byte{0xa0} }, want: attest.ErrAlgorithm},
	{name: "empty protected header", spec: func(s *attesttest.Spec) { s.Protected = []byte{} }, want: attest.ErrFormat},
	{
		name: "second protected header",
		spec: func(s *attesttest.Spec) { s.Protected = []byte{0xa2, 0x01, 0x38, 0x22, 0x04, 0x00} },
		want: attest.ErrAlgorithm,
	},
	{
		name: "crit", spec: func(s *attesttest.Spec) { s.Protected = []byte{0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x04} },
		want: attest.ErrFormat,
	},
	{name: "algorithm twice", spec: func(s *attesttest.Spec) {
		s.Protected = []byte{0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22}
	}, want: attest.ErrFormat},
	{
		name: "indefinite protected header",
		spec: func(s *attesttest.Spec) { s.Protected = []byte{0xbf, 0x01, 0x38, 0x22, 0xff} }, want: attest.ErrFormat,
	},
	{
		name: "unprotected header", spec: func(s *attesttest.Spec) { s.Unprotected = map[int]int{1: -35} },
		want: attest.ErrFormat,
	},
	{name: "signature in DER", spec: signature(func(s []byte) []byte {
		return append([]byte{0x30, 0x64, 0x02, 0x30}, s...)
	}), want: attest.ErrFormat},
	{name: "signature too short", spec: signature(func(s []byte) []byte { return s[:95] }), want: attest.ErrFormat},
	{
		name: "signature of zeroes", spec: signature(func(s []byte) []byte { return make([]byte, len(s)) }),
		want: attest.ErrSignature,
	},
	{
		name: "signature of ones", spec: signature(func(s []byte) []byte { return bytes.Repeat([]byte{0xff}, len(s)) }),
		want: attest.ErrSignature,
	},
	{
		name: "halves swapped", spec: signature(func(s []byte) []byte { return append(bytes.Clone(s[48:]), s[:48]...) }),
		want: attest.ErrSignature,
	},
	{
		name: "last bit of signature", spec: signature(func(s []byte) []byte { s[95] ^= 1; return s }),
		want: attest.ErrSignature,
	},
}

// fieldMutations are about the payload: SECURITY.md, check 10.
var fieldMutations = []mutation{
	{name: "no module id", spec: payload(func(m map[string]any) { delete(m, "module_id") }), want: attest.ErrFormat},
	{name: "empty module id", spec: set("module_id", ""), want: attest.ErrFormat},
	{name: "module id of bytes", spec: set("module_id", []byte("i-1")), want: attest.ErrFormat},
	{name: "no digest", spec: payload(func(m map[string]any) { delete(m, "digest") }), want: attest.ErrAlgorithm},
	{name: "SHA256", spec: set("digest", "SHA256"), want: attest.ErrAlgorithm},
	{name: "no timestamp", spec: payload(func(m map[string]any) { delete(m, "timestamp") }), want: attest.ErrFormat},
	{name: "timestamp zero", spec: set("timestamp", 0), want: attest.ErrFormat},
	{name: "timestamp negative", spec: set("timestamp", -1), want: attest.ErrFormat},
	{name: "timestamp a float", spec: set("timestamp", float64(base.UnixMilli())), want: attest.ErrFormat},
	{name: "timestamp a text", spec: set("timestamp", base.Format(time.RFC3339)), want: attest.ErrFormat},
	{name: "timestamp overflows", spec: set("timestamp", ^uint64(0)), want: attest.ErrFormat},
	{name: "no pcrs", spec: payload(func(m map[string]any) { delete(m, "pcrs") }), want: attest.ErrFormat},
	{name: "a NitroTPM's document", spec: payload(func(m map[string]any) {
		m["nitrotpm_pcrs"] = m["pcrs"]
		delete(m, "pcrs")
	}), want: attest.ErrFormat},
	{name: "pcrs empty", spec: set("pcrs", map[uint64][]byte{}), want: attest.ErrFormat},
	{name: "pcr 32", spec: pcrs(func(p map[uint64][]byte) { p[32] = p[0] }), want: attest.ErrFormat},
	{name: "pcr of huge index", spec: pcrs(func(p map[uint64][]byte) { p[1<<63] = p[0] }), want: attest.ErrFormat},
	{name: "pcr of negative index", spec: set("pcrs", map[int][]byte{-1: make([]byte, 48)}), want: attest.ErrFormat},
	{name: "pcr of 47 bytes", spec: pcrs(func(p map[uint64][]byte) { p[1] = p[1][:47] }), want: attest.ErrFormat},
	{name: "pcr of 32 bytes", spec: pcrs(func(p map[uint64][]byte) { p[1] = p[1][:32] }), want: attest.ErrFormat},
	{
		name: "pcr of 64 bytes", spec: pcrs(func(p map[uint64][]byte) { p[1] = make([]byte, 64) }),
		want: attest.ErrFormat,
	},
	{name: "pcr as a list of numbers", spec: set("pcrs", map[uint64][]int{0: make([]int, 48)}), want: attest.ErrFormat},
	{name: "nonce as a list of numbers", spec: set("nonce", []int{1, 2}), want: attest.ErrFormat},
	{name: "nonce as text", spec: set("nonce", "0123456789abcdef"), want: attest.ErrFormat},
	{name: "nonce too long", spec: set("nonce", make([]byte, attest.MaxField+1)), want: attest.ErrFormat},
	{name: "user data too long", spec: set("user_data", make([]byte, attest.MaxField+1)), want: attest.ErrFormat},
	{name: "public key too long", spec: set("public_key", make([]byte, attest.MaxField+1)), want: attest.ErrFormat},
	{
		name: "payload empty", spec: func(s *attesttest.Spec) { s.EditPayloadBytes = func([]byte) []byte { return nil } },
		want: attest.ErrFormat,
	},
	{name: "payload a list", spec: func(s *attesttest.Spec) {
		s.EditPayloadBytes = func([]byte) []byte { return []byte{0x80} }
	}, want: attest.ErrFormat},
	{name: "payload followed by a byte", spec: func(s *attesttest.Spec) {
		s.EditPayloadBytes = func(p []byte) []byte { return append(p, 0) }
	}, want: attest.ErrFormat},
	{name: "payload of indefinite length", spec: func(s *attesttest.Spec) {
		s.EditPayloadBytes = func(p []byte) []byte { p[0] = 0xbf; return append(p, 0xff) }
	}, want: attest.ErrFormat},
	{name: "payload with a key twice", spec: func(s *attesttest.Spec) {
		s.EditPayloadBytes = func(p []byte) []byte { // nine pairs become ten; the tenth is "digest" again
			p[0]++
			return append(p, "\x66digest\x66SHA384"...)
		}
	}, want: attest.ErrFormat},
	{name: "payload tagged", spec: func(s *attesttest.Spec) {
		s.EditPayloadBytes = func(p []byte) []byte { return append([]byte{0xc0}, p...) }
	}, want: attest.ErrFormat},
	{name: "keys in capitals", spec: payload(func(m map[string]any) {
		m["DIGEST"] = m["digest"]
		delete(m, "digest")
	}), want: attest.ErrAlgorithm},
}

// bundleMutations are about certificates as they lie in the document: SECURITY.md, check 8 and 10.
var bundleMutations = []mutation{
	{
		name: "no certificate", spec: payload(func(m map[string]any) { delete(m, "certificate") }),
		want: attest.ErrFormat,
	},
	{name: "certificate null", spec: set("certificate", nil), want: attest.ErrFormat},
	{name: "certificate empty", spec: set("certificate", []byte{}), want: attest.ErrFormat},
	{name: "certificate too long", spec: set("certificate", make([]byte, 1025)), want: attest.ErrFormat},
	{name: "certificate not DER", spec: set("certificate", []byte("x")), want: attest.ErrChain},
	{name: "certificate followed by a byte", spec: payload(func(m map[string]any) {
		m["certificate"] = append(bytes.Clone(m["certificate"].([]byte)), 0)
	}), want: attest.ErrChain},
	{name: "root as certificate", spec: payload(func(m map[string]any) {
		m["certificate"] = m["cabundle"].([][]byte)[0]
	}), want: attest.ErrChain},
	{name: "no bundle", spec: payload(func(m map[string]any) { delete(m, "cabundle") }), want: attest.ErrFormat},
	{name: "bundle empty", spec: set("cabundle", [][]byte{}), want: attest.ErrFormat},
	{name: "bundle of 17", spec: bundle(func(b [][]byte) [][]byte {
		for len(b) < 17 {
			b = append(b, b[1])
		}
		return b
	}), want: attest.ErrFormat},
	{name: "broken bundle: an intermediate is missing", spec: bundle(func(b [][]byte) [][]byte {
		return [][]byte{b[0], b[2]}
	}), want: attest.ErrChain},
	{name: "broken bundle: last intermediate is missing", spec: bundle(func(b [][]byte) [][]byte {
		return b[:2]
	}), want: attest.ErrChain},
	{name: "broken bundle: garbage beside the chain", spec: bundle(func(b [][]byte) [][]byte {
		return append(b, []byte("garbage"))
	}), want: attest.ErrChain},
	{
		name: "broken bundle: an empty entry", spec: bundle(func(b [][]byte) [][]byte { return append(b, nil) }),
		want: attest.ErrFormat,
	},
}

// acceptanceMutations are about time, measurements and expectations: SECURITY.md, check 10, 12, 13.
var acceptanceMutations = []mutation{
	{name: "before the leaf", spec: made(-121 * time.Minute), want: attest.ErrChain},
	{
		name: "late", opts: func(o *attest.Options) { o.Now = at(base.Add(attest.DefaultMaxAge + 1)) },
		want: attest.ErrTime,
	},
	{name: "early", spec: made(attest.DefaultSkew + time.Millisecond), want: attest.ErrTime},
	{
		name: "after the leaf's end", spec: made(4 * time.Hour),
		opts: func(o *attest.Options) { o.Now = at(base.Add(4 * time.Hour)) },
		want: attest.ErrChain,
	},
	{name: "wrong PCR0", spec: pcrs(func(p map[uint64][]byte) { p[0][0] ^= 1 }), want: attest.ErrMeasurement},
	{name: "wrong PCR2", spec: pcrs(func(p map[uint64][]byte) { p[2][47] ^= 0x80 }), want: attest.ErrMeasurement},
	{name: "missing PCR1", spec: pcrs(func(p map[uint64][]byte) { delete(p, 1) }), want: attest.ErrMeasurement},
	{name: "missing PCR0", spec: pcrs(func(p map[uint64][]byte) { delete(p, 0) }), want: attest.ErrDebug},
	{name: "debug mode", spec: pcrs(func(p map[uint64][]byte) { p[0] = make([]byte, 48) }), want: attest.ErrDebug},
	{
		name: "debug mode, on the allow list", spec: pcrs(func(p map[uint64][]byte) { p[0] = make([]byte, 48) }),
		opts: func(o *attest.Options) { o.Allowed = []attest.PCRs{{0: attest.Measurement{}}} }, want: attest.ErrDebug,
	},
	{
		name: "debug mode, measurements unchecked", spec: pcrs(func(p map[uint64][]byte) { p[0] = make([]byte, 48) }),
		opts: func(o *attest.Options) { o.Allowed, o.UncheckedPCRs = nil, true }, want: attest.ErrDebug,
	},
	{
		name: "wrong nonce", spec: func(s *attesttest.Spec) { s.Nonce = []byte("0123456789abcdeX") },
		want: attest.ErrNonce,
	},
	{
		name: "longer nonce", spec: func(s *attesttest.Spec) { s.Nonce = []byte("0123456789abcdef0") },
		want: attest.ErrNonce,
	},
	{name: "missing nonce", spec: func(s *attesttest.Spec) { s.Nonce = nil }, want: attest.ErrNonce},
	{name: "nonce not asked for", opts: func(o *attest.Options) { o.Nonce = attest.Absent() }, want: attest.ErrNonce},
	{
		name: "empty nonce asked for", spec: func(s *attesttest.Spec) { s.Nonce = nil },
		opts: func(o *attest.Options) { o.Nonce = attest.Equal(nil) }, want: attest.ErrNonce,
	},
	{
		name: "wrong user data", spec: func(s *attesttest.Spec) { s.UserData = []byte("other data") },
		want: attest.ErrUserData,
	},
	{name: "missing user data", spec: func(s *attesttest.Spec) { s.UserData = nil }, want: attest.ErrUserData},
	{
		name: "wrong public key", spec: func(s *attesttest.Spec) { s.PublicKey = []byte("host's key") },
		want: attest.ErrPublicKey,
	},
	{
		name: "public key in a caller's document", opts: func(o *attest.Options) { o.PublicKey = attest.Absent() },
		want: attest.ErrPublicKey,
	},
	{
		name: "missing public key", spec: func(s *attesttest.Spec) { s.PublicKey = nil },
		opts: func(o *attest.Options) { o.PublicKey = attest.Present() }, want: attest.ErrPublicKey,
	},
}

// optionMutations are about verifiers that were set up wrongly: SECURITY.md, check 13.
var optionMutations = []mutation{
	{name: "no allow list", opts: func(o *attest.Options) { o.Allowed = nil }, want: attest.ErrOptions},
	{name: "empty allow list", opts: func(o *attest.Options) { o.Allowed = []attest.PCRs{} }, want: attest.ErrOptions},
	{
		name: "empty set", opts: func(o *attest.Options) { o.Allowed = append(o.Allowed, attest.PCRs{}) },
		want: attest.ErrOptions,
	},
	{
		name: "set with register 32", opts: func(o *attest.Options) { o.Allowed = []attest.PCRs{{32: {1}}} },
		want: attest.ErrOptions,
	},
	{
		name: "set with register -1", opts: func(o *attest.Options) { o.Allowed = []attest.PCRs{{-1: {1}}} },
		want: attest.ErrOptions,
	},
	{
		name: "allow list and unchecked", opts: func(o *attest.Options) { o.UncheckedPCRs = true },
		want: attest.ErrOptions,
	},
	{
		name: "root without a hash", opts: func(o *attest.Options) { o.Roots = []attest.Root{{}} },
		want: attest.ErrOptions,
	},
	{name: "root of another hash", opts: func(o *attest.Options) { o.Roots[0].Hash[0] ^= 1 }, want: attest.ErrOptions},
	{name: "window too wide", opts: func(o *attest.Options) { o.MaxAge = 4 * time.Hour }, want: attest.ErrOptions},
	{name: "window negative", opts: func(o *attest.Options) { o.Skew = -time.Second }, want: attest.ErrOptions},
}

func TestMutations(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	tables := map[string][]mutation{
		"cose": coseMutations, "field": fieldMutations, "bundle": bundleMutations,
		"acceptance": acceptanceMutations, "option": optionMutations,
	}
	for table, mutations := range tables {
		for _, m := range mutations {
			t.Run(table+"/"+m.name, func(t *testing.T) {
				spec, opts := goodSpec(), goodOptions(authority)
				if m.spec != nil {
					m.spec(&spec)
				}
				if m.opts != nil {
					m.opts(&opts)
				}
				got, err := attest.Verify(issue(t, authority, spec), opts)
				if !errors.Is(err, m.want) || got != nil {
					t.Errorf("got %v, want %v", err, m.want)
				}
			})
		}
	}
}

// TestChainMutations is SECURITY.md, check 8, 9 and 11: what certificates may be, and what they may do.
func TestChainMutations(t *testing.T) {
	middle := func(edit func(*x509.Certificate)) attesttest.Chain {
		return attesttest.Chain{EditIntermediate: func(i int, c *x509.Certificate) {
			if i == 0 {
				edit(c)
			}
		}}
	}
	tests := []struct {
		name  string
		chain attesttest.Chain
		want  error
	}{
		{
			"intermediate is no authority", middle(func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = false, -1 }),
			attest.ErrChain,
		},
		{
			"intermediate without basicConstraints", middle(func(c *x509.Certificate) { c.BasicConstraintsValid = false }),
			attest.ErrChain,
		},
		{
			"intermediate's pathLen too small",
			middle(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }),
			attest.ErrChain,
		},
		{
			"root's pathLen too small",
			attesttest.Chain{EditRoot: func(c *x509.Certificate) { c.MaxPathLen = 1 }},
			attest.ErrChain,
		},
		{
			"intermediate may not sign certificates",
			middle(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), attest.ErrChain,
		},
		{"intermediate without keyUsage", middle(func(c *x509.Certificate) { c.KeyUsage = 0 }), attest.ErrChain},
		{
			"root without keyUsage",
			attesttest.Chain{EditRoot: func(c *x509.Certificate) { c.KeyUsage = 0 }},
			attest.ErrChain,
		},
		{
			"intermediate expired", middle(func(c *x509.Certificate) { c.NotAfter = base.Add(-time.Second) }),
			attest.ErrChain,
		},
		{
			"intermediate not yet valid", middle(func(c *x509.Certificate) { c.NotBefore = base.Add(time.Second) }),
			attest.ErrChain,
		},
		{
			"root expired",
			attesttest.Chain{EditRoot: func(c *x509.Certificate) { c.NotAfter = base.Add(-time.Second) }},
			attest.ErrChain,
		},
		{"intermediate on P-256", attesttest.Chain{IntermediateCurve: elliptic.P256()}, attest.ErrAlgorithm},
		{"leaf on P-256", attesttest.Chain{LeafCurve: elliptic.P256()}, attest.ErrFormat},
		{"leaf on P-521", attesttest.Chain{LeafCurve: elliptic.P521()}, attest.ErrFormat},
		{"leaf is an authority", attesttest.Chain{EditLeaf: func(c *x509.Certificate) { c.IsCA = true }}, attest.ErrChain},
		{
			"leaf may not sign",
			attesttest.Chain{EditLeaf: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }},
			attest.ErrChain,
		},
		{
			"leaf without keyUsage",
			attesttest.Chain{EditLeaf: func(c *x509.Certificate) { c.KeyUsage = 0 }},
			attest.ErrChain,
		},
		{
			"leaf expired",
			attesttest.Chain{EditLeaf: func(c *x509.Certificate) { c.NotAfter = base.Add(-time.Second) }},
			attest.ErrChain,
		},
		{
			"leaf not yet valid",
			attesttest.Chain{EditLeaf: func(c *x509.Certificate) { c.NotBefore = base.Add(time.Second) }},
			attest.ErrChain,
		},
		{"leaf signed with SHA-512", attesttest.Chain{EditLeaf: func(c *x509.Certificate) {
			c.SignatureAlgorithm = x509.ECDSAWithSHA512
		}}, attest.ErrAlgorithm},
		{
			"intermediate signed with SHA-256",
			middle(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA256 }), attest.ErrChain,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			authority := newAuthority(t, tt.chain)
			_, err := attest.Verify(issue(t, authority, goodSpec()), goodOptions(authority))
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestAnotherRootInFrontIsNotTrusted is the attack that a verifier trusting cabundle[0] falls for: a chain that is
// whole and valid, under a root of the attacker's making, which bears the same name.
func TestAnotherRootInFrontIsNotTrusted(t *testing.T) {
	ours, theirs := newAuthority(t, attesttest.Chain{}), newAuthority(t, attesttest.Chain{})
	document := issue(t, theirs, goodSpec())
	if _, err := attest.Verify(document, goodOptions(theirs)); err != nil {
		t.Fatalf("the attacker's chain is not even whole: %v", err)
	}
	if _, err := attest.Verify(document, goodOptions(ours)); !errors.Is(err, attest.ErrChain) {
		t.Errorf("got %v, want %v", err, attest.ErrChain)
	}
	// Nor does it help to put our root beside it.
	spec := goodSpec()
	spec.EditPayload = func(m map[string]any) {
		m["cabundle"] = append(m["cabundle"].([][]byte), ours.Root().Certificate.Raw)
	}
	if _, err := attest.Verify(issue(t, theirs, spec), goodOptions(ours)); !errors.Is(err, attest.ErrChain) {
		t.Errorf("with our root in the bundle: got %v, want %v", err, attest.ErrChain)
	}
}

// TestANonceServesOnce is SECURITY.md, check 12: a document for one nonce does not answer another.
func TestANonceServesOnce(t *testing.T) {
	authority := newAuthority(t, attesttest.Chain{})
	opts := goodOptions(authority)
	document := issue(t, authority, goodSpec())
	if _, err := attest.Verify(document, opts); err != nil {
		t.Fatal(err)
	}
	opts.Nonce = attest.Equal([]byte("fedcba9876543210"))
	if _, err := attest.Verify(document, opts); !errors.Is(err, attest.ErrNonce) {
		t.Errorf("replayed: got %v, want %v", err, attest.ErrNonce)
	}
}
