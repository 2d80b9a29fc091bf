package engine

import (
	"bytes"
	"strings"
	"testing"

	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

var record = map[string]string{"ssn9": "123456789", "dob": "1979-04-05", "first_name": "Bob"}

func TestEveryEncodingAndSuiteOpensColdAndHot(t *testing.T) {
	w := newWorld(t, options{})
	for _, suite := range sealed.Suites() {
		for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
			v := w.vault("v_"+suite.String()+string('0'+rune(e)), suite, true)
			q := v.request(e, w.seal(v, e, record), "ssn9", "dob", "first_name")
			for range 3 {
				m, code := w.do(q)
				want(t, q, m, code, "ssn9=123456789", "dob=1979-04-05", "first_name=Bob")
			}
		}
	}
}

func TestEncodingOneArrivesAsBytes(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_hex", sealed.P384, false)
	q := v.request(sealed.EncodingHex, w.seal(v, sealed.EncodingField, record), "ssn9")
	m, code := w.do(q)
	want(t, q, m, code, "ssn9=123456789")
}

func TestWhatTheAnswerShows(t *testing.T) {
	const upper, replace = "up=first_name.to_uppercase()", "first_name=first_name.to_uppercase()"
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, record)
	for _, tt := range []struct {
		name    string
		fields  string
		exprs   string // name=source
		include string
		compat  bool
		want    string
	}{
		{"fields alone", "ssn9 dob", "", "", false, "ssn9=123456789 dob=1979-04-05"},
		{"an expression hides the fields", "ssn9 dob", "up=first_name", "", false, "@up!expression_failed"},
		{"an expression sees its field", "first_name", upper, "", false, "@up=BOB"},
		{"include names raw fields", "first_name dob", upper, "dob", false, "dob=1979-04-05 @up=BOB"},
		{"include without expressions", "first_name dob", "", "dob", false, "dob=1979-04-05"},
		{"compat shows all", "first_name dob", upper, "", true, "first_name=Bob dob=1979-04-05 @up=BOB"},
		{"an expression replaces its field", "first_name", replace, "first_name", false, "@first_name=BOB"},
		{"also in compat", "first_name", replace, "", true, "@first_name=BOB"},
		{
			"a failed expression does not give its field away", "first_name", "first_name=1/0", "first_name", true,
			"@first_name!expression_failed",
		},
		{
			"a failed expression leaves the others", "first_name", "a=nope() b=first_name.sha256()", "", false,
			"@a!expression_failed @b=cd9fb1e148ccd8442e5aa74904cc73bf6fb54d1d54d333bd596aa9bb4bb4e961",
		},
		{
			"expressions see one another", "first_name", "b=a+'!' a=first_name.to_uppercase()", "", false,
			"@b=BOB! @a=BOB",
		},
		{"numbers are JSON", "ssn9", "n=size(ssn9)", "", false, "@n=9"},
		{"no field at all", "", "n=1+1", "", false, "@n=2"},
		{"names are lower-cased to open", "SSN9", "", "", false, "SSN9=123456789"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := v.request(sealed.EncodingRecord, nil)
			for _, n := range strings.Fields(tt.fields) {
				f := q.AddField([]byte(n), blobs[strings.ToLower(n)])
				f.Include = strings.Contains(tt.include, n)
			}
			for _, x := range strings.Fields(tt.exprs) {
				name, source, _ := strings.Cut(x, "=")
				q.AddExpression([]byte(name), []byte(source))
			}
			if tt.include != "" {
				q.IncludeMode = wire.IncludeListed
			}
			q.Compat = tt.compat
			for range 3 { // cold, with a fresh plan; then hot; then with the plan known to be quick
				m, code := w.do(q)
				want(t, q, m, code, strings.Fields(tt.want)...)
			}
		})
	}
}

