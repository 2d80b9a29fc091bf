package upstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// underADomain is a request for n fields of size bytes, each under encapsulated key i % encs.
func underADomain(n, size, encs int) *Request {
	id := sealed.XWing.ID()
	r := &Request{
		VaultID: "v_1", SuiteID: id[:], WrappedKey: []byte{0xd1}, Encoding: 4, Domain: bytes.Repeat([]byte{7}, domain.HashSize),
		Fields: map[string][]byte{}, Encs: map[string][]byte{},
	}
	for i := range n {
		enc := bytes.Repeat([]byte{byte(i % encs)}, sealed.XWing.EncSize())
		ref := sealed.RefOf(enc)
		r.Encs[hex.EncodeToString(ref[:])] = enc
		blob := make([]byte, size)
		_, _ = rand.Read(blob)
		r.Fields[fmt.Sprintf("f%03d", i)] = slices.Concat([]byte{5}, ref[:], blob)
	}
	return r
}

// record of the domain with this hash, and how many were given.
func recordOf(given *int) Records {
	return func(_ context.Context, h domain.Hash) ([]byte, error) {
		*given++
		return append([]byte("record of "), h[:]...), nil
	}
}

// unknown answers that the domain is not open, unless the request has its record.
func unknown(w http.ResponseWriter, name string) {
	w.WriteHeader(http.StatusMisdirectedRequest)
	_, _ = io.WriteString(w, `{"code":"domain_unknown","domain":"`+name+`"}`)
}

func TestADomainsRecordIsSentWhenTheEnclaveLacksItAndOnce(t *testing.T) {
	var bodies []parentapi.Request[[]byte]
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var got parentapi.Request[[]byte]
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		bodies = append(bodies, got)
		if len(got.DomainRecords) == 0 {
			unknown(w, got.Domain)
			return
		}
		_, _ = io.WriteString(w, `{"fields":{"f000":"x"},"errors":{}}`)
	})
	given := 0
	r := underADomain(2, 40, 3)
	r.Encs["0011223344556677"] = []byte("no field names it")
	r.Records = recordOf(&given)
	res, err := client(t, s.URL, 0).Decrypt(t.Context(), r)
	if err != nil || string(res.Fields["f000"]) != `"x"` {
		t.Fatal(err)
	}
	if len(bodies) != 2 || given != 1 {
		t.Fatalf("%d requests, %d records; want 2 and 1", len(bodies), given)
	}
	for i, b := range bodies {
		if b.Domain != strings.Repeat("07", wire.DomainNameSize) || b.Region != "" || b.Encoding != "4" || len(b.Encs) != 2 ||
			len(b.DomainRecords) != i || len(b.Fields) != 2 {
			t.Errorf("request %d: %+v", i, b)
		}
	}
	if want := "record of " + string(r.Domain); string(bodies[1].DomainRecords[0]) != want {
		t.Error("another record")
	}
}

// A parent that answers domain_unknown for ever, or that cannot use the record, is an outage with a cause.
func TestADomainThatStaysUnknownIsAnErrorAfterOneRepetition(t *testing.T) {
	lost := errors.New("no record")
	given := 0
	for name, c := range map[string]struct {
		answer  string
		status  int
		records Records
		asked   int
		cause   error
	}{
		"for ever":          {"", 421, recordOf(&given), 2, nil},
		"without records":   {"", 421, nil, 1, nil},
		"no record":         {"", 421, func(context.Context, domain.Hash) ([]byte, error) { return nil, lost }, 1, lost},
		"not kept":          {`{"code":"domain_not_kept"}`, 503, recordOf(&given), 1, ErrDomainNotKept},
		"refused":           {`{"code":"domain_record_refused"}`, 400, recordOf(&given), 1, ErrRecordRefused},
		"not known":         {`{"code":"domains_unsupported"}`, 503, recordOf(&given), 1, ErrNoDomains},
		"of another domain": {`{"code":"domain_unknown","domain":"00"}`, 421, recordOf(&given), 1, nil},
	} {
		asked := 0
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			if c.answer == "" {
				unknown(w, strings.Repeat("07", wire.DomainNameSize))
				return
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		})
		r := underADomain(1, 40, 1)
		r.Records, r.Expressions = c.records, map[string]string{"x": "1"}
		_, err := client(t, s.URL, 0).Decrypt(t.Context(), r)
		var e *Error
		if !errors.As(err, &e) || e.Code != wire.DomainUnknown || asked != c.asked || c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%s: %v after %d requests, want %d", name, err, asked, c.asked)
		}
	}
}

