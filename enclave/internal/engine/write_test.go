package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

func TestADomainIsCreatedAndShown(t *testing.T) {
	w := newWriteWorld(t)
	before := time.Now()
	m := w.creation("acme", 7)
	a, code := w.create(m)
	if code != wire.OK {
		t.Fatal(code)
	}
	d := describe(t, a.Record)
	if d.desc.ID != "acme" || d.desc.Generation != 7 || d.desc.CreatedMS < uint64(before.UnixMilli()) ||
		!slices.Equal(d.desc.Suites, suites(all)) || len(d.desc.Requests) != 2 || d.desc.Requests[1].Suite != sealed.XWing {
		t.Errorf("%+v", d.desc)
	}
	want := append(domain.CreatedUserData([32]byte{1, 2, 3}, d.hash), m.Nonce...)
	if !bytes.Equal(a.Document, want) {
		t.Errorf("document over %q", a.Document)
	}
	// Each wrap opens by itself.
	rec, _, err := domain.ParseRecord(a.Record)
	if err != nil || len(rec.Wraps) != 2 {
		t.Fatal(err, len(rec.Wraps))
	}
	for i, wrap := range rec.Wraps {
		one, err := (&domain.Record{Descriptor: rec.Descriptor, Wraps: []domain.Wrap{wrap}}).Append(nil)
		if err != nil || wrap.ARN != string(m.DataKeys[i].ARN) {
			t.Fatal(err, wrap.ARN)
		}
		if _, code := w.wrap(one); code != wire.OK {
			t.Errorf("wrap %d: %v", i, code)
		}
	}
	if b, code := w.create(m); code != wire.OK || bytes.Equal(b.Record, a.Record) ||
		describe(t, b.Record).desc.Statements == d.desc.Statements {
		t.Error("the same secret twice")
	}
	if n := w.engine.Stats().Get(wire.StatDomainsCreated); n != 2 {
		t.Errorf("%d domains counted", n)
	}
}

func (w *writeWorld) wrap(record []byte, k ...wire.DataKey) ([]byte, wire.Code) {
	w.tb.Helper()
	kind, body, code := w.ask(wire.KindWrapDomain, (&wire.WrapDomainRequest{Record: record, DataKeys: k}).Append(nil))
	var a wire.WrapDomainResponse
	if code == wire.OK && (kind != wire.KindWrappedDomain || a.Decode(body) != nil) {
		w.tb.Errorf("an answer of kind %d", kind)
	}
	return a.Record, code
}

func TestCreationsThatAreRefused(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(m *wire.CreateDomainRequest)
		want  wire.Code
		asked int // questions to KMS
	}{
		"no rule":             {func(m *wire.CreateDomainRequest) { m.ID = []byte("nobody") }, wire.KeyDenied, 0},
		"a rule to read":      {func(m *wire.CreateDomainRequest) { m.ID = []byte("read") }, wire.KeyDenied, 0},
		"a malformed id":      {func(m *wire.CreateDomainRequest) { m.ID = []byte("Acme") }, wire.BadRequest, 0},
		"a suite that is not": {func(m *wire.CreateDomainRequest) { m.Suites = []byte{9} }, wire.BadRequest, 0},
		"a suite twice":       {func(m *wire.CreateDomainRequest) { m.Suites = []byte{4, 4} }, wire.BadRequest, 0},
		"request suites out of order": {
			func(m *wire.CreateDomainRequest) { m.RequestSuites = []byte{4, 2} }, wire.BadRequest, 0,
		},
		"a suite the file denies": {
			func(m *wire.CreateDomainRequest) { m.ID, m.RequestSuites = []byte("few"), nil }, wire.KeyDenied, 0,
		},
		"a request suite the file denies": {
			func(m *wire.CreateDomainRequest) { m.ID, m.Suites = []byte("few"), []byte{1} }, wire.KeyDenied, 0,
		},
		"another KMS key": {
			func(m *wire.CreateDomainRequest) { m.DataKeys[1].ARN = []byte("arn:of:another") }, wire.KeyDenied, 0,
		},
		"a KMS key twice": {
			func(m *wire.CreateDomainRequest) { m.DataKeys[1].ARN = m.DataKeys[0].ARN }, wire.BadRequest, 0,
		},
		"no ciphertext": {func(m *wire.CreateDomainRequest) { m.DataKeys[1].Ciphertext = nil }, wire.BadRequest, 0},
		"data keys swapped": {func(m *wire.CreateDomainRequest) {
			k := m.DataKeys
			k[0].Ciphertext, k[1].Ciphertext = k[1].Ciphertext, k[0].Ciphertext
		}, wire.KeyDenied, 1},
		"another domain's data key": {func(m *wire.CreateDomainRequest) { m.ID = []byte("other") }, wire.KeyDenied, 1},
		"another generation's":      {func(m *wire.CreateDomainRequest) { m.Generation++ }, wire.KeyDenied, 1},
		"a data key cut short": {func(m *wire.CreateDomainRequest) {
			c := &m.DataKeys[1].Ciphertext
			*c = (*c)[:len(*c)-1]
		}, wire.Internal, 2},
	} {
		w := newWriteWorld(t)
		m := w.creation("acme", 7)
		c.spoil(m)
		if _, code := w.create(m); code != c.want || w.kms.questions() != c.asked {
			t.Errorf("%s: %v after %d questions, want %v after %d", what, code, w.kms.questions(), c.want, c.asked)
		}
		st := w.engine.Stats()
		if n := st.Get(wire.StatDomainWritesRefused) + st.Get(wire.StatDomainWritesFailed); n != 1 {
			t.Errorf("%s: counted %d times", what, n)
		}
	}
}

