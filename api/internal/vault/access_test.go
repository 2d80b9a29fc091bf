package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/sealed"
)

// opened decrypts and returns the last entry of the log.
func (e *env) opened(req *vault.DecryptRequest) vault.AuditEntry {
	e.Helper()
	_, err := e.Decrypt(e.Context(), e.caller, req)
	e.must(err)
	list, _, err := e.Audit(e.Context(), e.caller, req.ID, store.Page{Limit: store.MaxPage})
	e.must(err)
	return list[len(list)-1]
}

// told shows what an entry tells of releases: "released [city]; n reads [city] raw []".
func told(entry *vault.AuditEntry) string {
	text := fmt.Sprint("released ", entry.Released)
	for i, a := range entry.Access {
		text += fmt.Sprint("; ", entry.Expressions[i], " reads ", a.Reads, " raw ", a.Raw)
		if a.Unknown {
			text += " unknown"
		}
	}
	return text
}

func TestTheAuditTellsARawReleaseFromAReducedOne(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern", "email": "a@b.ch"})
	for source, access := range map[string]string{"city": "n reads [city] raw [city]", "len(city)": "n reads [city] raw []"} {
		for _, tc := range []struct {
			include *[]string
			compat  bool
			want    string
		}{
			{nil, false, "released [city email]"},
			{&[]string{}, false, "released []"},
			{&[]string{"email"}, false, "released [email]"},
			{&[]string{}, true, "released [city email]"}, // compat shows all
		} {
			got := e.opened(&vault.DecryptRequest{
				ID: id, Reason: "test", Fields: []string{"city", "email"}, Include: tc.include, Compat: tc.compat,
				Expressions: map[string]string{"n": source},
			})
			if want := tc.want + "; " + access; told(&got) != want {
				t.Errorf("%s: %s, want %s", source, told(&got), want)
			}
		}
	}
	for name, tc := range map[string]struct {
		req  vault.DecryptRequest
		want string
	}{
		"no expressions":  {vault.DecryptRequest{Fields: []string{"city"}}, "released [city]"},
		"an absent field": {vault.DecryptRequest{Fields: []string{"dob"}}, "released []"},
		"an expression instead of its field": {
			vault.DecryptRequest{Fields: []string{"city"}, Expressions: map[string]string{"city": "len(city)"}},
			"released []; city reads [city] raw []",
		},
	} {
		tc.req.ID, tc.req.Reason = id, "test"
		if got := e.opened(&tc.req); told(&got) != tc.want {
			t.Errorf("%s: %s, want %s", name, told(&got), tc.want)
		}
	}
}

// TestWithoutAReportEveryFieldCountsAsRaw: nor with one that does not fit the request, or not all of it.
func TestWithoutAReportEveryFieldCountsAsRaw(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern", "email": "a@b.ch"})
	req := &vault.DecryptRequest{
		ID: id, Reason: "test", Fields: []string{"city", "email"}, Include: &[]string{},
		Expressions: map[string]string{"a": "len(city)", "b": "len(email)"},
	}
	const unknown = " reads [city email] raw [city email] unknown"
	for name, tc := range map[string]struct {
		report map[string]upstream.Access
		want   string
	}{
		"none":               {nil, "released []; a" + unknown + "; b" + unknown},
		"of another":         {map[string]upstream.Access{"c": {}}, "released []; a" + unknown + "; b" + unknown},
		"of one":             {map[string]upstream.Access{"b": {}}, "released []; a" + unknown + "; b reads [] raw []"},
		"of another's field": {map[string]upstream.Access{"a": {Reads: []string{"dob"}}, "b": {}}, "released []; a" + unknown + "; b reads [] raw []"},
		"raw and not read":   {map[string]upstream.Access{"a": {Raw: []string{"city"}}, "b": {}}, "released []; a" + unknown + "; b reads [] raw []"},
		"without end": {
			map[string]upstream.Access{"a": {Reads: slices.Repeat([]string{"city"}, 5)}, "b": {}},
			"released []; a" + unknown + "; b reads [] raw []",
		},
	} {
		e.world.Report(tc.report)
		if got := e.opened(req); told(&got) != tc.want {
			t.Errorf("%s: %s, want %s", name, told(&got), tc.want)
		}
	}
}

