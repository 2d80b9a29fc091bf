package front_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// writer plays an enclave that writes for domains: it has opened those whose records it was given, and what it makes is
// the right size and nothing else.
type writer struct {
	mu      sync.Mutex
	open    map[string]bool
	records int
	answer  func(kind wire.Kind, body []byte) ([]byte, wire.Code) // instead of the right one
}

var (
	sealedEnc   = bytes.Repeat([]byte("e"), sealed.XWing.EncSize())
	sealedRef   = sealed.RefOf(sealedEnc)
	sealedField = append(append([]byte{5}, sealedRef[:]...), make([]byte, sealed.TagSize)...)
	statement   = bytes.Repeat([]byte("s"), wire.StatementSize)
)

func startWriter(t *testing.T) (*stack, *writer) {
	t.Helper()
	w := &writer{open: map[string]bool{}}
	s := startStack(t, options(), fakeenclave.Echo)
	s.enclave.OnDomain(func(record []byte) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.records++
		sum := sha512.Sum384(record[2:][:binary.BigEndian.Uint16(record)])
		w.open[string(sum[:wire.DomainNameSize])] = true
		return nil
	})
	s.enclave.OnWrite(w.write)
	return s, w
}

func (w *writer) write(kind wire.Kind, body []byte) ([]byte, wire.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answer != nil {
		return w.answer(kind, body)
	}
	key := wire.VaultKey{Wrapped: []byte("wrapped"), Public: []byte("public"), Statement: statement}
	switch kind {
	case wire.KindCreateDomain:
		return (&wire.CreateDomainResponse{Record: []byte("record"), Document: []byte("document")}).Append(nil), wire.OK
	case wire.KindWrapDomain:
		return (&wire.WrapDomainResponse{Record: []byte("record")}).Append(nil), wire.OK
	case wire.KindMint:
		var m wire.MintRequest
		if m.Decode(body) != nil {
			return nil, wire.BadRequest
		}
		if !w.open[string(m.Domain)] {
			return nil, wire.DomainUnknown
		}
		var r wire.MintResponse
		for i := range m.Count {
			r.Keys = append(r.Keys, wire.Minted{VaultID: fmt.Append(nil, "v_", i), Key: key})
		}
		return r.Append(nil), wire.OK
	}
	var m wire.ResealRequest
	if m.Decode(body) != nil {
		return nil, wire.BadRequest
	}
	for _, name := range [][]byte{m.Old.Domain, m.To} {
		if len(name) > 0 && !w.open[string(name)] {
			return (&wire.ResealResponse{Code: wire.DomainUnknown, Domain: name}).Append(nil), wire.OK
		}
	}
	r := wire.ResealResponse{Key: key, Enc: sealedEnc, Statement: statement}
	for range m.Old.Fields {
		r.Fields = append(r.Fields, sealedField)
	}
	return r.Append(nil), wire.OK
}

func resealOf(records ...string) string {
	_, to := domainRecord("e")
	old := underDomain("d", nil)
	if len(records) > 0 {
		var list []string
		for _, r := range records {
			list = append(list, b64(r))
		}
		old["domain_records"] = list
	}
	return encode(obj{"old": old, "to": to, "epoch": 2})
}

func createOf(keys int) string {
	var list []obj
	for i := range keys {
		list = append(list, obj{"key_arn": fmt.Sprint("arn", i), "ciphertext": b64("blob")})
	}
	return encode(obj{
		"id": "acme", "generation": 1, "suites": []string{"X-Wing"}, "data_keys": list, "nonce": b64(strings.Repeat("n", 32)),
	})
}