func TestCreationFailsClosed(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*writeWorld)
		want   wire.Code
	}{
		"below the lowest generation": {func(w *writeWorld) {
			w.change("acme", func(r *keys.DomainRule) { r.Lowest = 8 })
		}, wire.KeyDenied},
		"the second data key denied": {func(w *writeWorld) {
			w.kms.denied[2] = &wire.Error{Code: wire.KeyDenied}
		}, wire.KeyDenied},
		"KMS throttles": {func(w *writeWorld) {
			w.kms.denied[1] = &wire.Error{Code: wire.KMSThrottled}
		}, wire.KMSThrottled},
	} {
		w := newWriteWorld(t)
		c.change(w)
		if a, code := w.create(w.creation("acme", 7)); code != c.want || len(a.Record) > 0 {
			t.Errorf("%s: %v, want %v", what, code, c.want)
		}
	}
	w := newWriteWorld(t, func(c *Config) { c.Attest = nil })
	if _, code := w.create(w.creation("acme", 7)); code != wire.KeyDenied {
		t.Errorf("without attestation: %v", code)
	}
	w = newWriteWorld(t, func(c *Config) {
		c.Attest = func(context.Context, []byte, []byte) ([]byte, error) { return nil, errors.New("module") }
	})
	if _, code := w.create(w.creation("acme", 7)); code != wire.Internal {
		t.Errorf("a module that makes no document: %v", code)
	}
}

func TestADomainsRuleBoundsItsCreations(t *testing.T) {
	w := newWriteWorld(t)
	for i := range 4 {
		want := wire.OK
		if i > 1 {
			want = wire.Overloaded
		}
		if _, code := w.create(w.creation("twice", uint16(i+1))); code != want {
			t.Errorf("creation %d: %v, want %v", i, code, want)
		}
	}
	if _, code := w.create(w.creation("acme", 1)); code != wire.OK {
		t.Errorf("another rule: %v", code)
	}
}

