package front_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// domainRecord is the least of a domain's record, and the domain's name.
func domainRecord(descriptor string) (record, name string) {
	sum := sha512.Sum384([]byte(descriptor))
	head := binary.BigEndian.AppendUint16(nil, uint16(len(descriptor)))
	return string(head) + descriptor + "wraps", hex.EncodeToString(sum[:wire.DomainNameSize])
}

// underDomain is a valid request for a vault under a domain, with changes.
func underDomain(descriptor string, changes obj) obj {
	key := strings.Repeat("k", sealed.XWing.EncSize())
	sum := sha256.Sum256([]byte(key))
	ref := sum[:sealed.RefSize]
	_, name := domainRecord(descriptor)
	m := obj{
		"region": nil, "suite_id": "SFBLRWR6AAEAAg==", "encoding": "4", "domain": name,
		"encs":   obj{hex.EncodeToString(ref): b64(key)},
		"fields": obj{"ssn": b64("\x05" + string(ref) + strings.Repeat("c", sealed.TagSize))},
	}
	for k, v := range changes {
		m[k] = v
	}
	return doc(m)
}

// remembering is an enclave that opens each domain whose record it is given.
func remembering(t *testing.T) (*stack, *atomic.Int64) {
	t.Helper()
	var open atomic.Pointer[string]
	var records atomic.Int64
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		if name := open.Load(); len(req.Domain) > 0 && (name == nil || *name != hex.EncodeToString(req.Domain)) {
			resp.Code = wire.DomainUnknown
			return
		}
		fakeenclave.Echo(req, resp)
	})
	s.enclave.OnDomain(func(record []byte) error {
		records.Add(1)
		rest := record[2:]
		sum := sha512.Sum384(rest[:binary.BigEndian.Uint16(record)])
		name := hex.EncodeToString(sum[:wire.DomainNameSize])
		open.Store(&name)
		return nil
	})
	return s, &records
}

func TestADomainThatTheEnclaveLacksIsNamedAndOpensWithItsRecord(t *testing.T) {
	s, records := remembering(t)
	record, name := domainRecord("d")
	got := s.post(t, "/v1/decrypt", encode(underDomain("d", nil)))
	if got.status != http.StatusMisdirectedRequest || !strings.Contains(got.body, `"code":"domain_unknown"`) ||
		!strings.Contains(got.body, `"domain":"`+name+`"`) || !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("cold: %d %s", got.status, got.body)
	}
	with := obj{"domain_records": []string{b64(record)}}
	for range 2 {
		got = s.post(t, "/v1/decrypt", encode(underDomain("d", with)))
		if got.status != http.StatusOK || !strings.Contains(got.body, `"ssn"`) {
			t.Errorf("with its record: %d %s", got.status, got.body)
		}
	}
	if got = s.post(t, "/v1/decrypt", encode(underDomain("d", nil))); got.status != http.StatusOK {
		t.Errorf("hot: %d %s", got.status, got.body)
	}
	if records.Load() != 1 {
		t.Errorf("%d records were handed over, want 1", records.Load())
	}
}

