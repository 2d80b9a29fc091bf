package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
)

// large is an API whose schema has as many and as large fields as there can be, before a parent with a parent's limits.
func large(t *testing.T) *apitest.API {
	t.Helper()
	var text strings.Builder
	text.WriteString("name: large\nfields:\n")
	for i := range schema.MaxFields {
		fmt.Fprintf(&text, "  - name: f%02d\n    max_length: %d\n", i, schema.MaxValue)
	}
	largest, err := schema.Parse([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return apitest.New(t, func(v *vault.Config, _ *httpapi.Config) {
		world, ok := v.Keys.(*apitest.World)
		if !ok {
			t.Fatal("the keys are not the world's")
		}
		parent := httptest.NewServer(apitest.Parent(world))
		t.Cleanup(parent.Close)
		client, err := upstream.New(upstream.Config{URL: parent.URL, Region: "us-east-1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		v.Schema, v.Opener = largest, client
	})
}

// fill makes a vault of n fields, all as large as can be, and returns its id and the values. It is made at once, since
// the store writes a record whole.
func fill(t *testing.T, a *apitest.API, n int) (id string, values map[string]string) {
	t.Helper()
	values = map[string]string{}
	for i := range n {
		values[fmt.Sprintf("f%02d", i)] = strings.Repeat(string(rune(0x1F600+i%64)), schema.MaxValue)
	}
	out, err := a.Vault.Create(t.Context(), &vault.Caller{Principal: auth.Anonymous()}, &vault.CreateRequest{Values: values})
	if err != nil {
		t.Fatal(err)
	}
	return out.ID, values
}

func sorted(values map[string]string) (names []string) {
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ask decrypts.
func ask(t *testing.T, a *apitest.API, id string, req map[string]any) (*httpapi.DecryptBody, *apitest.Answer) {
	t.Helper()
	req["reason"] = "test"
	body, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	answer := a.Do("POST", "/v1/vaults/"+id+"/decrypt", string(body))
	var out httpapi.DecryptBody
	if answer.Status == 200 {
		if err := json.Unmarshal([]byte(answer.Body), &out); err != nil {
			t.Fatal(err)
		}
	}
	return &out, answer
}

func decryptEntries(t *testing.T, a *apitest.API, id string) (out []httpapi.AuditLine) {
	t.Helper()
	var page httpapi.AuditBody
	if err := json.Unmarshal([]byte(a.Do("GET", "/v1/vaults/"+id+"/audit", "").WantStatus(200).Body), &page); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(page.Entries, func(l httpapi.AuditLine) bool { return l.Event != "DecryptVault" })
}

// One request creates what takes more than one request to open.
func TestWhatOneRequestCreatesIsOpened(t *testing.T) {
	a := large(t)
	values := map[string]string{}
	for i := range 15 {
		values[fmt.Sprintf("f%02d", i)] = strings.Repeat("x", schema.MaxValue)
	}
	body, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	id := create(t, a, string(body))
	for _, expressions := range []map[string]string{nil, {"n": "len(f00)"}} {
		out, answer := ask(t, a, id, map[string]any{"fields": sorted(values), "expressions": expressions})
		if answer.Status != 200 || len(out.Data) != 15+len(expressions) || out.Data["f14"] != values["f14"] {
			t.Fatalf("%d %.200s", answer.Status, answer.Body)
		}
	}
}

// What can be written can be read: 100 fields of 64 Ki characters of four bytes come back, under one audit entry.
func TestLargestVaultRoundTrips(t *testing.T) {
	a := large(t)
	id, values := fill(t, a, schema.MaxFields)
	out, answer := ask(t, a, id, map[string]any{"fields": sorted(values)})
	answer.Body = answer.Body[:min(len(answer.Body), 300)]
	answer.WantStatus(200)
	if len(out.Data) != schema.MaxFields || len(out.Errors) != 0 {
		t.Fatalf("%d values, errors %v", len(out.Data), out.Errors)
	}
	for name, want := range values {
		if out.Data[name] != want {
			t.Errorf("%s is another value", name)
		}
	}
	entries := decryptEntries(t, a, id)
	if len(entries) != 1 || entries[0].Outcome != "ok" || len(entries[0].Released) != schema.MaxFields {
		t.Fatalf("%d audit entries", len(entries))
	}
}

// Expressions have all requested fields at hand, up to what one message to the enclave can carry; the values beside
// them come in groups.
func TestExpressionsOverLargeFields(t *testing.T) {
	a := large(t)
	id, values := fill(t, a, 9)
	names := sorted(values)
	req := map[string]any{"fields": names[:7], "expressions": map[string]string{"n": "len(f06)", "f00": "f01"}}
	out, answer := ask(t, a, id, req)
	answer.Body = answer.Body[:min(len(answer.Body), 300)]
	answer.WantStatus(200)
	if len(out.Data) != 8 || len(out.Errors) != 0 || out.Data["n"] != float64(len(values["f06"])) ||
		out.Data["f00"] != values["f01"] || out.Data["f06"] != values["f06"] {
		t.Fatalf("%d values, errors %v", len(out.Data), out.Errors)
	}
	entries := decryptEntries(t, a, id)
	if len(entries) != 1 || entries[0].Outcome != "ok" || len(entries[0].Released) != 6 ||
		!slices.Equal(entries[0].Access["f00"].Raw, []string{"f01"}) || entries[0].Access["n"].Unknown {
		t.Fatalf("audit %+v", entries)
	}

	req["fields"] = names
	_, answer = ask(t, a, id, req)
	answer.WantStatus(422)
	if !strings.Contains(answer.Body, `"code":"fields_too_large"`) || !strings.Contains(answer.Body, "at most 2096128") {
		t.Fatal(answer.Body)
	}
	entries = decryptEntries(t, a, id)
	if len(entries) != 2 || entries[1].Outcome != "failed" || entries[1].Code != "too_large" {
		t.Fatalf("audit %+v", entries)
	}
}

// A group of which nothing opens fails by itself; only if nothing at all opens is there no answer.
func TestDamagedFieldsOfALargeVaultFailAlone(t *testing.T) {
	a := large(t)
	id, values := fill(t, a, 4)
	damage := func(names ...string) {
		t.Helper()
		r, err := a.Store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		u := &store.Update{ID: id, Revision: r.Modified, Modified: r.Modified + 1, Set: map[string]store.Value{}}
		for _, name := range names {
			blob := slices.Clone(r.Fields[name].Blob)
			blob[len(blob)-1] ^= 1
			u.Set[name] = store.Value{Blob: blob}
		}
		if err := a.Store.Update(t.Context(), u, &store.Entry{VaultID: id, Time: r.Modified + 1, Event: "Test", Chain: "test", Seq: uint64(r.Modified)}); err != nil {
			t.Fatal(err)
		}
	}
	damage("f03") // the second group's only field
	out, answer := ask(t, a, id, map[string]any{"fields": sorted(values)})
	if answer.Status != 200 || len(out.Errors) != 1 || out.Data["f03"] != nil || out.Data["f00"] != values["f00"] ||
		out.Failures["f03"].Code != "decrypt_failed" {
		t.Fatalf("%d %v", answer.Status, out.Errors)
	}
	damage("f00", "f01", "f02")
	_, answer = ask(t, a, id, map[string]any{"fields": sorted(values)})
	if answer.Status != 422 || !strings.Contains(answer.Body, "decrypt_failed") {
		t.Fatalf("%d %.200s", answer.Status, answer.Body)
	}
}

// slowReader takes nothing of an answer until it is released.
type slowReader struct {
	*httptest.ResponseRecorder
	begun, released chan struct{}
}

func (w slowReader) Write(p []byte) (int, error) {
	w.begun <- struct{}{}
	<-w.released
	return w.ResponseRecorder.Write(p)
}

func TestAnswersThatNobodyReadsHoldNoMoreThanTheBudget(t *testing.T) {
	a := large(t)
	id, _ := fill(t, a, 1)
	s, err := httpapi.New(httpapi.Config{Vault: a.Vault, BodyMemory: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost/v1/vaults/"+id+"/decrypt",
			strings.NewReader(`{"fields":["f00"],"reason":"test"}`))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	begun, released, ended := make(chan struct{}, 100), make(chan struct{}), make(chan int, 100)
	slow, refused := 0, (*httptest.ResponseRecorder)(nil)
	for refused == nil {
		w := slowReader{httptest.NewRecorder(), begun, released}
		go func() {
			s.ServeHTTP(w, request())
			ended <- w.Code
		}()
		<-begun
		if w.Code == http.StatusServiceUnavailable {
			refused = w.ResponseRecorder
		} else if slow++; slow > 50 {
			t.Fatal("answers without a bound")
		}
	}
	if slow == 0 || refused.Header().Get("Retry-After") != "1" {
		t.Fatalf("%d answers, Retry-After %q", slow, refused.Header().Get("Retry-After"))
	}
	close(released)
	for range slow + 1 {
		<-ended
	}
	if !strings.Contains(refused.Body.String(), `"code":"overloaded"`) {
		t.Fatal(refused.Body)
	}
	again := httptest.NewRecorder()
	if s.ServeHTTP(again, request()); again.Code != http.StatusOK {
		t.Fatalf("%d when the others have ended", again.Code)
	}
}