func TestAWrapIsAddedAndOpensAlone(t *testing.T) {
	w := newWriteWorld(t)
	m := w.creation("acme", 1)
	m.DataKeys = m.DataKeys[:1]
	a, code := w.create(m)
	if code != wire.OK {
		t.Fatal(code)
	}
	again := w.kms.dataKey(keyARN, "acme", 1)
	if _, code := w.wrap(a.Record, again); code != wire.BadRequest {
		t.Errorf("a second wrap of one ARN: %v", code)
	}
	if _, code := w.wrap(a.Record, w.kms.dataKey("arn:of:another", "acme", 1)); code != wire.KeyDenied {
		t.Errorf("a wrap of another KMS key: %v", code)
	}
	for _, of := range []wire.DataKey{w.kms.dataKey(secondARN, "other", 1), w.kms.dataKey(secondARN, "acme", 2)} {
		if _, code := w.wrap(a.Record, of); code != wire.KeyDenied {
			t.Errorf("a data key of another domain or generation: %v", code)
		}
	}
	more, code := w.wrap(a.Record, w.kms.dataKey(secondARN, "acme", 1))
	if code != wire.OK {
		t.Fatal(code)
	}
	old, _, _ := domain.ParseRecord(a.Record)
	rec, _, err := domain.ParseRecord(more)
	if err != nil || len(rec.Wraps) != 2 || !bytes.Equal(rec.Descriptor, old.Descriptor) || rec.Wraps[1].ARN != secondARN ||
		rec.Wraps[0].Sealed != old.Wraps[0].Sealed {
		t.Fatalf("%v: %+v", err, rec)
	}
	rec.Wraps = rec.Wraps[1:]
	alone, _ := rec.Append(nil)
	if got, code := w.wrap(alone); code != wire.OK || !bytes.Equal(got, alone) {
		t.Errorf("the new wrap alone: %v", code)
	}
	// A check asks KMS again after a denial: it shows what KMS says now, not what this enclave remembers.
	w.kms.mu.Lock()
	w.kms.denied[w.kms.asked+1] = &wire.Error{Code: wire.KeyDenied}
	w.kms.mu.Unlock()
	if _, code := w.wrap(alone); code != wire.KeyDenied {
		t.Errorf("denied: %v", code)
	}
	if _, code := w.wrap(alone); code != wire.OK {
		t.Errorf("after a denial: %v", code)
	}
	// KMS opens the new data key, and then denies the record's own.
	w.kms.mu.Lock()
	w.kms.denied[w.kms.asked+2] = &wire.Error{Code: wire.KeyDenied}
	w.kms.mu.Unlock()
	if got, code := w.wrap(a.Record, w.kms.dataKey(secondARN, "acme", 1)); code != wire.KeyDenied || len(got) > 0 {
		t.Errorf("denied half way: %v", code)
	}
	w.change("acme", func(r *keys.DomainRule) { r.Creations = nil })
	if _, code := w.wrap(a.Record, w.kms.dataKey(secondARN, "acme", 1)); code != wire.KeyDenied {
		t.Errorf("where none may be created: %v", code)
	}
	if _, code := w.wrap(a.Record); code != wire.OK {
		t.Errorf("a check where none may be created: %v", code)
	}
}

func TestMintedKeysAreTheDomainsForTheirIDs(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 3)
	seen := map[string]bool{}
	for _, suite := range append([]byte{0}, all...) {
		minted, code := w.mint(d, suite, wire.MaxMint)
		if code != wire.OK {
			t.Fatal(code)
		}
		for _, m := range minted {
			at, ok := pksuid.Time("v", string(m.VaultID))
			if !ok || time.Since(at).Abs() > time.Minute || seen[string(m.VaultID)] {
				t.Errorf("id %s", m.VaultID)
			}
			seen[string(m.VaultID)] = true
			h, err := domain.ParseHead(m.Key.Wrapped)
			if err != nil || h.Epoch != 1 || h.Generation != 3 || suite != 0 && h.Suite != sealed.Suite(suite) ||
				suite == 0 && h.Suite != sealed.XWing {
				t.Errorf("%v: %+v", err, h)
			}
			for kind, want := range map[domain.Kind]error{domain.Made: nil, domain.Moved: domain.ErrStatement} {
				err := domain.VerifyKey(d.raw, kind, string(m.VaultID), m.Key.Wrapped, m.Key.Public, signature(m.Key.Statement))
				if !errors.Is(err, want) {
					t.Errorf("kind %d: %v", kind, err)
				}
			}
		}
		q := w.vaultIn(d, suite, map[string]string{"name": "Bob", "ssn": "123"})
		m, code := w.do(q)
		want(t, q, m, code, "name=Bob", "ssn=123")
	}
	if n := w.engine.Stats().Get(wire.StatVaultKeysMinted); n != 5*wire.MaxMint+5 {
		t.Errorf("%d keys counted", n)
	}
}

func TestMintsThatAreRefused(t *testing.T) {
	w := newWriteWorld(t)
	m := w.creation("few", 1)
	m.Suites, m.RequestSuites = []byte{1}, nil
	a, code := w.create(m)
	if code != wire.OK {
		t.Fatal(code)
	}
	few := describe(t, a.Record)
	if _, code := w.mint(few, 0, 1); code != wire.DomainUnknown {
		t.Errorf("before the domain is open: %v", code)
	}
	if err := w.client.OpenDomain(t.Context(), few.record); err != nil {
		t.Fatal(err)
	}
	d := w.make("acme", 1)
	for what, c := range map[string]struct {
		in    made
		suite uint8
		want  wire.Code
	}{
		"a suite that is not":      {d, 9, wire.KeyDenied},
		"one the descriptor lacks": {few, 2, wire.KeyDenied},
		"the one it has":           {few, 1, wire.OK},
		"another domain":           {made{name: make([]byte, 32)}, 0, wire.DomainUnknown},
	} {
		if _, code := w.mint(c.in, c.suite, 1); code != c.want {
			t.Errorf("%s: %v, want %v", what, code, c.want)
		}
	}
	// The file was tightened since the domain was made.
	w.change("acme", func(r *keys.DomainRule) { r.Suites = []sealed.Suite{sealed.XWing} })
	w.cache.PurgeAll()
	if err := w.client.OpenDomain(t.Context(), d.record); err != nil {
		t.Fatal(err)
	}
	for suite, want := range map[sealed.Suite]wire.Code{sealed.P384: wire.KeyDenied, sealed.XWing: wire.OK} {
		if _, code := w.mint(d, uint8(suite), 1); code != want {
			t.Errorf("%v: %v, want %v", suite, code, want)
		}
	}
}