func TestAFieldThatCannotBeOpenedFailsAlone(t *testing.T) {
	w := newWorld(t, options{})
	for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		v := w.vault("v_"+string('0'+rune(e)), sealed.P384, true)
		blobs := w.seal(v, e, record)
		for name, spoil := range map[string]func(b []byte) []byte{
			"flipped tag":      func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
			"flipped point":    func(b []byte) []byte { b[len(b)/3] ^= 1; return b },
			"other form":       func(b []byte) []byte { b[0] ^= 1; return b },
			"truncated":        func(b []byte) []byte { return b[:len(b)-1] },
			"short":            func(b []byte) []byte { return b[:20] },
			"empty":            func([]byte) []byte { return nil },
			"of another field": func([]byte) []byte { return blobs["ssn9"] },
		} {
			t.Run(name, func(t *testing.T) {
				q := v.request(e, blobs, "ssn9", "dob")
				q.Fields[1].Blob = spoil(bytes.Clone(blobs["dob"]))
				q.AddExpression([]byte("x"), []byte("dob + '!'"))
				q.Compat = true
				for range 2 {
					m, code := w.do(q)
					want(t, q, m, code, "ssn9=123456789", "dob!decrypt_failed", "@x!expression_failed")
				}
				q.Compat = false // a failed field is told of although it is not asked for
				m, code := w.do(q)
				want(t, q, m, code, "dob!decrypt_failed", "@x!expression_failed")
			})
		}
	}
}

func TestARequestOfWhichNoFieldOpensFails(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P384, true)
	blobs := w.seal(v, sealed.EncodingRecord, record)
	q := v.request(sealed.EncodingRecord, map[string][]byte{"a": blobs["ssn9"], "b": blobs["dob"]}, "a", "b")
	q.AddExpression([]byte("x"), []byte("1+1"))
	if _, code := w.do(q); code != wire.DecryptFailed {
		t.Errorf("code %v, want decrypt_failed", code)
	}
	asked := w.kms.asked.Load()
	q = w.vault("v_2", sealed.P384, true).request(sealed.EncodingRecord, map[string][]byte{"a": {3, 4}}, "a")
	if _, code := w.do(q); code != wire.DecryptFailed || w.kms.asked.Load() != asked {
		t.Errorf("code %v, KMS asked %d times for a request that is malformed", code, w.kms.asked.Load()-asked)
	}
}

func TestAPlaintextThatIsNotTextFailsAlone(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, map[string]string{"a": "\xff\xfe", "b": "ü"})
	q := v.request(sealed.EncodingRecord, blobs, "a", "b")
	for range 2 {
		m, code := w.do(q)
		want(t, q, m, code, "a!decrypt_failed", "b=ü")
	}
}

func TestAFieldOfAnotherVaultOrKeyIsRefused(t *testing.T) {
	w := newWorld(t, options{})
	a, b := w.vault("v_a", sealed.P384, true), w.vault("v_b", sealed.P384, true)
	plain := w.vault("v_plain", sealed.P384, false)
	blobs := w.seal(a, sealed.EncodingRecord, record)
	if _, code := w.do(b.request(sealed.EncodingRecord, blobs, "ssn9")); code != wire.DecryptFailed {
		t.Errorf("under the key of another vault: %v", code)
	}
	q := a.request(sealed.EncodingRecord, blobs, "ssn9")
	q.VaultID = []byte("v_b")
	if _, code := w.do(q); code != wire.KeyDenied {
		t.Errorf("under another vault's id, bound by KMS: %v", code)
	}
	q = plain.request(sealed.EncodingRecord, w.seal(plain, sealed.EncodingRecord, record), "ssn9")
	q.VaultID = []byte("v_b")
	if _, code := w.do(q); code != wire.DecryptFailed {
		t.Errorf("under another vault's id, without a context: %v", code)
	}
}

func TestContextlessKeysAreRefusedWhenConfigured(t *testing.T) {
	w := newWorld(t, options{change: func(c *Config) { c.DenyContextless = true }})
	v := w.vault("v_1", sealed.P256, false)
	if _, code := w.do(v.request(sealed.EncodingRecord, w.seal(v, 3, record), "dob")); code != wire.KeyDenied {
		t.Errorf("code %v, want key_denied", code)
	}
	if n := w.kms.asked.Load(); n != 0 {
		t.Errorf("KMS was asked %d times", n)
	}
}

