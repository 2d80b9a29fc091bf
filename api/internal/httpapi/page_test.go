package httpapi_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

// longLog is a store with one log of long entries.
type longLog struct {
	store.Store
	entries int
}

func (s longLog) Audit(_ ctx, id string, p store.Page) ([]store.Entry, string, error) {
	from, _ := strconv.Atoi(p.Cursor)
	to := min(from+p.Size(), s.entries)
	var out []store.Entry
	for i := from; i < to; i++ {
		out = append(out, store.Entry{
			VaultID: id, Event: "DecryptVault", Chain: "c", Seq: uint64(i + 1), Reason: strings.Repeat("r", 6000),
		})
	}
	if to == s.entries {
		return out, "", nil
	}
	return out, strconv.Itoa(to), nil
}

func TestPagesOfTheAuditLogAreBoundedByBytes(t *testing.T) {
	const entries = 1000 // six megabytes
	a := apitest.New(t, func(v *vault.Config, _ *httpapi.Config) { v.Store = longLog{v.Store, entries} })
	seen, cursor := uint64(0), ""
	for {
		path := "/v1/vaults/v_1/audit?limit=1000"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		r := a.Do("GET", path, "").WantStatus(200)
		if len(r.Body) > 2_600_000 {
			t.Fatalf("a page of %d bytes", len(r.Body))
		}
		var page httpapi.AuditBody
		if err := json.Unmarshal([]byte(r.Body), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if seen++; e.Seq != seen {
				t.Fatalf("entry %d after %d", e.Seq, seen-1)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if seen != entries {
		t.Errorf("%d entries", seen)
	}
}