func TestAResealMovesEveryFieldToANewKey(t *testing.T) {
	w := newWriteWorld(t)
	first, second := w.make("acme", 1), w.make("acme", 2)
	fields := map[string]string{"name": "Bob", "photo": "\xff\x00\xfe", "empty": "", "long": strings.Repeat("x", 100_000)}
	results := []string{"empty=", "long=" + fields["long"], "name=Bob", "photo!decrypt_failed"} // bytes that are no text
	for _, suite := range all {
		q := w.vaultIn(first, suite, fields)
		for i, step := range []struct {
			to    made
			suite uint8
		}{{first, suite}, {second, 0}, {second, suite}} {
			epoch := uint16(2 + 3*i)
			a, code := w.resealed(q, step.to, step.suite, epoch)
			if code != wire.OK {
				t.Fatal(code)
			}
			n := after(q, step.to, &a)
			h, err := domain.ParseHead(a.Key.Wrapped)
			if err != nil || h.Epoch != epoch || step.suite != 0 && h.Suite != sealed.Suite(step.suite) {
				t.Errorf("%v: %+v", err, h)
			}
			if err := domain.VerifyKey(step.to.raw, domain.Made, string(q.VaultID), a.Key.Wrapped, a.Key.Public,
				signature(a.Key.Statement)); err != nil {
				t.Error(err)
			}
			old, fresh := hashes(t, q, n)
			if err := step.to.desc.VerifyReseal(step.to.hash, old, fresh, signature(a.Statement)); err != nil {
				t.Error(err)
			}
			m, code := w.do(n)
			want(t, n, m, code, results...)
			q = n
		}
	}
	if n := w.engine.Stats().Get(wire.StatResealedFromDomain); n != int64(3*len(all)) {
		t.Errorf("%d reseals counted", n)
	}
}

func TestAResealOfAKeyOfKMSsIsAMove(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	for _, suite := range sealed.Suites() {
		for _, e := range []sealed.Encoding{sealed.EncodingHex, sealed.EncodingField, sealed.EncodingRecord} {
			v := w.vault(fmt.Sprint("v_", suite, e), suite, e != sealed.EncodingHex)
			q := v.request(e, w.seal(v, max(e, sealed.EncodingField), record), "ssn9", "dob")
			q.Fields[1].Name = []byte("Dob") // as a caller may write it
			a, code := w.resealed(q, d, 0, 1)
			if code != wire.OK {
				t.Fatalf("%v, encoding %d: %v", suite, e, code)
			}
			for kind, want := range map[domain.Kind]error{domain.Moved: nil, domain.Made: domain.ErrStatement} {
				err := domain.VerifyKey(d.raw, kind, v.id, a.Key.Wrapped, a.Key.Public, signature(a.Key.Statement))
				if !errors.Is(err, want) {
					t.Errorf("kind %d: %v", kind, err)
				}
			}
			n := after(q, d, &a)
			n.Fields[1].Name = []byte("dob")
			old, fresh := hashes(t, q, n)
			if err := d.desc.VerifyReseal(d.hash, old, fresh, signature(a.Statement)); err != nil {
				t.Error(err)
			}
			m, code := w.do(n)
			want(t, n, m, code, "ssn9="+record["ssn9"], "dob="+record["dob"])
		}
	}
	if n := w.engine.Stats().Get(wire.StatResealedFromKMS); n != 9 {
		t.Errorf("%d moves counted", n)
	}
}