func TestMalformedRequestsAreRefusedBeforeKMSIsAsked(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, record)
	for _, tt := range []struct {
		name   string
		change func(*wire.DecryptRequest)
		want   wire.Code
	}{
		{"no vault", func(q *wire.DecryptRequest) { q.VaultID = nil }, wire.BadRequest},
		{"no wrapped key", func(q *wire.DecryptRequest) { q.WrappedKey = nil }, wire.BadRequest},
		{"unknown suite", func(q *wire.DecryptRequest) { q.Suite = 9 }, wire.BadRequest},
		{"unknown region", func(q *wire.DecryptRequest) { q.Region = []byte("eu-west-1") }, wire.KeyDenied},
		{"same name twice", func(q *wire.DecryptRequest) { q.AddField(q.Fields[0].Name, nil) }, wire.BadRequest},
		{"empty name", func(q *wire.DecryptRequest) { q.Fields[0].Name = nil }, wire.BadRequest},
		{"name not ASCII", func(q *wire.DecryptRequest) { q.Fields[0].Name = []byte("ssñ") }, wire.BadRequest},
		{"nameless expression", func(q *wire.DecryptRequest) { q.AddExpression(nil, []byte("1")) }, wire.BadRequest},
		{"same expression twice", func(q *wire.DecryptRequest) {
			q.AddExpression([]byte("x"), []byte("1"))
			q.AddExpression([]byte("x"), []byte("2"))
		}, wire.BadRequest},
		{"reply key is no key", func(q *wire.DecryptRequest) {
			q.ReplySuite, q.ReplyKey = 1, []byte("x")
		}, wire.BadRequest},
		{"reply key of another suite", func(q *wire.DecryptRequest) {
			q.ReplySuite, q.ReplyKey = 2, v.spki
		}, wire.BadRequest},
		{"reply suite unknown", func(q *wire.DecryptRequest) { q.ReplySuite, q.ReplyKey = 0, v.spki }, wire.BadRequest},
		{"reply with a name that can't be sealed", func(q *wire.DecryptRequest) {
			q.ReplySuite, q.ReplyKey = 1, v.spki
			q.AddExpression([]byte("not a name"), []byte("1"))
		}, wire.BadRequest},
		{"reply with names that fall together", func(q *wire.DecryptRequest) {
			q.ReplySuite, q.ReplyKey = 1, v.spki
			q.AddExpression([]byte("x"), []byte("1"))
			q.AddExpression([]byte("X"), []byte("1"))
		}, wire.BadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := v.request(sealed.EncodingRecord, blobs, "ssn9")
			tt.change(q)
			if _, code := w.do(q); code != tt.want {
				t.Errorf("code %v, want %v", code, tt.want)
			}
		})
	}
	if n := w.kms.asked.Load(); n != 0 {
		t.Errorf("KMS was asked %d times", n)
	}
}

// TestEachKindOfWorkHasAnEstimateOfItsOwn: for every suite, and apart from all other kinds.
func TestEachKindOfWorkHasAnEstimateOfItsOwn(t *testing.T) {
	kinds, costs := []workers.Kind{KindParse, kindEvaluate, kindCompile}, Costs()
	for _, s := range sealed.Suites() {
		kinds = append(kinds, openKind(s, false), openKind(s, true))
	}
	seen := map[workers.Kind]bool{}
	for _, k := range kinds {
		if seen[k] || costs[k] <= 0 {
			t.Errorf("kind %d: seen %v, cost %v", k, seen[k], costs[k])
		}
		seen[k] = true
	}
}

// A job keeps its buffers for the next request, so what they held must be gone when it is released.
func TestPlaintextsAndResultsAreWipedBeforeAJobIsUsedAgain(t *testing.T) {
	w := newWorld(t, options{})
	memory := func() []byte { return append(make([]byte, 0, 64), "SENTINEL-078-05-1120"...) }
	plain, apart, results := memory(), memory(), memory()
	j := &job{e: w.engine, plain: plain, results: results, fields: []field{{plain: apart, state: opened}}}
	j.refs.Store(1)
	j.release()
	for name, mem := range map[string][]byte{
		"the plaintexts' buffer": plain, "a plaintext beside it": apart, "the results": results,
	} {
		if !bytes.Equal(mem, make([]byte, len(mem))) {
			t.Errorf("%s: not wiped", name)
		}
	}
}