func TestSourcesAreToldApartByAKeyedHash(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	asked := e.world.Calls("MAC")
	hash := func(name, source string) []byte {
		got := e.opened(&vault.DecryptRequest{ID: id, Reason: "test", Expressions: map[string]string{name: source}})
		return got.Access[0].SourceMAC
	}
	one, again, other := hash("a", "'SENTINEL'"), hash("b", "'SENTINEL'"), hash("a", "'SENTINEL '")
	if len(one) != 32 || !bytes.Equal(one, again) || bytes.Equal(one, other) {
		t.Errorf("%x, %x, %x", one, again, other)
	}
	if n := e.world.Calls("MAC") - asked; n != 1 {
		t.Errorf("KMS was asked %d times for one key", n)
	}
	second := setup(t) // another key of KMS
	id = second.create(map[string]string{"city": "Bern"})
	got := second.opened(&vault.DecryptRequest{ID: id, Reason: "test", Expressions: map[string]string{"a": "'SENTINEL'"}})
	if bytes.Equal(got.Access[0].SourceMAC, one) {
		t.Error("the hash does not depend on the key")
	}
}

// TestNoKeyForSourcesNoExpressions: nothing is opened, the attempt is in the log, and plain reads go on.
func TestNoKeyForSourcesNoExpressions(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	e.world.FailKMS(kmsclient.ErrUnavailable)
	req := &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}, Expressions: map[string]string{"n": "len(city)"}}
	if _, err := e.Decrypt(t.Context(), e.caller, req); !errors.Is(err, kmsclient.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	if n := e.world.Calls("Decrypt"); n != 0 {
		t.Errorf("the parent was asked %d times", n)
	}
	_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
	e.must(err)
	e.world.FailKMS(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := e.Decrypt(t.Context(), e.caller, req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, _, err := e.Audit(t.Context(), e.caller, id, store.Page{})
	e.must(err)
	failed := slices.IndexFunc(list, func(entry vault.AuditEntry) bool { return entry.Outcome == audit.OutcomeFailed })
	if failed < 0 || list[failed].Released != nil || list[failed].Access != nil {
		t.Errorf("entries %+v", list)
	}
}

// answers is a parent that always says the same.
type answers struct{ result upstream.Result }

func (a answers) Decrypt(context.Context, *upstream.Request) (*upstream.Result, error) {
	out := a.result
	return &out, nil
}

// TestReleasedIsWhatIsInTheAnswer: not what was asked for. Null is no value, a sealed one is.
func TestReleasedIsWhatIsInTheAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		result upstream.Result
		want   string
	}{
		"one failed": {upstream.Result{
			Fields: map[string]json.RawMessage{"city": json.RawMessage("null"), "email": json.RawMessage(`"a@b.ch"`)},
			Errors: map[string]upstream.FieldError{"city": {Code: "decrypt_failed"}},
		}, "released [email]"},
		"sealed": {upstream.Result{
			Fields: map[string]json.RawMessage{}, Sealed: map[string]string{"city": "AQ=="},
		}, "released [city]"},
		"more than was asked for": {upstream.Result{
			Fields: map[string]json.RawMessage{"city": json.RawMessage(`"Bern"`), "email": json.RawMessage(`""`)},
		}, "released [city email]"},
	} {
		e := setup(t, func(c *vault.Config) { c.Opener = answers{tc.result} })
		id := e.create(map[string]string{"city": "Bern", "email": "a@b.ch"})
		got := e.opened(&vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city", "email"}, Include: &[]string{"city"}})
		if told(&got) != tc.want {
			t.Errorf("%s: %s, want %s", name, told(&got), tc.want)
		}
	}
}

// TestWithoutTheLogsKeyNothingIsReleased: a process whose KMS was away from its start on opens nothing, and does once KMS
// is back.
func TestWithoutTheLogsKeyNothingIsReleased(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	before := e.entries(id)
	restarted, err := vault.New(vault.Config{
		Store: e.store, Keys: e.world, Opener: e.world, Schema: e.Schema(), Suite: sealed.P256, Encoding: sealed.EncodingRecord,
	})
	e.must(err)
	e.world.FailKMS(kmsclient.ErrUnavailable)
	out, err := restarted.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: "test"})
	if out != nil {
		t.Error("data left without an entry")
	}
	e.want(err, vault.ErrAudit)
	e.want(restarted.Ready(t.Context()), kmsclient.ErrUnavailable)
	e.want(restarted.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, All: true}), vault.ErrAudit)
	if after := e.entries(id); len(after) != len(before) {
		t.Errorf("%d entries", len(after))
	}
	e.world.FailKMS(nil)
	e.must(restarted.Ready(t.Context()))
	_, err = restarted.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: "test"})
	e.must(err)
	e.must(restarted.Close(t.Context()))
	_, err = restarted.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: "test"})
	e.want(err, vault.ErrAudit)
}