// The lane's reader opens the fields of a record that was read before, out of the frame. The reseal signs for the
// request's own copy of them, since the frame's memory belongs to another request by then.
func TestAResealDoesNotLookAtTheFrameAfterwards(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	q := w.vaultIn(d, 0, map[string]string{"a": "1", "b": "2"})
	for range 2 {
		m, code := w.do(q)
		want(t, q, m, code, "a=1", "b=2")
	}
	free := w.hold()
	w.handler.instead = func(r *session.Request) {
		frame := r.Body
		w.engine.Request(r, &w.handler.origin)
		clear(frame)
		free()
	}
	a, code := w.resealed(q, d, 0, 2)
	w.handler.instead = nil
	if code != wire.OK {
		t.Fatal(code)
	}
	old, fresh := hashes(t, q, after(q, d, &a))
	if err := d.desc.VerifyReseal(d.hash, old, fresh, signature(a.Statement)); err != nil {
		t.Error(err)
	}
}

func TestResealsThatAreRefused(t *testing.T) {
	w := newWriteWorld(t)
	first, second, other := w.make("acme", 1), w.make("acme", 2), w.make("other", 3)
	twin := w.make("acme", 1) // of another administrator, at the same time
	unknown := made{name: bytes.Repeat([]byte{7}, 32)}
	fields := map[string]string{"a": "1", "b": "2", "c": "3"}
	ofKMS := func() *wire.DecryptRequest {
		v := w.vault("v_kms", sealed.P256, true)
		return v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9", "dob")
	}
	for what, c := range map[string]struct {
		from     func() *wire.DecryptRequest // default: a vault of acme's second generation, epoch 1
		spoil    func(q *wire.DecryptRequest)
		to       made
		suite    uint8
		epoch    uint16
		want     wire.Code
		domain   []byte
		unopened []uint8
	}{
		"the same epoch":           {to: second, epoch: 1, want: wire.BadRequest},
		"a lower generation":       {to: first, epoch: 2, want: wire.KeyDenied},
		"another domain":           {to: other, epoch: 2, want: wire.KeyDenied},
		"a suite that is not":      {to: second, suite: 9, epoch: 2, want: wire.KeyDenied},
		"an unknown target":        {to: unknown, epoch: 2, want: wire.DomainUnknown, domain: unknown.name},
		"an unknown source":        {spoil: func(q *wire.DecryptRequest) { q.Domain = unknown.name }, to: second, epoch: 2, want: wire.DomainUnknown, domain: unknown.name},
		"another source":           {spoil: func(q *wire.DecryptRequest) { q.Domain = other.name }, to: other, epoch: 2, want: wire.DecryptFailed},
		"another vault":            {spoil: func(q *wire.DecryptRequest) { q.VaultID = []byte("v_2") }, to: second, epoch: 2, want: wire.DecryptFailed, unopened: []uint8{0, 1, 2}},
		"a name twice":             {spoil: func(q *wire.DecryptRequest) { q.Fields[1].Name = []byte("A") }, to: second, epoch: 2, want: wire.BadRequest},
		"a name that is none":      {spoil: func(q *wire.DecryptRequest) { q.Fields[1].Name = nil }, to: second, epoch: 2, want: wire.BadRequest},
		"two fields swapped":       {spoil: func(q *wire.DecryptRequest) { q.Fields[0].Blob, q.Fields[2].Blob = q.Fields[2].Blob, q.Fields[0].Blob }, to: second, epoch: 2, want: wire.DecryptFailed, unopened: []uint8{0, 2}},
		"a malformed field":        {spoil: func(q *wire.DecryptRequest) { q.Fields[1].Blob = []byte{5} }, to: second, epoch: 2, want: wire.DecryptFailed, unopened: []uint8{1}},
		"nothing but malformed":    {spoil: func(q *wire.DecryptRequest) { q.Fields = q.Fields[:1]; q.Fields[0].Blob = []byte{5} }, to: second, epoch: 2, want: wire.DecryptFailed, unopened: []uint8{0}},
		"the twin of a generation": {from: func() *wire.DecryptRequest { return w.vaultIn(first, 0, fields) }, to: twin, epoch: 2, want: wire.KeyDenied},
		"a KMS key's, elsewhere":   {from: ofKMS, to: other, epoch: 1, want: wire.KeyDenied},
		"another region's KMS key": {from: ofKMS, spoil: func(q *wire.DecryptRequest) { q.Region = []byte("eu-west-1") }, to: first, epoch: 1, want: wire.KeyDenied},
		"another vault's KMS key":  {from: ofKMS, spoil: func(q *wire.DecryptRequest) { q.VaultID = []byte("v_2") }, to: first, epoch: 1, want: wire.KeyDenied},
		"a KMS field that is bad":  {from: ofKMS, spoil: func(q *wire.DecryptRequest) { q.Fields[1].Blob[70] ^= 1 }, to: first, epoch: 1, want: wire.DecryptFailed, unopened: []uint8{1}},
		// With no field nothing else shows that the key is one.
		"an empty vault with a forged key": {spoil: func(q *wire.DecryptRequest) {
			q.Fields, q.Encs = nil, nil
			q.WrappedKey[60] ^= 1
		}, to: second, epoch: 2, want: wire.DecryptFailed},
	} {
		if c.from == nil {
			c.from = func() *wire.DecryptRequest { return w.vaultIn(second, 0, fields) }
		}
		q := c.from()
		if c.spoil != nil {
			c.spoil(q)
		}
		a, code := w.resealed(q, c.to, c.suite, c.epoch)
		if code != c.want || !bytes.Equal(a.Domain, c.domain) || !slices.Equal(a.Unopened, c.unopened) {
			t.Errorf("%s: %v, domain %x, fields %v; want %v, %x, %v", what, code, a.Domain, a.Unopened, c.want, c.domain, c.unopened)
		}
	}
	q := w.vaultIn(second, 0, nil)
	if a, code := w.resealed(q, second, 0, 2); code != wire.OK || len(a.Enc)+len(a.Fields) > 0 {
		t.Errorf("an empty vault: %v", code)
	}
}

