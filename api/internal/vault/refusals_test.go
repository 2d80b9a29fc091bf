package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
)

// limited is an env whose caller may create, read and update anything, and decrypt the city, once a second.
func limited(t *testing.T) *env {
	t.Helper()
	policy, err := auth.ParsePolicy([]byte(`
rules:
  - {principals: ["key:support"], operations: [create, read, update], fields: ["*"]}
  - {principals: ["key:support"], operations: [decrypt], fields: [city], decrypt_rate: {per_second: 1}}
`))
	if err != nil {
		t.Fatal(err)
	}
	e := setup(t, func(c *vault.Config) { c.Policy = policy })
	e.caller.Principal = auth.Principal{Name: "key:support"}
	return e
}

// try decrypts and returns the error.
func (e *env) try(ctx context.Context, id string, fields ...string) error {
	_, err := e.Decrypt(ctx, e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: fields})
	return err
}

func (e *env) entries(id string) []audit.Event {
	e.Helper()
	list, _, err := e.store.Audit(e.Context(), id, store.Page{Limit: store.MaxPage})
	e.must(err)
	out := make([]audit.Event, len(list))
	for i := range list {
		out[i], err = audit.Read(&list[i])
		e.must(err)
	}
	return out
}

func TestTimeToLiveIsChangedByThoseWhoMayRemoveTheVaultOnly(t *testing.T) {
	e := limited(t)
	id := e.create(map[string]string{"city": "Bern"})
	hour, never := time.Hour, time.Duration(0)
	change := func(ttl *time.Duration, values map[string]string) error {
		_, err := e.Patch(t.Context(), e.caller, &vault.PatchRequest{ID: id, TTL: ttl, Values: values})
		return err
	}
	e.want(change(&hour, nil), auth.ErrForbidden)
	e.want(change(&never, nil), auth.ErrForbidden)
	e.want(change(&hour, map[string]string{"city": "Biel"}), auth.ErrForbidden)
	e.must(change(nil, map[string]string{"state": "BE"}))
	if r, err := e.store.Get(t.Context(), id); err != nil || r.ExpireAt != 0 {
		t.Fatalf("expires at %d, %v", r.ExpireAt, err)
	}
	e.caller.Principal = auth.Principal{Name: "key:fields", Scope: &auth.Grant{
		Operations: []string{"*"}, Fields: schema.Default().Names(),
	}}
	e.want(change(&hour, nil), auth.ErrForbidden)
	e.wantLog(id, "CreateVault ok ", "UpdateVault refused forbidden", "UpdateVault refused forbidden",
		"UpdateVault refused forbidden", "UpdateVault ok ", "UpdateVault refused forbidden")
	if log := e.entries(id); log[1].Reason != audit.ReasonSetTTL || log[2].Reason != audit.ReasonRemoveTTL ||
		!slices.Equal(log[3].Fields, []string{"city"}) || log[4].Reason != "" {
		t.Fatalf("log %+v", log)
	}
}

func TestChangeOfTheTimeToLiveShowsInTheAuditLog(t *testing.T) {
	e := setup(t)
	id := e.create(nil)
	hour, never := time.Hour, time.Duration(0)
	for _, ttl := range []*time.Duration{&hour, &never} {
		_, err := e.Patch(t.Context(), e.caller, &vault.PatchRequest{ID: id, TTL: ttl})
		e.must(err)
	}
	if log := e.entries(id); len(log) != 3 || log[1].Reason != audit.ReasonSetTTL || log[2].Reason != audit.ReasonRemoveTTL {
		t.Fatalf("log %+v", log)
	}
}

func TestCallerWhoLeavesIsAuditedAllTheSame(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	e := limited(t)
	id := e.create(map[string]string{"city": "Bern"})
	e.want(e.try(gone, id, "email"), auth.ErrForbidden)
	e.must(e.try(t.Context(), id, "city"))
	var rate *vault.RateError
	if err := e.try(gone, id, "city"); !errors.As(err, &rate) {
		t.Fatalf("err = %v", err)
	}
	var invalid schema.FieldErrors
	if err := e.try(gone, id, "_sk"); !errors.As(err, &invalid) {
		t.Fatalf("err = %v", err)
	}
	e.wantLog(id, "CreateVault ok ", "DecryptVault refused forbidden", "DecryptVault ok ",
		"DecryptVault refused rate_limited", "DecryptVault refused invalid_request")
}