func TestAClosedGenerationHasItsCode(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"code":"generation_closed"}`)
	})
	_, err := client(t, s.URL, 0).Decrypt(t.Context(), underADomain(1, 40, 1))
	var e *Error
	if !errors.As(err, &e) || e.Code != wire.GenerationClosed || e.Name() != "generation_closed" {
		t.Error(err)
	}
}

// Requests of a large vault carry each encapsulated key once, where a field names it, and fit the parent's bounds.
func TestALargeVaultUnderADomainIsSplitWithItsEncapsulatedKeys(t *testing.T) {
	seen := map[string]bool{}
	parts := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got parentapi.Request[[]byte]
		if err := json.Unmarshal(body, &got); err != nil || len(body) > parentapi.MaxBody {
			t.Error(len(body), err)
		}
		parts++
		if len(got.DomainRecords) == 0 {
			unknown(w, got.Domain)
			return
		}
		named := map[string]bool{}
		for name, blob := range got.Fields {
			ref, _, err := sealed.ParseRef(blob)
			if err != nil || got.Encs[hex.EncodeToString(ref[:])] == nil {
				t.Errorf("%s names an encapsulated key that is not there", name)
			}
			named[hex.EncodeToString(ref[:])], seen[name] = true, true
		}
		if len(named) != len(got.Encs) {
			t.Errorf("%d encapsulated keys, of which fields name %d", len(got.Encs), len(named))
		}
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	})
	r := underADomain(64, 30<<10, 32)
	r.Records = func(context.Context, domain.Hash) ([]byte, error) { return make([]byte, wire.MaxDomainRecord), nil }
	if _, err := client(t, s.URL, 0).Decrypt(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 64 || parts < 6 {
		t.Errorf("%d fields in %d requests", len(seen), parts)
	}
}

// The parent refuses a request whose field names an encapsulated key that is not there. A damaged record must not be
// refused for one field.
func TestADamagedFieldUnderADomainFailsByItself(t *testing.T) {
	var got parentapi.Request[[]byte]
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = parentapi.Request[[]byte]{}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"fields":{},"errors":{}}`)
	})
	c := client(t, s.URL, 0)
	r := underADomain(5, 40, 3)
	whole := maps.Clone(r.Fields)
	r.Fields["f001"] = append([]byte{5, 9}, r.Fields["f001"][2:]...) // another ref
	r.Fields["f002"] = r.Fields["f002"][:20]                         // too short
	ref, _, _ := sealed.ParseRef(r.Fields["f000"])
	r.Encs[hex.EncodeToString(ref[:])] = bytes.Repeat([]byte{1}, sealed.XWing.EncSize()) // f000's and f003's
	if _, err := c.Decrypt(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(got.Fields) != 5 || len(got.Encs) != 1 || !bytes.Equal(got.Fields["f004"], whole["f004"]) {
		t.Errorf("%d fields and %d encapsulated keys", len(got.Fields), len(got.Encs))
	}
	for name, blob := range got.Fields {
		ref, ct, err := sealed.ParseRef(blob)
		if err != nil || got.Encs[hex.EncodeToString(ref[:])] == nil {
			t.Errorf("the parent would refuse %s", name)
		}
		if name != "f004" && !bytes.Equal(ct, make([]byte, sealed.TagSize)) {
			t.Errorf("%s is sent with ciphertext", name)
		}
	}
	r.Fields = map[string][]byte{"f001": r.Fields["f001"]}
	var e *Error
	if _, err := c.Decrypt(t.Context(), r); !errors.As(err, &e) || e.Code != wire.DecryptFailed {
		t.Errorf("no whole field: %v", err)
	}
	if _, err := c.Reseal(t.Context(), &Reseal{Old: r, Epoch: 2}); !errors.As(err, &e) || !slices.Equal(e.Fields, []string{"f001"}) {
		t.Errorf("no whole field to reseal: %v", err)
	}
}