func TestAClosedGenerationIsLeftAndNotEntered(t *testing.T) {
	w := newWriteWorld(t)
	first := w.make("closed", 1)
	q := w.vaultIn(first, 0, map[string]string{"a": "1"})
	w.change("closed", func(r *keys.DomainRule) { r.Lowest = 2 })
	w.cache.PurgeAll()
	if err := w.client.OpenDomain(t.Context(), first.record); err != nil {
		t.Fatal(err)
	}
	second := w.make("closed", 2)
	if _, code := w.mint(first, 0, 1); code != wire.GenerationClosed {
		t.Errorf("mint: %v", code)
	}
	if _, code := w.do(q); code != wire.GenerationClosed {
		t.Errorf("decrypt: %v", code)
	}
	if _, code := w.resealed(q, first, 0, 2); code != wire.GenerationClosed {
		t.Errorf("reseal within it: %v", code)
	}
	a, code := w.resealed(q, second, 0, 2)
	if code != wire.OK {
		t.Fatal(code)
	}
	n := after(q, second, &a)
	m, code := w.do(n)
	want(t, n, m, code, "a=1")
}

// A reseal shows nobody anything, so it costs none of the budget; and what it opened cannot be read for nothing.
func TestAResealCostsNoBudgetAndLeavesNoWayRoundIt(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("narrow", 1)
	q := w.vaultIn(d, 0, map[string]string{"a": "1"})
	for range 3 {
		a, code := w.resealed(q, d, 0, 2)
		if code != wire.OK {
			t.Fatal(code)
		}
		for what, q := range map[string]*wire.DecryptRequest{"old": q, "new": after(q, d, &a)} {
			if _, code := w.do(q); code != wire.Overloaded {
				t.Errorf("a decrypt under the %s key: %v", what, code)
			}
		}
	}
	if st := w.cache.Stats(); st.VaultKeys != 0 || st.VaultsOpened != 0 {
		t.Errorf("%d vault keys kept, %d counted", st.VaultKeys, st.VaultsOpened)
	}
}