// leaving is an opener whose caller goes away while it opens.
type leaving struct {
	vault.Opener
	leave func()
	err   error
}

func (l *leaving) Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error) {
	out, err := l.Opener.Decrypt(ctx, r)
	l.leave()
	return out, errors.Join(err, l.err)
}

func TestCallerWhoLeavesDuringADecryptIsAuditedAllTheSame(t *testing.T) {
	l := &leaving{}
	e := setup(t, func(c *vault.Config) { l.Opener = c.Opener; c.Opener = l })
	id := e.create(map[string]string{"city": "Bern"})
	for _, err := range []error{nil, &upstream.Error{Code: wire.DeadlineExceeded}} {
		var ctx context.Context
		ctx, l.leave = context.WithCancel(t.Context())
		l.err = err
		e.want(e.try(ctx, id, "city"), err)
	}
	e.wantLog(id, "CreateVault ok ", "DecryptVault ok ", "DecryptVault failed canceled")
}

func TestInvalidRequestsForExistingVaultsAreAudited(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	invalid := func(err error) {
		t.Helper()
		var p schema.FieldErrors
		if !errors.As(err, &p) {
			t.Fatalf("err = %v", err)
		}
	}
	const sentinel = "SENTINEL"
	invalid(e.try(t.Context(), id, "_sk", "city", sentinel, "_sentinel"))
	_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{
		ID: id, Reason: "test", Include: &[]string{"_pk"}, Expressions: map[string]string{"_hs": "1", "n": "1", "": "1"},
	})
	invalid(err)
	invalid(e.patch(id, map[string]string{"_sk": "x", sentinel: "y", "state": "BE"}))
	invalid(e.patch(id, map[string]string{"country": "SENTINEL"}))
	invalid(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{"_sk", sentinel}}))
	want := []audit.Event{
		{Name: audit.EventDecrypt, Fields: []string{"_sk", "city"}, Reason: "test"},
		{Name: audit.EventDecrypt, Fields: []string{"_pk"}, Expressions: []string{"n"}, Reason: "test"},
		{Name: audit.EventUpdate, Fields: []string{"_sk", "state"}},
		{Name: audit.EventUpdate, Fields: []string{"country"}},
		{Name: audit.EventUpdate, Fields: []string{"_sk"}, Reason: audit.ReasonRemoveFields},
	}
	log := e.entries(id)[1:]
	for i, got := range log {
		if got.Name != want[i].Name || got.Outcome != audit.OutcomeRefused || got.Code != "invalid_request" || got.Reason != want[i].Reason ||
			!slices.Equal(got.Fields, want[i].Fields) || !slices.Equal(got.Expressions, want[i].Expressions) {
			t.Errorf("entry %d: %+v", i, got)
		}
	}
	if len(log) != len(want) {
		t.Fatalf("%d entries", len(log))
	}
	invalid(e.try(t.Context(), "v_made_up", "_sk"))
	e.wantLog("v_made_up")
}

func TestEqualRefusalsAreWrittenOnceAMinuteAndCounted(t *testing.T) {
	e := limited(t)
	id := e.create(map[string]string{"city": "Bern"})
	gets := e.store.gets
	for range 50 {
		e.want(e.try(t.Context(), id, "email"), auth.ErrForbidden)
	}
	e.must(e.try(t.Context(), id, "city"))
	for range 50 {
		if err := e.try(t.Context(), id, "city"); vault.RetryAfter(err) == 0 {
			t.Fatalf("err = %v", err)
		}
	}
	if n := e.store.gets - gets; n != 3 {
		t.Fatalf("%d reads of the record for two refusals and one decrypt", n)
	}
	e.want(e.try(t.Context(), id, "ssn9"), auth.ErrForbidden) // another field is another refusal
	e.now = e.now.Add(time.Minute)
	e.want(e.try(t.Context(), id, "email"), auth.ErrForbidden)
	e.wantLog(id, "CreateVault ok ", "DecryptVault refused forbidden", "DecryptVault ok ",
		"DecryptVault refused rate_limited", "DecryptVault refused forbidden", "DecryptVault refused forbidden")
	if log := e.entries(id); log[1].Omitted != 0 || log[5].Omitted != 49 {
		t.Fatalf("log %+v", log)
	}
}

