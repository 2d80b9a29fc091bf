package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/session"
)

const secondARN = "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-4000-8000-000000000001"

// tenants is a KMS for domains. Its ciphertexts are the data keys and what binds them.
type tenants struct {
	mu     sync.Mutex
	asked  int
	gate   chan struct{} // when set, an answer waits for a value
	denied map[int]error // by the number of the question, from 1
}

func (f *tenants) dataKey(arn, id string, generation uint16) wire.DataKey {
	dk := make([]byte, domain.DataKeySize)
	_, _ = rand.Read(dk)
	bound := arn + " " + id + " " + strconv.Itoa(int(generation)) + " "
	return wire.DataKey{ARN: []byte(arn), Ciphertext: append([]byte(bound), dk...)}
}

func (f *tenants) OpenDataKey(ctx context.Context, r keys.DataKeyRequest) (*secret.Buffer, error) {
	f.mu.Lock()
	f.asked++
	gate, err := f.gate, f.denied[f.asked]
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, &wire.Error{Code: wire.KMSUnavailable}
		}
	}
	bound := r.KeyARN + " " + r.DomainID + " " + strconv.Itoa(int(r.Generation)) + " "
	dk, ok := bytes.CutPrefix(r.Wrapped, []byte(bound))
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, &wire.Error{Code: wire.KeyDenied}
	}
	return secret.NewFrom(bytes.Clone(dk))
}

func (f *tenants) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// writeWorld is a world whose file lets everything below "acme" be made, "closed" from generation 3, "few" in P-256, and
// nothing for "read". Vaults of KMS's keys move to "acme".
type writeWorld struct {
	*world
	kms   *tenants
	mu    sync.Mutex
	rules map[string]keys.DomainRule
}

func newWriteWorld(tb testing.TB, change ...func(*Config)) *writeWorld {
	tb.Helper()
	plenty := func() *rate.Limiter { return rate.NewLimiter(rate.Inf, 1) }
	w := &writeWorld{kms: &tenants{denied: map[int]error{}}, rules: map[string]keys.DomainRule{
		"acme": {Lowest: 1, Creations: plenty()}, "other": {Lowest: 1, Creations: plenty()},
		"closed": {Lowest: 1, Creations: plenty()}, "read": {Lowest: 1},
		"few":    {Lowest: 1, Creations: plenty(), Suites: []sealed.Suite{sealed.P256}},
		"twice":  {Lowest: 1, Creations: rate.NewLimiter(rate.Every(time.Hour), 2)},
		"narrow": {Lowest: 1, Creations: plenty(), PerHour: 60},
	}}
	w.world = newWorld(tb, options{
		keys: keys.Config{Domains: keys.DomainConfig{
			Opener: w.kms, KeyARNs: []string{keyARN, secondARN}, Hardware: func(p []byte) error { _, err := rand.Read(p); return err },
			Rule: w.rule, Moves: func(arn, id string) bool { return arn == keyARN && id == "acme" },
		}},
		change: func(c *Config) {
			c.Digest = [32]byte{1, 2, 3}
			c.Attest = func(_ context.Context, userData, nonce []byte) ([]byte, error) {
				return append(bytes.Clone(userData), nonce...), nil
			}
			for _, f := range change {
				f(c)
			}
		},
	})
	return w
}

func (w *writeWorld) rule(id string) keys.DomainRule {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, ok := w.rules[id]; ok {
		return r
	}
	return keys.DomainRule{Denied: true}
}

func (w *writeWorld) change(id string, f func(*keys.DomainRule)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rules[id]
	f(&r)
	w.rules[id] = r
}

// ask sends a request of any kind, and returns the answer or its code.
func (w *writeWorld) ask(kind wire.Kind, body []byte, change ...func(*session.Call)) (wire.Kind, []byte, wire.Code) {
	w.tb.Helper()
	c := w.client.NewCall()
	defer c.Release()
	c.Kind, c.Body, c.Deadline = kind, append(c.Body, body...), time.Now().Add(time.Minute)
	for _, f := range change {
		f(c)
	}
	err := w.client.Do(context.Background(), c)
	var we *wire.Error
	switch {
	case errors.As(err, &we):
		return 0, nil, we.Code
	case err != nil:
		w.tb.Errorf("no answer: %v", err)
		return 0, nil, wire.Internal
	}
	return c.AnswerKind, bytes.Clone(c.Answer), wire.OK
}

var all = []byte{uint8(sealed.XWing), uint8(sealed.P256), uint8(sealed.P384), uint8(sealed.P521)}

func (w *writeWorld) creation(id string, generation uint16) *wire.CreateDomainRequest {
	return &wire.CreateDomainRequest{
		ID: []byte(id), Generation: generation, Suites: all, RequestSuites: []byte{uint8(sealed.P384), uint8(sealed.XWing)},
		DataKeys: []wire.DataKey{w.kms.dataKey(keyARN, id, generation), w.kms.dataKey(secondARN, id, generation)},
		Nonce:    bytes.Repeat([]byte{9}, 32),
	}
}

func (w *writeWorld) create(m *wire.CreateDomainRequest) (a wire.CreateDomainResponse, code wire.Code) {
	w.tb.Helper()
	kind, body, code := w.ask(wire.KindCreateDomain, m.Append(nil))
	if code == wire.OK && (kind != wire.KindCreatedDomain || a.Decode(body) != nil) {
		w.tb.Errorf("an answer of kind %d", kind)
	}
	return a, code
}

// made is a domain that was created and opened.
type made struct {
	record []byte
	desc   *domain.Descriptor
	raw    []byte // encoded descriptor
	hash   domain.Hash
	name   []byte
}