func TestOnlyDomainsServeWhereTheFileSaysSo(t *testing.T) {
	w := newWriteWorld(t, func(c *Config) { c.DomainsOnly = true })
	d := w.make("acme", 1)
	v := w.vault("v_kms", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9")
	if _, code := w.do(q); code != wire.KeyDenied {
		t.Errorf("decrypt: %v", code)
	}
	if _, code := w.resealed(q, d, 0, 1); code != wire.KeyDenied {
		t.Errorf("reseal: %v", code)
	}
	if w.world.kms.asked.Load() != 0 {
		t.Error("KMS was asked")
	}
	q = w.vaultIn(d, 0, map[string]string{"a": "1"})
	m, code := w.do(q)
	want(t, q, m, code, "a=1")
}

// A purge while a reseal waits for its key or a worker: nothing is made in a domain that is not open any more.
func TestADomainPurgedMeanwhileMakesNothing(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	v := w.vault("v_kms", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9")
	gate := make(chan struct{})
	w.world.kms.set(func(f *fakeKMS) { f.gate = gate })
	type outcome struct {
		a    wire.ResealResponse
		code wire.Code
	}
	done := make(chan outcome)
	go func() {
		a, code := w.resealed(q, d, 0, 1)
		done <- outcome{a, code}
	}()
	for end := time.Now().Add(10 * time.Second); w.world.kms.asked.Load() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.cache.PurgeAll()
	close(gate)
	if o := <-done; o.code != wire.DomainUnknown || !bytes.Equal(o.a.Domain, d.name) || len(o.a.Fields) > 0 {
		t.Errorf("%v, domain %x", o.code, o.a.Domain)
	}
}

func TestWritesEndAtTheirDeadline(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	soon := func(c *session.Call) { c.Deadline = time.Now().Add(50 * time.Millisecond) }
	gate := make(chan struct{})
	defer close(gate)
	w.kms.mu.Lock()
	w.kms.gate = gate
	w.kms.mu.Unlock()
	w.world.kms.set(func(f *fakeKMS) { f.gate = gate })
	v := w.vault("v_kms", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9")
	for what, body := range map[wire.Kind][]byte{
		wire.KindCreateDomain: w.creation("acme", 2).Append(nil),
		wire.KindWrapDomain:   (&wire.WrapDomainRequest{Record: d.record}).Append(nil),
		wire.KindReseal:       (&wire.ResealRequest{To: d.name, Epoch: 1, Old: *q}).Append(nil),
	} {
		c := w.client.NewCall()
		c.Kind, c.Body = what, append(c.Body, body...)
		soon(c)
		if err := w.client.Do(context.Background(), c); !errors.Is(err, context.DeadlineExceeded) &&
			!errors.Is(err, &wire.Error{Code: wire.DeadlineExceeded}) {
			t.Errorf("kind %d: %v", what, err)
		}
		c.Release()
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if all, waiting := w.engine.InFlight(); all == 0 && waiting == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d in flight, %d waiting", all, waiting)
		}
	}
}

// What waits for KMS holds up neither the control stream nor other requests, and has a bound.
func TestCreationsThatWaitHoldNothingUp(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	gate := make(chan struct{})
	w.kms.mu.Lock()
	w.kms.gate = gate
	w.kms.mu.Unlock()
	codes := make(chan wire.Code)
	const asked = 3 * maxCreating
	for range asked {
		go func() {
			_, code := w.create(w.creation("acme", 2))
			codes <- code
		}()
	}
	for range asked - maxCreating {
		if code := <-codes; code != wire.Overloaded {
			t.Errorf("%v", code)
		}
	}
	if _, err := w.client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, code := w.mint(d, 0, 1); code != wire.OK {
		t.Errorf("a mint meanwhile: %v", code)
	}
	close(gate)
	for range maxCreating {
		if code := <-codes; code != wire.OK {
			t.Errorf("%v", code)
		}
	}
	if _, code := w.create(w.creation("acme", 2)); code != wire.OK {
		t.Errorf("afterwards: %v", code)
	}
}

func TestMalformedWritesAreRefused(t *testing.T) {
	w := newWriteWorld(t)
	for kind := range wire.KindError {
		if _, ok := kind.LaneRequest(); !ok || kind == wire.KindDecrypt {
			continue
		}
		for _, body := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xff}, 200)} {
			if _, _, code := w.ask(kind, body); code != wire.BadRequest {
				t.Errorf("kind %d: %v", kind, code)
			}
		}
	}
}