func TestForbiddenAttemptsAreLimitedPerPrincipal(t *testing.T) {
	e := limited(t)
	id := e.create(map[string]string{"city": "Bern"})
	gets := e.store.gets
	late := 0
	for i := range 200 {
		err := e.try(t.Context(), fmt.Sprintf("v_made_up_%d", i), "email")
		if wait := vault.RetryAfter(err); wait > 0 && wait <= time.Second {
			late++
			continue
		}
		e.want(err, auth.ErrForbidden)
	}
	if read := e.store.gets - gets; late != 140 || read != 60 {
		t.Fatalf("%d of 200 were told to wait, %d reads", late, read)
	}
	e.wantLog(id, "CreateVault ok ")
	e.must(e.try(t.Context(), id, "city")) // what is allowed is not in the way
	e.now = e.now.Add(time.Second)
	e.want(e.try(t.Context(), id, "email"), auth.ErrForbidden)
	if log := e.entries(id); len(log) != 3 || log[2].Omitted != 140 {
		t.Fatalf("log %+v", log)
	}
}

func TestRefusalThatCouldNotBeWrittenIsDueAgain(t *testing.T) {
	e := limited(t)
	id := e.create(nil)
	e.store.failAudit(errors.New("disk full"))
	for range 2 {
		e.want(e.try(t.Context(), id, "email"), vault.ErrAudit)
	}
	e.store.failAudit(nil)
	e.want(e.try(t.Context(), id, "email"), auth.ErrForbidden)
	if log := e.entries(id); len(log) != 2 || log[1].Omitted != 2 {
		t.Fatalf("log %+v", log)
	}
}

func TestExpressionThatFailsIsAuditedAsThat(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{
		ID: id, Reason: "test", Fields: []string{"city"}, Expressions: map[string]string{"bad": "fail"},
	})
	e.must(err)
	e.wantLog(id, "CreateVault ok ", "DecryptVault partial expression_failed")
	r, err := e.store.Get(t.Context(), id)
	e.must(err)
	e.must(e.store.Update(t.Context(), &store.Update{
		ID: id, Revision: r.Modified, Modified: r.Modified + 1, Set: map[string]store.Value{"email": r.Fields["city"]},
	}, nil))
	_, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{
		ID: id, Reason: "test", Fields: []string{"city", "email"}, Expressions: map[string]string{"bad": "fail"},
	})
	e.must(err)
	e.wantLog(id, "CreateVault ok ", "DecryptVault partial expression_failed", "DecryptVault partial decrypt_failed")
}

func TestExpressionsMayHaveAnyNameThatTheParentTakes(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	names := map[string]string{"_x": "1", "über 18?": "1", "0": "1", fmt.Sprintf("%0256d", 1): "1", "city2": "1"}
	out, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Expressions: names})
	e.must(err)
	if len(out.Data) != len(names) {
		t.Fatalf("data %s", out.Data)
	}
	for _, bad := range []string{"", fmt.Sprintf("%0257d", 1), "_sk", "pk", "expire_at"} {
		_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Expressions: map[string]string{bad: "1"}})
		var p schema.FieldErrors
		if !errors.As(err, &p) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestFieldThatLeftTheSchemaCanBeRemoved(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	r, err := e.store.Get(t.Context(), id)
	e.must(err)
	e.must(e.store.Update(t.Context(), &store.Update{
		ID: id, Revision: r.Modified, Modified: r.Modified + 1, Set: map[string]store.Value{"nickname": r.Fields["city"]},
	}, nil))
	e.must(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{"nickname", "never_there"}}))
	r, err = e.store.Get(t.Context(), id)
	e.must(err)
	if _, ok := r.Fields["nickname"]; ok || len(r.Fields) != 1 {
		t.Fatalf("fields %v", r.Fields)
	}
	if log := e.entries(id); !slices.Equal(log[1].Fields, []string{"nickname"}) {
		t.Fatalf("an entry names what was not there: %+v", log[1])
	}
}
