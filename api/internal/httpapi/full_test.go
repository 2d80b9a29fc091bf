package httpapi_test

import (
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

// fullStore refuses what a store refuses that has its reserve left, or not even that.
type fullStore struct {
	store.Store
	full, spent *bool
}

func (s fullStore) Create(c ctx, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	if *s.full {
		return store.ErrFull
	}
	return s.Store.Create(c, r, e, i)
}

func (s fullStore) AppendAudit(c ctx, e *store.Entry) error {
	if *s.spent {
		return store.ErrFull
	}
	return s.Store.AppendAudit(c, e)
}

func (s fullStore) Ping(ctx) error {
	if *s.full {
		return store.ErrFull
	}
	return nil
}

func TestAFullStoreRefusesWritesSaysSoAndStaysInTheBalancer(t *testing.T) {
	full, spent := false, false
	a := apitest.New(t, func(v *vault.Config, h *httpapi.Config) {
		s := fullStore{v.Store, &full, &spent}
		v.Store, h.Checks = s, []httpapi.Check{{Name: "store", Ask: s.Ping}}
	})
	path := "/v1/vaults/" + create(t, a, person)
	full = true
	const refused = `{"statusCode":503,"message":"Storage full","code":"storage_full"}`
	if r := a.Do("POST", "/v1/vaults", person).Want(503, refused); r.Header.Get("Retry-After") != "30" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	a.Do("GET", "/ready", "").Want(200, `{"status":"ready","checks":{"store":"storage_full"}}`)
	a.Do("POST", path+"/decrypt", `{"fields":["email"],"reason":"r"}`).WantStatus(200)
	spent = true
	answer := a.Do("POST", path+"/decrypt", `{"fields":["email"],"reason":"r"}`).Want(503, refused)
	if strings.Contains(answer.Body, "@") {
		t.Error("a value was let out without an audit entry")
	}
	a.Do("DELETE", path, `{"delete_all":true}`).WantStatus(200)
}