// Items of a batch are answered each by itself, and the record of one opens the domain for those that come after.
func TestItemsOfABatchNameTheDomainThatTheEnclaveLacks(t *testing.T) {
	s, records := remembering(t)
	record, name := domainRecord("d")
	cold := encode(underDomain("d", nil))
	got := s.post(t, "/v1/decrypt/batch", `{"items":[`+cold+`,`+encode(doc(nil))+`]}`)
	unknown := `{"status":421,"error":{"code":"domain_unknown","message":"the domain is not open here","domain":"` + name + `"}}`
	if got.status != http.StatusOK || !strings.Contains(got.body, unknown+`,{"status":200,`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	with := encode(underDomain("d", obj{"domain_records": []string{b64(record)}}))
	got = s.post(t, "/v1/decrypt/batch", `{"items":[`+strings.Repeat(with+",", 99)+with+`]}`)
	// Those under way at the same time share a hand-over; one whose answer comes late may hand the record over again.
	if n := strings.Count(got.body, `{"status":200,`); n != 100 || records.Load() > int64(options().BatchFanOut) {
		t.Errorf("%d items opened with %d records, want 100 with few: %.300s", n, records.Load(), got.body)
	}
}

// A hostile or broken enclave is an outage to the caller, and counted.
func TestAnEnclaveThatNeverKnowsADomainIsAnOutage(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Refuse(wire.DomainUnknown))
	record, _ := domainRecord("d")
	with := encode(underDomain("d", obj{"domain_records": []string{b64(record)}}))
	got := s.post(t, "/v1/decrypt", with)
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `"code":"domain_not_kept"`) ||
		got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = s.post(t, "/v1/decrypt/batch", `{"items":[`+with+`]}`)
	if !strings.Contains(got.body, `{"status":503,"error":{"code":"domain_not_kept"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if n := s.seen.notKept.Load(); n != 2 || s.enclave.Requests.Load() != 4 {
		t.Errorf("counted %d times after %d requests, want 2 after 4", n, s.enclave.Requests.Load())
	}
	// Without a domain in the request there is none to hand over.
	for _, path := range []string{"/decrypt", "/v1/decrypt"} {
		if got := s.post(t, path, encode(doc(nil))); got.status != http.StatusInternalServerError || strings.Contains(got.body, "domain") {
			t.Errorf("%s without a domain: %d %s", path, got.status, got.body)
		}
	}
}

func TestARefusedRecordHasACodeOfItsOwn(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Refuse(wire.DomainUnknown))
	record, _ := domainRecord("d")
	with := encode(underDomain("d", obj{"domain_records": []string{b64(record)}}))
	for refusal, want := range map[error]string{
		&wire.Error{Code: wire.BadRequest}:     `400 domain_record_refused`,
		&wire.Error{Code: wire.DecryptFailed}:  `400 domain_record_refused`,
		&wire.Error{Code: wire.KeyDenied}:      `403 key_denied`,
		&wire.Error{Code: wire.KMSUnavailable}: `503 kms_unavailable`,
		errors.New("S3NTINEL"):                 `500 internal`,
	} {
		s.enclave.OnDomain(func([]byte) error { return refusal })
		got := s.post(t, "/v1/decrypt", with)
		_, code, _ := strings.Cut(got.body, `"code":"`)
		code, _, _ = strings.Cut(code, `"`)
		if said := fmt.Sprint(got.status, " ", code); said != want || strings.Contains(got.body, "S3NTINEL") {
			t.Errorf("%v: %s, want %s: %s", refusal, said, want, got.body)
		}
	}
}

func TestAnEnclaveWithoutDomainsIsSaidToBeOfAnotherVersion(t *testing.T) {
	s := startStack(t, options(), nil)
	older := fakeenclave.StartOlder(t, nil, wire.FeatureDomains)
	if err := s.pool.Set([]string{older.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the enclave", s.pool.Ready)
	got := s.post(t, "/v1/decrypt", encode(underDomain("d", nil)))
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `"code":"domains_unsupported"`) ||
		got.header.Get("Retry-After") == "" || older.Requests.Load() != 0 {
		t.Errorf("%d %s after %d requests", got.status, got.body, older.Requests.Load())
	}
}

// 64 fields, each under an encapsulated key of its own of 32, are one request, and answered.
func TestTheLargestMapOfEncapsulatedKeysIsAnswered(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	encs, fields := obj{}, obj{}
	for i := range 64 {
		key := strings.Repeat(string([]byte{byte(i % wire.MaxEncs)}), sealed.XWing.EncSize())
		sum := sha256.Sum256([]byte(key))
		encs[hex.EncodeToString(sum[:sealed.RefSize])] = b64(key)
		fields[fmt.Sprint("f", i)] = b64("\x05" + string(sum[:sealed.RefSize]) + strings.Repeat("c", sealed.TagSize))
	}
	got := s.post(t, "/v1/decrypt", encode(underDomain("d", obj{"encs": encs, "fields": fields})))
	if got.status != http.StatusOK || strings.Count(got.body, `"f`) < 64 {
		t.Errorf("%d %.200s", got.status, got.body)
	}
}

// A caller who invents domains costs an enclave one record for each item, few at a time, and no session: records of the
// largest size take more than a chunk each, and too many of them at once would end it.
func TestInventedRecordsAreRefusedOneByOneAndFewAtATime(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Refuse(wire.DomainUnknown), func(o *front.Options) { o.BatchFanOut = 200 })
	var now, most, all atomic.Int64
	s.enclave.OnDomain(func(record []byte) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		all.Add(1)
		if len(record) != wire.MaxDomainRecord {
			return errors.New("a part of the record")
		}
		return &wire.Error{Code: wire.KeyDenied}
	})
	items := make([]string, 200)
	for i := range items {
		record, _ := domainRecord(fmt.Sprint("d", i))
		record += strings.Repeat("w", wire.MaxDomainRecord-len(record))
		items[i] = encode(underDomain(fmt.Sprint("d", i), obj{"domain_records": []string{b64(record)}}))
	}
	got := s.post(t, "/v1/decrypt/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
	if n := strings.Count(got.body, `{"status":403,"error":{"code":"key_denied"`); n != len(items) {
		t.Errorf("%d of %d refused: %.300s", n, len(items), got.body)
	}
	if n := s.enclave.Sessions.Load(); n != 2 {
		t.Errorf("%d sessions were opened, want 2", n)
	}
	if all.Load() != int64(len(items)) || most.Load() > 4 {
		t.Errorf("%d records, %d at once", all.Load(), most.Load())
	}
}
