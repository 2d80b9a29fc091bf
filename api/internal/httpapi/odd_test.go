package httpapi_test

import (
	"math"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

// oddStore holds what neither we nor the reference write.
type oddStore struct {
	store.Store
	encoding int
}

func (s oddStore) GetKeyed(c ctx, id string) (*store.Record, *store.Keys, error) {
	r, k, err := s.Store.GetKeyed(c, id)
	if err == nil {
		r.Encoding = s.encoding
	}
	return r, k, err
}

func (oddStore) List(ctx, store.Page) ([]store.Summary, string, error) {
	return []store.Summary{
		{ID: "v_1", Created: math.MaxInt64, Modified: math.MaxInt64, ExpireAt: math.MaxInt64},
		{ID: "v_2", Created: math.MinInt64, Modified: math.MinInt64, ExpireAt: 1},
	}, "", nil
}

func (oddStore) Audit(ctx, string, store.Page) ([]store.Entry, string, error) {
	return []store.Entry{{VaultID: "v_1", Event: store.EventUnreadable, Time: math.MaxInt64}, {VaultID: "v_1", Event: "DecryptVault"}}, "", nil
}

func TestTimesThatJSONCannotSayHideNoOtherLine(t *testing.T) {
	a := apitest.New(t, func(v *vault.Config, _ *httpapi.Config) { v.Store = oddStore{v.Store, 2} })
	if r := a.Do("GET", "/v1/vaults", "").WantStatus(200); !strings.Contains(r.Body, `"v_2"`) {
		t.Error(r.Body)
	}
	if r := a.Do("GET", "/v1/vaults/v_1/audit", "").WantStatus(200); !strings.Contains(r.Body, "DecryptVault") {
		t.Error(r.Body)
	}
}

func TestARecordOfAnUnknownEncodingIsNotWrittenAndCanBeErased(t *testing.T) {
	for _, encoding := range []int{0, 4, 7} {
		a := apitest.New(t, func(v *vault.Config, _ *httpapi.Config) { v.Store = oddStore{v.Store, encoding} })
		path := "/v1/vaults/" + create(t, a, person)
		r := a.Do("PATCH", path, `{"email":"b@example.com"}`).WantStatus(409)
		if !strings.Contains(r.Body, `"encoding_unknown"`) {
			t.Errorf("encoding %d: %s", encoding, r.Body)
		}
		a.Do("DELETE", path, `{"fields":["email"]}`).WantStatus(200)
		a.Do("DELETE", path, `{"delete_all":true}`).WantStatus(200)
	}
}