// TestResealsUnderLoad: several at once, of vaults in both lanes, beside decrypts and purges. Nothing is lost or mixed.
func TestResealsUnderLoad(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				w.cache.PurgeVault([]byte("nobody"))
			}
		}
	}()
	defer close(stop)
	done := make(chan struct{})
	for i := range 8 {
		q := w.vaultIn(d, all[i%len(all)], map[string]string{"who": fmt.Sprint(i)})
		go func() {
			defer func() { done <- struct{}{} }()
			for epoch := range uint16(8) {
				a, code := w.resealed(q, d, 0, epoch+2, func(c *session.Call) { c.Batch = i%2 == 0 })
				if code != wire.OK {
					t.Errorf("%v", code)
					return
				}
				q = after(q, d, &a)
				m, code := w.do(q)
				if code != wire.OK || len(m.Results) != 1 || string(m.Results[0].Value) != fmt.Sprint(i) {
					t.Errorf("vault %d: %v", i, code)
					return
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
}

func TestWritesAreBoundedLikeEverythingThatWaits(t *testing.T) {
	full := newWriteWorld(t, func(c *Config) { c.MaxWaiting = 0 })
	ended := newWriteWorld(t)
	a, code := ended.create(ended.creation("acme", 1))
	if code != wire.OK {
		t.Fatal(code)
	}
	d := describe(t, a.Record)
	for _, w := range []*writeWorld{full, ended} {
		if err := w.client.OpenDomain(t.Context(), d.record); err != nil {
			t.Fatal(err)
		}
	}
	q := ended.vaultIn(d, 0, map[string]string{"a": "1"})
	ended.pool.Close()
	for _, c := range []struct {
		w    *writeWorld
		kind wire.Kind
		body []byte
		want wire.Code
	}{
		{full, wire.KindCreateDomain, full.creation("acme", 2).Append(nil), wire.Overloaded},
		{full, wire.KindWrapDomain, (&wire.WrapDomainRequest{Record: d.record}).Append(nil), wire.Overloaded},
		{full, wire.KindMint, (&wire.MintRequest{Domain: d.name, Count: 1}).Append(nil), wire.Overloaded},
		{full, wire.KindReseal, (&wire.ResealRequest{To: d.name, Epoch: 2, Old: *q}).Append(nil), wire.Overloaded},
		{ended, wire.KindMint, (&wire.MintRequest{Domain: d.name, Count: 1}).Append(nil), wire.ShuttingDown},
		{ended, wire.KindReseal, (&wire.ResealRequest{To: d.name, Epoch: 2, Old: *q}).Append(nil), wire.ShuttingDown},
	} {
		if _, _, code := c.w.ask(c.kind, c.body); code != c.want {
			t.Errorf("kind %d: %v, want %v", c.kind, code, c.want)
		}
	}
	for _, w := range []*writeWorld{full, ended} {
		if all, waiting := w.engine.InFlight(); all != 0 || waiting != 0 {
			t.Errorf("%d in flight, %d waiting", all, waiting)
		}
	}
}

// hold keeps every worker busy until free is called.
func (w *writeWorld) hold() (free func()) {
	busy, begun := make(chan struct{}), make(chan struct{})
	var held sync.WaitGroup
	for range w.pool.Workers() {
		held.Go(func() { w.pool.Do(workers.Single, KindParse, func() { begun <- struct{}{}; <-busy }) })
		<-begun
	}
	return func() {
		close(busy)
		held.Wait()
	}
}

func TestAMintEndsWithItsDomainAndItsDeadline(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	free := w.hold()
	codes := make(chan wire.Code)
	go func() {
		_, code := w.mint(d, 0, 1)
		codes <- code
	}()
	for end := time.Now().Add(10 * time.Second); w.pool.Queued() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.cache.PurgeAll()
	free()
	if code := <-codes; code != wire.DomainUnknown {
		t.Errorf("purged meanwhile: %v", code)
	}

	if err := w.client.OpenDomain(t.Context(), d.record); err != nil {
		t.Fatal(err)
	}
	free = w.hold()
	c := w.client.NewCall()
	defer c.Release()
	c.Kind, c.Deadline = wire.KindMint, time.Now().Add(30*time.Millisecond)
	c.Body = (&wire.MintRequest{Domain: d.name, Count: 2}).Append(c.Body)
	if err := w.client.Do(context.Background(), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	before := w.engine.Stats().Get(wire.StatVaultKeysMinted)
	free()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if all, _ := w.engine.InFlight(); all == 0 {
			break
		}
	}
	if all, _ := w.engine.InFlight(); all != 0 || w.engine.Stats().Get(wire.StatVaultKeysMinted) != before {
		t.Errorf("%d in flight; %d keys made for nobody", all, w.engine.Stats().Get(wire.StatVaultKeysMinted)-before)
	}
}

func TestADocumentThatIsTooLargeIsNotAnswered(t *testing.T) {
	w := newWriteWorld(t, func(c *Config) {
		c.Attest = func(context.Context, []byte, []byte) ([]byte, error) { return make([]byte, wire.MaxDocument+1), nil }
	})
	if _, code := w.create(w.creation("acme", 1)); code != wire.Internal {
		t.Errorf("%v", code)
	}
}

func TestAnAnswerThatIsTooLargeIsABadRequest(t *testing.T) {
	w := newWriteWorld(t)
	d := w.make("acme", 1)
	q := w.vaultIn(d, uint8(sealed.P256), map[string]string{"a": strings.Repeat("x", wire.MaxBody-1000)})
	if _, code := w.resealed(q, d, uint8(sealed.XWing), 2); code != wire.BadRequest {
		t.Errorf("to X-Wing, whose keys are larger: %v", code)
	}
	if _, code := w.resealed(q, d, uint8(sealed.P256), 2); code != wire.OK {
		t.Errorf("to keys of the same size: %v", code)
	}
}