func TestAResealHandsBothDomainsRecordsOver(t *testing.T) {
	to := domain.Hash(sha512.Sum384([]byte("to")))
	given, asked := 0, 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		var got parentapi.Reseal
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.URL.Path != parentapi.PathReseal {
			t.Error(r.URL.Path, err)
		}
		switch len(got.Old.DomainRecords) {
		case 0:
			unknown(w, got.Old.Domain)
		case 1:
			unknown(w, got.To)
		default:
			if got.Epoch != 3 || got.Suite != "X-Wing" || got.To != nameOf(to[:]) {
				t.Errorf("%+v", got)
			}
			_ = json.NewEncoder(w).Encode(parentapi.Resealed{
				Key:  parentapi.VaultKey{VaultID: got.Old.VaultID},
				Encs: map[string][]byte{"0011223344556677": {1}}, Fields: got.Old.Fields, Statement: []byte{2},
			})
		}
	})
	r := underADomain(2, 40, 1)
	r.Records = recordOf(&given)
	out, err := client(t, s.URL, 0).Reseal(t.Context(), &Reseal{Old: r, To: to, Suite: "X-Wing", Epoch: 3})
	if err != nil || len(out.Fields) != 2 || given != 2 || asked != 3 {
		t.Errorf("%v after %d requests with %d records", err, asked, given)
	}
}

func TestAnswersThatAreNotWhatWasAskedForAreRefused(t *testing.T) {
	answer, status := "", 200
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	c := client(t, s.URL, 0)
	r := underADomain(1, 40, 1)
	mint := func() error { _, err := c.Mint(t.Context(), &Mint{Count: 2}); return err }
	reseal := func() error { _, err := c.Reseal(t.Context(), &Reseal{Old: r, Epoch: 1}); return err }
	create := func() error { _, err := c.CreateDomain(t.Context(), &parentapi.CreateDomain{}); return err }
	wrap := func() error { _, err := c.WrapDomain(t.Context(), &parentapi.WrapDomain{}); return err }
	for _, tc := range []struct {
		name   string
		ask    func() error
		status int
		answer string
		code   wire.Code
		cause  error
	}{
		{"too few keys", mint, 200, `{"keys":[{}]}`, wire.Internal, errAnswer},
		{"no JSON", mint, 200, `<html>`, wire.Internal, errAnswer},
		{"another vault", reseal, 200, `{"key":{"vault_id":"v_2"},"encs":{"a":"AA=="},"fields":{"f000":"AA=="}}`, wire.Internal, errAnswer},
		{"no enc", reseal, 200, `{"key":{"vault_id":"v_1"},"fields":{"f000":"AA=="}}`, wire.Internal, errAnswer},
		{"another field", reseal, 200, `{"key":{"vault_id":"v_1"},"encs":{"a":"AA=="},"fields":{"f001":"AA=="}}`, wire.Internal, errAnswer},
		{"a field less", reseal, 200, `{"key":{"vault_id":"v_1"},"encs":{"a":"AA=="},"fields":{}}`, wire.Internal, errAnswer},
		{"a parent without the route", create, 404, `{"code":"bad_request"}`, wire.DomainUnknown, ErrNoDomains},
		{"an enclave without domains", wrap, 503, `{"code":"domains_unsupported"}`, wire.DomainUnknown, ErrNoDomains},
		{"denied", create, 403, `{"code":"key_denied"}`, wire.KeyDenied, nil},
	} {
		answer, status = tc.answer, tc.status
		var e *Error
		if err := tc.ask(); !errors.As(err, &e) || e.Code != tc.code || tc.cause != nil && !errors.Is(err, tc.cause) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	answer, status = `{"code":"decrypt_failed","fields":["a","b"]}`, 422
	var e *Error
	if err := reseal(); !errors.As(err, &e) || e.Code != wire.DecryptFailed || !slices.Equal(e.Fields, []string{"a", "b"}) {
		t.Errorf("%v", err)
	}
}
