package httpapi_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
)

func TestADomainsRecordIsServedToThoseWhoMayRead(t *testing.T) {
	a := apitest.New(t)
	a.Do("GET", "/v1/domains?id=acme", "").WantStatus(404)
	first, second := a.Domain("acme", 1), a.Domain("acme", 2)
	for path, want := range map[string]*domains.Domain{
		"/v1/domains?id=acme":                               second,
		"/v1/domains?id=acme&generation=1":                  first,
		"/v1/domains?generation=2&id=acme":                  second,
		"/domains/" + hex.EncodeToString(first.Hash[:]):     first,
		"/v1/domains/" + hex.EncodeToString(second.Hash[:]): second,
	} {
		var got httpapi.DomainBody
		if err := json.Unmarshal([]byte(a.Do("GET", path, "").WantStatus(200).Body), &got); err != nil {
			t.Fatal(err)
		}
		if got.ID != "acme" || got.Generation != want.Descriptor.Generation || got.Hash != hex.EncodeToString(want.Hash[:]) ||
			string(got.Record) != string(want.Encoded) || got.State != "active" || len(got.Suites) != 2 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	dh := hex.EncodeToString(first.Hash[:])
	for path, status := range map[string]int{
		"/v1/domains":                          422,
		"/v1/domains?id=":                      422,
		"/v1/domains?id=ACME":                  422,
		"/v1/domains?id=acme&generation=0":     422,
		"/v1/domains?id=acme&generation=65536": 422,
		"/v1/domains?id=acme&generation=one":   422,
		"/v1/domains?id=acme&generation=3":     404,
		"/v1/domains?id=other":                 404,
		"/v1/domains/" + strings.ToUpper(dh):   404,
		"/v1/domains/" + dh[:64]:               404,
		"/v1/domains/" + dh + "00":             404,
		"/v1/domains/" + dh[:94] + "zz":        404,
	} {
		a.Do("GET", path, "").WantStatus(status)
	}
	a.Do("POST", "/v1/domains", "{}").WantStatus(405)
}

func TestAVaultUnderADomainAnswersAsAnyOther(t *testing.T) {
	a := apitest.New(t, apitest.UnderDomain("acme"))
	a.Do("POST", "/v1/vaults", person).WantStatus(503) // there is no such domain
	a.Domain("acme", 1)
	id := create(t, a, person)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["city"],"reason":"test"}`).WantStatus(200)
	a.Do("PATCH", "/v1/vaults/"+id, `{"city":"Basel"}`).WantStatus(200)
	a.Do("POST", "/v1/vaults/"+id+"/decrypt", `{"fields":["city"],"reason":"test"}`).
		Want(200, `{"data":{"city":"Basel"},"errors":[]}`)
	a.Do("DELETE", "/v1/vaults/"+id, `{"fields":["city"]}`).WantStatus(200)
	a.Do("DELETE", "/v1/vaults/"+id, `{"delete_all":true}`).WantStatus(200)
	for _, r := range [][3]string{
		{"GET", "/v1/vaults/" + id, ""},
		{"PATCH", "/v1/vaults/" + id, `{"city":"Bern"}`},
		{"DELETE", "/v1/vaults/" + id, `{"delete_all":true}`},
		{"DELETE", "/v1/vaults/" + id, `{"fields":["city"]}`},
		{"POST", "/v1/vaults/" + id + "/decrypt", `{"fields":["city"],"reason":"test"}`},
	} {
		a.Do(r[0], r[1], r[2]).Want(410, `{"statusCode":410,"message":"Vault was erased","code":"erased"}`)
	}
	var log httpapi.AuditBody
	body := a.Do("GET", "/v1/vaults/"+id+"/audit", "").WantStatus(200).Body
	if err := json.Unmarshal([]byte(body), &log); err != nil {
		t.Fatal(err)
	}
	last := log.Entries[len(log.Entries)-1]
	if last.Event != "DeleteVault" || last.Reason != "Erased" || len(last.Key.Erased) != 1 || last.Key.Since == nil {
		t.Errorf("%s", body)
	}
}

func TestNoEnclaveForNewKeysIs503WithATimeToWait(t *testing.T) {
	a := apitest.New(t, apitest.UnderDomain("acme"))
	a.Domain("acme", 1)
	a.World.Fail(&upstream.Error{Code: wire.Overloaded, RetryAfter: 3 * time.Second})
	r := a.Do("POST", "/v1/vaults", person).WantStatus(503)
	if r.Header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	a.World.Fail(&upstream.Error{Code: wire.GenerationClosed})
	a.Do("POST", "/v1/vaults", person).WantStatus(403)
	a.World.Fail(&upstream.Error{Code: wire.BadRequest}) // the enclave refuses us, and not what the caller sent
	if r := a.Do("POST", "/v1/vaults", person).WantStatus(503); !strings.Contains(r.Body, "enclave_refused") {
		t.Errorf("%s", r.Body)
	}
	a.World.Fail(nil)
	create(t, a, person)
}

// TestErrorsAboutDomainsHaveAStatusOfTheirOwn: none is an internal error of an unknown kind.
func TestErrorsAboutDomainsHaveAStatusOfTheirOwn(t *testing.T) {
	for err, want := range map[error]string{
		store.ErrErased: "410 erased", store.ErrKeyed: "409 keyed", store.ErrInconsistent: "500 inconsistent",
		store.ErrEpochsFull: "409 epochs_full", store.ErrNoDomains: "503 no_domains", vault.ErrNotKeyed: "409 key_not_of_domain",
		vault.ErrNotMovable: "409 not_movable", vault.ErrResealed: "502 reseal_unverified",
		vault.ErrMinted: "503 mint_unverified", vault.ErrRefused: "503 enclave_refused",
		vault.ErrGenerationBack: "503 generation_back",
		domains.ErrUnknown:      "503 domain_unknown", domains.ErrUntrusted: "500 domain_untrusted",
		domains.ErrRetired: "503 generation_retired", vault.ErrNoDomain: "404 not_found",
	} {
		a := apitest.New(t, func(v *vault.Config, _ *httpapi.Config) { v.Store = downStore{v.Store, &err} })
		a.T = t
		r := a.Do("PATCH", "/v1/vaults/v_1", `{"city":"Bern"}`)
		var body httpapi.ErrorBody
		if e := json.Unmarshal([]byte(r.Body), &body); e != nil {
			t.Fatal(errors.Join(err, e))
		}
		if got := fmt.Sprint(r.Status, " ", body.Code); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
