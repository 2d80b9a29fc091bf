package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
	"redoubt/api/internal/upstream"
	"redoubt/wire"
)

func serve(t *testing.T) (*apitest.API, *client.Client) {
	t.Helper()
	a := apitest.New(t)
	s := httptest.NewServer(a.Handler)
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

// notForClients are operations for browsers and balancers.
var notForClients = []string{"getHealth", "getOpenAPI", "getDocs", "getSwagger"}

// TestEveryRoute calls each operation of the document with the client's methods.
func TestEveryRoute(t *testing.T) {
	a := apitest.New(t)
	asked := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.Method+" "+r.URL.Path] = true
		a.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	made, err := c.Create(ctx, map[string]string{"email": "a@example.com", "ssn9": "123456789"}, client.CreateOptions{IdempotencyKey: "k", TTL: time.Hour})
	if err != nil || made.ID == "" || made.Tag == "" || made.Replayed {
		t.Fatalf("%+v, %v", made, err)
	}
	again, err := c.Create(ctx, map[string]string{"email": "a@example.com", "ssn9": "123456789"}, client.CreateOptions{IdempotencyKey: "k", TTL: time.Hour})
	if err != nil || again.ID != made.ID || !again.Replayed {
		t.Fatalf("%+v, %v", again, err)
	}
	seen, tag, err := c.Get(ctx, made.ID, "email", "city")
	if err != nil || !seen["email"] || seen["city"] || tag != made.Tag {
		t.Fatalf("%v, %s, %v", seen, tag, err)
	}
	tag, err = c.Update(ctx, made.ID, map[string]string{"city": "Bern"}, client.UpdateOptions{IfMatch: tag})
	if err != nil || tag == made.Tag {
		t.Fatalf("%s, %v", tag, err)
	}
	out, err := c.Decrypt(ctx, made.ID, client.DecryptRequest{
		Fields: []string{"city", "state"}, Reason: "test", Expressions: map[string]string{"n": "len(city)"},
	})
	if err != nil {
		t.Fatal(err)
	}
	city, ok := out.Text("city")
	if _, absent := out.Text("state"); !ok || city != "Bern" || absent || string(out.Data["n"]) != "4" || !slices.Equal(out.Absent, []string{"state"}) {
		t.Fatalf("%+v", out)
	}
	if err := c.DeleteFields(ctx, made.ID, []string{"ssn9"}, ""); err != nil {
		t.Fatal(err)
	}
	list, next, err := c.List(ctx, client.Page{Limit: 10})
	if err != nil || len(list) != 1 || next != "" || list[0].ExpiresAt == nil {
		t.Fatalf("%v, %v", list, err)
	}
	if err := c.Delete(ctx, made.ID, ""); err != nil {
		t.Fatal(err)
	}
	log, next, err := c.Audit(ctx, made.ID, client.Page{Limit: 3})
	if err != nil || len(log) != 3 || next == "" || log[2].Reason != "test" {
		t.Fatalf("%+v, %v", log, err)
	}
	if a := log[2].Access["n"]; !slices.Equal(a.Reads, []string{"city"}) || len(a.Raw) > 0 || a.Unknown ||
		len(a.SourceMAC) != 64 || !slices.Equal(log[2].Released, []string{"city"}) || log[1].Released != nil {
		t.Fatalf("%+v", log[2])
	}
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	fields, err := c.Schema(ctx)
	if err != nil || len(fields.Fields) != 15 || fields.Fields[0].Name != "email" || fields.Fields[0].MaxLength != 1024 {
		t.Fatalf("%+v, %v", fields, err)
	}
	if f := fields.Fields[6]; f.Name != "ssn4" || f.Pattern == "" || f.Derive == nil || *f.Derive != (client.Derive{From: "ssn9", Last: 4}) {
		t.Fatalf("%+v", f)
	}
	under := a.Domain("acme", 1)
	d, err := c.Domain(ctx, "acme", 0)
	if err != nil || d.Generation != 1 || d.State != "active" || !bytes.Equal(d.Record, under.Encoded) {
		t.Fatalf("%+v, %v", d, err)
	}
	if same, err := c.DomainByHash(ctx, d.Hash); err != nil || same.ID != "acme" || same.Hash != d.Hash {
		t.Fatalf("%+v, %v", same, err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(a.Spec, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			what := strings.ToUpper(method) + " " + strings.NewReplacer("{id}", made.ID, "{dh}", d.Hash).Replace(path)
			if !asked[what] && !asked[strings.Replace(what, " ", " /v1", 1)] && !slices.Contains(notForClients, o.ID) {
				t.Errorf("%s (%s) was not called: the client has no method, or this test does not call it", what, o.ID)
			}
		}
	}
}

func TestUpdateChangesTheTimeToLive(t *testing.T) {
	_, c := serve(t)
	made, err := c.Create(t.Context(), nil, client.CreateOptions{TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	never, longer, negative, tiny := time.Duration(0), time.Hour+time.Nanosecond, -time.Nanosecond, time.Millisecond
	for _, step := range []struct {
		fields map[string]string
		ttl    *time.Duration
		want   *time.Duration
	}{
		{nil, &longer, &longer},
		{map[string]string{"city": "Bern"}, nil, &longer},
		{nil, nil, &longer},
		{nil, &never, nil},
	} {
		if _, err := c.Update(t.Context(), made.ID, step.fields, client.UpdateOptions{TTL: step.ttl}); err != nil {
			t.Fatal(err)
		}
		list, _, err := c.List(t.Context(), client.Page{})
		if err != nil || len(list) != 1 || (list[0].ExpiresAt == nil) != (step.want == nil) {
			t.Fatalf("%+v, %v", list, err)
		}
		if at := list[0].ExpiresAt; at != nil && time.Until(*at) < longer-time.Minute {
			t.Fatalf("expires at %s", at)
		}
	}
	var e *client.Error
	_, err = c.Update(t.Context(), made.ID, nil, client.UpdateOptions{TTL: &negative})
	if !errors.As(err, &e) || e.Status != 422 || e.Fields[0].Field != "ttl" {
		t.Fatalf("a negative one: %v", err)
	}
	if err := c.DeleteFields(t.Context(), made.ID, nil, ""); err != nil {
		t.Fatal(err)
	}
	// Rounded up, not to none: the vault ends within a second, or has ended.
	if _, err := c.Update(t.Context(), made.ID, nil, client.UpdateOptions{TTL: &tiny}); err != nil {
		t.Fatal(err)
	}
	list, _, err := c.List(t.Context(), client.Page{})
	if err != nil || len(list) > 0 && list[0].ExpiresAt == nil {
		t.Fatalf("%+v, %v", list, err)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	a, c := serve(t)
	_, err := c.Create(t.Context(), map[string]string{"ssn9": "SENTINEL"}, client.CreateOptions{})
	var e *client.Error
	if !errors.As(err, &e) || e.Status != 422 || e.Code != "invalid_request" || e.Fields[0].Field != "ssn9" || e.RequestID == "" ||
		strings.Contains(err.Error(), "SENTINEL") {
		t.Fatalf("%v", err)
	}
	if _, _, err := c.Get(t.Context(), "v_none"); !errors.As(err, &e) || e.Status != 404 {
		t.Fatalf("%v", err)
	}
	made, err := c.Create(t.Context(), map[string]string{"city": "Bern"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.World.FailDecrypt(&upstream.Error{Code: wire.Overloaded, RetryAfter: 2 * time.Second})
	_, err = c.Decrypt(t.Context(), made.ID, client.DecryptRequest{Fields: []string{"city"}, Reason: "test"})
	if !errors.As(err, &e) || e.Status != 503 || e.Code != "overloaded" || e.RetryAfter != 2*time.Second {
		t.Fatalf("%v", err)
	}
}

func TestNoAnswerNamesNoVault(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	c, err := client.New(client.Config{URL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Get(t.Context(), "v_secret"); err == nil || strings.Contains(err.Error(), "v_secret") {
		t.Fatalf("%v", err)
	}
	for _, bad := range []string{"", "localhost:8000", "ftp://x"} {
		if _, err := client.New(client.Config{URL: bad}); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}