func read[T any](t *testing.T, got reply) (m T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(got.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil || got.status != http.StatusOK {
		t.Errorf("%d %s: %v", got.status, got.body, err)
	}
	return m
}

func TestTheRoutesOfDomainsAnswerInTheContractsForm(t *testing.T) {
	s, w := startWriter(t)
	record, name := domainRecord("d")
	other, _ := domainRecord("e")
	if m := read[parentapi.CreatedDomain](t, s.post(t, parentapi.PathDomains, createOf(2))); string(m.Record) != "record" ||
		string(m.Attestation) != "document" {
		t.Errorf("%+v", m)
	}
	wrap := encode(obj{"record": b64(record)})
	if m := read[parentapi.WrappedDomain](t, s.post(t, parentapi.PathDomainWrap, wrap)); string(m.Record) != "record" {
		t.Errorf("%+v", m)
	}
	mint := encode(obj{"domain": name, "count": 2, "domain_records": []string{b64(record)}})
	m := read[parentapi.Minted](t, s.post(t, parentapi.PathVaultKeys, mint))
	if len(m.Keys) != 2 || m.Keys[1].VaultID != "v_1" || string(m.Keys[1].WrappedKey) != "wrapped" ||
		string(m.Keys[1].PublicKey) != "public" || !bytes.Equal(m.Keys[1].Statement, statement) {
		t.Errorf("%+v", m)
	}
	r := read[parentapi.Resealed](t, s.post(t, parentapi.PathReseal, resealOf(record, other)))
	if r.Key.VaultID != "v_1" || string(r.Key.PublicKey) != "public" || len(r.Fields) != 1 || !bytes.Equal(r.Fields["ssn"], sealedField) ||
		!bytes.Equal(r.Encs[hex.EncodeToString(sealedRef[:])], sealedEnc) || !bytes.Equal(r.Statement, statement) {
		t.Errorf("%+v", r)
	}
	if w.records != 2 {
		t.Errorf("%d records were handed over, want 2", w.records)
	}
}

// Each route names the domain that the enclave lacks: a reseal both, one after the other.
func TestTheRoutesOfDomainsNameTheDomainThatTheEnclaveLacks(t *testing.T) {
	s, w := startWriter(t)
	record, name := domainRecord("d")
	_, to := domainRecord("e")
	lacks := func(path, body, name string) {
		t.Helper()
		got := s.post(t, path, body)
		if got.status != http.StatusMisdirectedRequest || !strings.Contains(got.body, `"code":"domain_unknown"`) ||
			!strings.Contains(got.body, `"domain":"`+name+`"`) {
			t.Errorf("%s: %d %s, want %s", path, got.status, got.body, name)
		}
	}
	lacks(parentapi.PathVaultKeys, encode(obj{"domain": name, "count": 1}), name)
	lacks(parentapi.PathReseal, resealOf(), name)
	lacks(parentapi.PathReseal, resealOf(record), to)
	if w.records != 1 {
		t.Errorf("%d records were handed over, want 1", w.records)
	}
}

func TestAResealThatFailsNamesTheFieldsThatDoNotOpen(t *testing.T) {
	s, w := startWriter(t)
	said := func(m wire.ResealResponse) reply {
		w.mu.Lock()
		w.answer = func(wire.Kind, []byte) ([]byte, wire.Code) { return m.Append(nil), wire.OK }
		w.mu.Unlock()
		return s.post(t, parentapi.PathReseal, resealOf())
	}
	got := said(wire.ResealResponse{Code: wire.DecryptFailed, Unopened: []uint8{0}})
	if got.status != 422 || !strings.Contains(got.body, `"code":"decrypt_failed"`) || !strings.Contains(got.body, `"fields":["ssn"]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = said(wire.ResealResponse{Code: wire.DecryptFailed})
	if got.status != 422 || strings.Contains(got.body, `"fields"`) || !strings.Contains(got.body, "key does not open") {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = said(wire.ResealResponse{Code: wire.KMSThrottled, RetryAfterMS: 3000})
	if got.status != 503 || got.header.Get("Retry-After") != "3" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got = said(wire.ResealResponse{Code: wire.GenerationClosed}); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// What an enclave answers that is not an answer to the request is an internal error, whatever it holds.
func TestAWrongAnswerOfAnEnclaveIsNotPassedOn(t *testing.T) {
	s, w := startWriter(t)
	_, name := domainRecord("d")
	key := wire.VaultKey{Wrapped: []byte("S3NTINEL"), Public: []byte("S3NTINEL"), Statement: statement}
	right := wire.ResealResponse{Key: key, Enc: sealedEnc, Fields: [][]byte{sealedField}, Statement: statement}
	change := func(f func(*wire.ResealResponse)) []byte { m := right; f(&m); return m.Append(nil) }
	for what, c := range map[string]struct {
		path, body string
		answer     []byte
	}{
		"no record":         {parentapi.PathDomains, createOf(1), (&wire.CreateDomainResponse{Document: []byte("S3NTINEL")}).Append(nil)},
		"no domain":         {parentapi.PathDomains, createOf(1), []byte("S3NTINEL")},
		"no wrapped record": {parentapi.PathDomainWrap, encode(obj{"record": b64("\x00\x01d")}), []byte{0}},
		"one key of two": {
			parentapi.PathVaultKeys, encode(obj{"domain": name, "count": 2}),
			(&wire.MintResponse{Keys: []wire.Minted{{VaultID: []byte("v"), Key: key}}}).Append(nil),
		},
		"no keys":      {parentapi.PathVaultKeys, encode(obj{"domain": name, "count": 2}), []byte("S3NTINEL")},
		"no reseal":    {parentapi.PathReseal, resealOf(), []byte("S3NTINEL")},
		"a field less": {parentapi.PathReseal, resealOf(), change(func(m *wire.ResealResponse) { m.Fields = nil })},
		"a field of another enc": {parentapi.PathReseal, resealOf(), change(func(m *wire.ResealResponse) {
			m.Fields = [][]byte{append([]byte{5, 0}, sealedField[2:]...)}
		})},
		"a field of encoding 3": {parentapi.PathReseal, resealOf(), change(func(m *wire.ResealResponse) {
			m.Fields = [][]byte{append([]byte{3}, sealedField[1:]...)}
		})},
		"a domain that nobody named": {
			parentapi.PathReseal, resealOf(),
			(&wire.ResealResponse{Code: wire.DomainUnknown, Domain: bytes.Repeat([]byte{1}, wire.DomainNameSize)}).Append(nil),
		},
		"a field that nobody sent": {
			parentapi.PathReseal, resealOf(), (&wire.ResealResponse{Code: wire.DecryptFailed, Unopened: []uint8{1}}).Append(nil),
		},
	} {
		w.mu.Lock()
		w.answer = func(wire.Kind, []byte) ([]byte, wire.Code) { return c.answer, wire.OK }
		w.mu.Unlock()
		got := s.post(t, c.path, c.body)
		if got.status != http.StatusInternalServerError || strings.Contains(got.body, "S3NTINEL") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	// A domain that is unknown where the request has none.
	w.mu.Lock()
	w.answer = func(wire.Kind, []byte) ([]byte, wire.Code) { return nil, wire.DomainUnknown }
	w.mu.Unlock()
	for path, body := range map[string]string{parentapi.PathDomains: createOf(1), parentapi.PathReseal: resealOf()} {
		if got := s.post(t, path, body); got.status != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestTheRoutesOfDomainsNeedAnEnclaveThatWritesAndACallersKey(t *testing.T) {
	auth := front.NewAuth(false)
	s := startStack(t, options(), nil, func(o *front.Options) { o.Auth = auth })
	_, name := domainRecord("d")
	bodies := map[string]string{
		parentapi.PathDomains: createOf(1), parentapi.PathDomainWrap: encode(obj{"record": b64("\x00\x01d")}),
		parentapi.PathVaultKeys: encode(obj{"domain": name, "count": 1}), parentapi.PathReseal: resealOf(),
	}
	for path, body := range bodies {
		if got := s.post(t, path, body); got.status != http.StatusUnauthorized {
			t.Errorf("%s without a key: %d", path, got.status)
		}
	}
	open := startStack(t, options(), nil)
	older := fakeenclave.StartOlder(t, nil, wire.FeatureDomainWrites)
	if err := open.pool.Set([]string{older.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the enclave", open.pool.Ready)
	for path, body := range bodies {
		got := open.post(t, path, body)
		if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `"code":"domains_unsupported"`) {
			t.Errorf("%s at an older enclave: %d %s", path, got.status, got.body)
		}
	}
	if older.Requests.Load() != 0 {
		t.Error("the older enclave was asked")
	}
}

// A vault of two MiB, which no decrypt could carry in one body, is resealed; a byte too many is refused by its length.
func TestALargeVaultIsResealed(t *testing.T) {
	s, _ := startWriter(t)
	record, _ := domainRecord("d")
	other, to := domainRecord("e")
	fields := obj{}
	for i := range 30 {
		fields[fmt.Sprint("f", i)] = b64(string(sealedField) + strings.Repeat("x", 64<<10))
	}
	old := underDomain("d", obj{
		"fields": fields, "domain_records": []string{b64(record), b64(other)}, "encs": obj{hex.EncodeToString(sealedRef[:]): b64(string(sealedEnc))},
	})
	r := read[parentapi.Resealed](t, s.post(t, parentapi.PathReseal, encode(obj{"old": old, "to": to, "epoch": 2})))
	if len(r.Fields) != 30 {
		t.Errorf("%d fields", len(r.Fields))
	}
	for i := range 10 {
		fields[fmt.Sprint("g", i)] = b64(string(sealedField) + strings.Repeat("x", 64<<10))
	}
	if got := s.post(t, parentapi.PathReseal, encode(obj{"old": old, "to": to, "epoch": 2})); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("beyond the wire's bound: %d %s", got.status, got.body)
	}
	got := s.post(t, parentapi.PathReseal, strings.Repeat(" ", parentapi.MaxResealBody+1))
	if got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("beyond the body's bound: %d", got.status)
	}
}

func TestAMintAtAnEnclaveThatNeverKnowsTheDomainIsAnOutage(t *testing.T) {
	s, w := startWriter(t)
	record, name := domainRecord("d")
	var hostile atomic.Int64
	w.mu.Lock()
	w.answer = func(wire.Kind, []byte) ([]byte, wire.Code) { hostile.Add(1); return nil, wire.DomainUnknown }
	w.mu.Unlock()
	got := s.post(t, parentapi.PathVaultKeys, encode(obj{"domain": name, "count": 1, "domain_records": []string{b64(record)}}))
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `"code":"domain_not_kept"`) || hostile.Load() != 2 {
		t.Errorf("%d %s after %d requests", got.status, got.body, hostile.Load())
	}
}