func (w *writeWorld) make(id string, generation uint16) made {
	w.tb.Helper()
	a, code := w.create(w.creation(id, generation))
	if code != wire.OK {
		w.tb.Fatalf("%s: %v", id, code)
	}
	if err := w.client.OpenDomain(w.tb.(interface{ Context() context.Context }).Context(), a.Record); err != nil {
		w.tb.Fatal(err)
	}
	return describe(w.tb, a.Record)
}

func describe(tb testing.TB, record []byte) made {
	tb.Helper()
	rec, desc, err := domain.ParseRecord(record)
	if err != nil {
		tb.Fatal(err)
	}
	h := domain.Sum(rec.Descriptor)
	return made{bytes.Clone(record), desc, rec.Descriptor, h, h[:wire.DomainNameSize]}
}

func (w *writeWorld) mint(d made, suite uint8, count int) ([]wire.Minted, wire.Code) {
	w.tb.Helper()
	kind, body, code := w.ask(wire.KindMint, (&wire.MintRequest{Domain: d.name, Suite: suite, Count: uint8(count)}).Append(nil))
	var a wire.MintResponse
	if code == wire.OK && (kind != wire.KindMinted || a.Decode(body) != nil || len(a.Keys) != count) {
		w.tb.Errorf("an answer of kind %d with %d keys", kind, len(a.Keys))
	}
	return a.Keys, code
}

// vaultIn is a vault of a domain with sealed fields.
func (w *writeWorld) vaultIn(d made, suite uint8, fields map[string]string) *wire.DecryptRequest {
	w.tb.Helper()
	minted, code := w.mint(d, suite, 1)
	if code != wire.OK {
		w.tb.Fatal(code)
	}
	m := minted[0]
	h, err := domain.ParseHead(m.Key.Wrapped)
	if err != nil {
		w.tb.Fatal(err)
	}
	q := &wire.DecryptRequest{
		VaultID: m.VaultID, Suite: uint8(h.Suite), Encoding: 4, WrappedKey: m.Key.Wrapped, Domain: d.name,
	}
	w.sealInto(q, m.Key.Public, fields)
	return q
}

// sealInto adds one write, its fields in order of their names.
func (w *writeWorld) sealInto(q *wire.DecryptRequest, public []byte, fields map[string]string) {
	w.tb.Helper()
	pk, err := sealed.NewPublicKey(sealed.Suite(q.Suite), public)
	if err != nil {
		w.tb.Fatal(err)
	}
	in := map[string][]byte{}
	for n, v := range fields {
		in[n] = []byte(v)
	}
	write, err := sealed.SealRefs(sealed.Suite(q.Suite), pk, string(q.VaultID), in)
	if err != nil {
		w.tb.Fatal(err)
	}
	if len(fields) == 0 {
		return
	}
	q.Encs = append(q.Encs, write.Enc)
	for _, n := range sorted(fields) {
		q.AddField([]byte(n), write.Fields[n]).Enc = uint8(len(q.Encs) - 1)
	}
}

func sorted(m map[string]string) (names []string) {
	for n := range m {
		names = append(names, n)
	}
	for i := range names {
		for k := range i {
			if names[i] < names[k] {
				names[i], names[k] = names[k], names[i]
			}
		}
	}
	return names
}

// resealed sends a reseal. Codes come in the answer or as an error.
func (w *writeWorld) resealed(q *wire.DecryptRequest, to made, suite uint8, epoch uint16, change ...func(*session.Call),
) (a wire.ResealResponse, code wire.Code) {
	w.tb.Helper()
	m := wire.ResealRequest{To: to.name, Suite: suite, Epoch: epoch, Old: *q}
	kind, body, code := w.ask(wire.KindReseal, m.Append(nil), change...)
	if code != wire.OK {
		return a, code
	}
	if kind != wire.KindResealed || a.Decode(body) != nil {
		w.tb.Errorf("an answer of kind %d", kind)
	}
	return a, a.Code
}

// after is the vault that a reseal has made.
func after(q *wire.DecryptRequest, to made, a *wire.ResealResponse) *wire.DecryptRequest {
	h, _ := domain.ParseHead(a.Key.Wrapped)
	n := &wire.DecryptRequest{
		VaultID: q.VaultID, Suite: uint8(h.Suite), Encoding: 4, WrappedKey: a.Key.Wrapped, Domain: to.name,
	}
	if len(a.Enc) > 0 {
		n.Encs = [][]byte{a.Enc}
	}
	for i, f := range a.Fields {
		n.AddField(q.Fields[i].Name, f)
	}
	return n
}

// hashes are those of the record before and after.
func hashes(tb testing.TB, q, n *wire.DecryptRequest) (old, fresh domain.Hash) {
	tb.Helper()
	hash := func(q *wire.DecryptRequest) domain.Hash {
		fields := make([]domain.SealedField, len(q.Fields))
		for i := range q.Fields {
			f := &q.Fields[i]
			var blob sealed.Blob
			var err error
			if q.Encoding == 4 {
				blob, err = sealed.JoinBlob(sealed.Suite(q.Suite), f.Blob, q.Encs[f.Enc])
			} else {
				blob, err = sealed.ParseBlob(sealed.Suite(q.Suite), sealed.Encoding(q.Encoding), f.Blob)
			}
			if err != nil {
				tb.Fatal(err)
			}
			fields[i] = domain.SealedField{Name: string(bytes.ToLower(f.Name)), Enc: blob.Enc, CT: blob.CT}
		}
		h, err := domain.HashRecord(string(q.VaultID), q.WrappedKey, fields)
		if err != nil {
			tb.Fatal(err)
		}
		return h
	}
	return hash(q), hash(n)
}

func signature(b []byte) [domain.SignatureSize]byte { return [domain.SignatureSize]byte(b) }
