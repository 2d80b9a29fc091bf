package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// Reference bug 5: internal attributes could be read, written and removed.
func TestReservedNamesAreOutOfReach(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"email": "a@example.com"})
	before, err := e.store.Get(t.Context(), id)
	e.must(err)
	for _, name := range []string{"_sk", "_pk", "_id", "_hs", "_v", "_kc", "_km", "_ct", "pk", "sk", "expire_at", "_x", " _SK "} {
		var p schema.FieldErrors
		if err := e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{name}}); !errors.As(err, &p) {
			t.Errorf("delete of %q: %v", name, err)
		}
		if err := e.patch(id, map[string]string{name: "x"}); !errors.As(err, &p) {
			t.Errorf("patch of %q: %v", name, err)
		}
		if _, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{name: "x"}}); !errors.As(err, &p) {
			t.Errorf("create with %q: %v", name, err)
		}
		if _, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{name}}); !errors.As(err, &p) {
			t.Errorf("decrypt of %q: %v", name, err)
		}
		if _, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Include: &[]string{name}}); !errors.As(err, &p) {
			t.Errorf("include of %q: %v", name, err)
		}
		seen, _, err := e.Presence(t.Context(), e.caller, id, []string{name})
		if err != nil || len(seen) != 0 {
			t.Errorf("presence of %q: %v, %v", name, seen, err)
		}
	}
	after, err := e.store.Get(t.Context(), id)
	e.must(err)
	if after.Modified != before.Modified || len(after.WrappedKey) == 0 {
		t.Fatal("the record changed")
	}
}

// Reference bug 20: deletes and patches of unknown vaults made ghosts.
func TestWritesToAnUnknownVaultMakeNoGhost(t *testing.T) {
	e := setup(t)
	const id = "v_unknown"
	e.want(e.patch(id, map[string]string{"city": "Bern"}), vault.ErrNotFound)
	e.want(e.patch(id, nil), vault.ErrNotFound)
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{"city"}}), vault.ErrNotFound)
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, All: true}), vault.ErrNotFound)
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id}), vault.ErrNotFound)
	if list, _, _ := e.store.List(t.Context(), store.Page{}); len(list) != 0 {
		t.Fatalf("ghosts: %v", list)
	}
	e.wantLog(id)
}

// Reference bug 15: a field that a vault does not have failed the whole request.
func TestAbsentFieldIsReportedAsAbsent(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	out, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city", "email"}})
	e.must(err)
	if string(out.Data["city"]) != `"Bern"` || string(out.Data["email"]) != "null" || len(out.Errors) != 0 ||
		!slices.Equal(out.Absent, []string{"email"}) {
		t.Fatalf("out %+v", out)
	}
	if _, sent := e.world.Last().Fields["email"]; sent {
		t.Fatal("the parent was asked for a field that is not there")
	}
	out, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"email"}})
	e.must(err)
	if string(out.Data["email"]) != "null" || e.world.Calls("Decrypt") != 1 {
		t.Fatalf("out %+v after %d calls", out, e.world.Calls("Decrypt"))
	}
}

// Reference bugs 9 and 16: failures were answered as successes and left no trace.
func TestFailedDecryptIsAnErrorAndAudited(t *testing.T) {
	for code := wire.BadRequest; int(code) < wire.Codes; code++ {
		e := setup(t)
		id := e.create(map[string]string{"city": "Bern"})
		e.world.FailDecrypt(&upstream.Error{Code: code})
		_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
		var up *upstream.Error
		if !errors.As(err, &up) || up.Code != code {
			t.Fatalf("err = %v", err)
		}
		e.wantLog(id, "CreateVault ok ", "DecryptVault failed "+code.String())
	}
}

// Reference bug 9: no caller, no expressions in the log.
func TestAuditEntrySaysWhoWhatAndWhy(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "SENTINEL"})
	_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{
		ID: id, Fields: []string{"city"}, Reason: "support call", Expressions: map[string]string{"n": "len(city)"},
	})
	e.must(err)
	list, _, err := e.Audit(t.Context(), e.caller, id, store.Page{})
	e.must(err)
	got := list[1]
	if got.Principal != "anonymous" || got.Source != "192.0.2.7" || got.RequestID != "req-1" || got.Reason != "support call" ||
		!slices.Equal(got.Expressions, []string{"n"}) || !slices.Equal(got.Fields, []string{"city"}) || got.Outcome != audit.OutcomeOK {
		t.Fatalf("entry %+v", got)
	}
	raw, _, err := e.store.Audit(t.Context(), id, store.Page{})
	e.must(err)
	for _, r := range raw {
		if text := fmt.Sprintf("%+v %s", r, r.Body); strings.Contains(text, "SENTINEL") || strings.Contains(text, "len(") {
			t.Fatal("a value or an expression's source is in the audit log")
		}
	}
}

func TestNothingIsReleasedWithoutItsAuditEntry(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	e.store.failAudit(errors.New("disk full"))
	out, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
	e.want(err, vault.ErrAudit)
	if out != nil {
		t.Fatal("values were returned")
	}
	e.world.FailDecrypt(&upstream.Error{Code: wire.KeyDenied})
	_, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
	e.want(err, vault.ErrAudit)
}

func TestRefusedAttemptsAreAudited(t *testing.T) {
	policy, err := auth.ParsePolicy([]byte(`
rules:
  - principals: ["key:support"]
    operations: [create, decrypt, read]
    fields: [city]
    decrypt_rate: {per_second: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	e := setup(t, func(c *vault.Config) { c.Policy = policy })
	e.caller.Principal = auth.Principal{Name: "key:support"}
	id := e.create(map[string]string{"city": "Bern"})
	_, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city", "email"}})
	e.want(err, auth.ErrForbidden)
	e.want(e.patch(id, map[string]string{"city": "x"}), auth.ErrForbidden)
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{"city"}}), auth.ErrForbidden)
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, All: true}), auth.ErrForbidden)
	_ = e.decrypt(id, "city")
	_, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
	var rate *vault.RateError
	if !errors.As(err, &rate) || rate.RetryAfter <= 0 || rate.RetryAfter > time.Second || vault.RetryAfter(err) != rate.RetryAfter {
		t.Fatalf("err = %v", err)
	}
	e.wantLog(id, "CreateVault ok ", "DecryptVault refused forbidden", "UpdateVault refused forbidden",
		"UpdateVault refused forbidden", "DeleteVault refused forbidden", "DecryptVault ok ", "DecryptVault refused rate_limited")
	_, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: "v_made_up", Reason: "test", Fields: []string{"email"}})
	e.want(err, auth.ErrForbidden)
	e.wantLog("v_made_up")
	_, _, err = e.List(t.Context(), e.caller, store.Page{})
	e.want(err, auth.ErrForbidden)
	_, _, err = e.Audit(t.Context(), e.caller, id, store.Page{})
	e.want(err, auth.ErrForbidden)
	e.now = e.now.Add(time.Second)
	_ = e.decrypt(id, "city")
}

func TestExpressionsBesideRequestedFieldsAndAlone(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern", "email": "a@example.com"})
	req := &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city", "email"}, Expressions: map[string]string{"n": "len(city)"}}
	out, err := e.Decrypt(t.Context(), e.caller, req)
	e.must(err)
	if string(out.Data["city"]) != `"Bern"` || string(out.Data["n"]) != "4" || len(out.Data) != 3 {
		t.Fatalf("data %s", out.Data)
	}
	req.Include = &[]string{}
	out, err = e.Decrypt(t.Context(), e.caller, req)
	e.must(err)
	if string(out.Data["n"]) != "4" || len(out.Data) != 1 {
		t.Fatalf("data %s", out.Data)
	}
	req.Expressions["bad"] = "fail"
	out, err = e.Decrypt(t.Context(), e.caller, req)
	e.must(err)
	if len(out.Errors) != 1 || !strings.HasPrefix(out.Errors[0], "[bad] ") || len(out.Data) != 1 {
		t.Fatalf("errors %v, data %s", out.Errors, out.Data)
	}
}

// Reference bug 27: the tiers' limits disagreed.
func TestLimitsOfARequest(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	cases := map[string]vault.DecryptRequest{
		"long expression":    {Expressions: map[string]string{"a": strings.Repeat("x", vault.MaxExpression+1)}},
		"name of expression": {Expressions: map[string]string{"_sk": "1"}},
		"include unrequested": {
			Fields: []string{"city"}, Include: &[]string{"email"},
		},
	}
	for name, req := range cases {
		t.Run(name, func(t *testing.T) {
			req.ID, req.Reason = id, "test"
			_, err := e.Decrypt(t.Context(), e.caller, &req)
			var p schema.FieldErrors
			if !errors.As(err, &p) {
				t.Fatalf("err = %v", err)
			}
		})
	}
}

func TestIfMatchGuardsWrites(t *testing.T) {
	e := setup(t)
	out, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{"city": "Bern"}})
	e.must(err)
	patch := func(tag string) (string, error) {
		return e.Patch(t.Context(), e.caller, &vault.PatchRequest{ID: out.ID, If: vault.Conditions{Match: []string{tag}}, Values: map[string]string{"city": "x"}})
	}
	next, err := patch(out.Tag)
	e.must(err)
	if next == out.Tag {
		t.Fatal("the tag did not change")
	}
	_, err = patch(out.Tag)
	e.want(err, vault.ErrPrecondition)
	_, err = patch("*")
	e.must(err)
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: out.ID, All: true, If: vault.Conditions{Match: []string{next}}}), vault.ErrPrecondition)
	_, tag, err := e.Presence(t.Context(), e.caller, out.ID, nil)
	e.must(err)
	e.must(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: out.ID, All: true, If: vault.Conditions{Match: []string{tag}}}))
	_, _, err = e.Presence(t.Context(), e.caller, out.ID, nil)
	e.want(err, vault.ErrNotFound)
}

func TestConcurrentPatchesLoseNone(t *testing.T) {
	e := setup(t)
	id := e.create(nil)
	names := []string{"email", "first_name", "middle_name", "last_name"}
	var wg sync.WaitGroup
	for _, n := range names {
		wg.Go(func() {
			if err := e.patch(id, map[string]string{n: n}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := e.decrypt(id, names...)
	for _, n := range names {
		if got[n] != `"`+n+`"` {
			t.Fatalf("%s was lost: %v", n, got)
		}
	}
	r, err := audit.Verify(t.Context(), e.store, e.world, nil)
	e.must(err)
	if len(r.Problems) != 0 {
		t.Fatalf("problems %v", r.Problems)
	}
}

func TestTimeToLive(t *testing.T) {
	e := setup(t)
	out, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{"city": "Bern"}, TTL: time.Hour})
	e.must(err)
	two, never := 2*time.Hour, time.Duration(0)
	_, err = e.Patch(t.Context(), e.caller, &vault.PatchRequest{ID: out.ID, TTL: &two})
	e.must(err)
	e.now = e.now.Add(time.Hour)
	_ = e.decrypt(out.ID, "city")
	forever := e.create(nil)
	_, err = e.Patch(t.Context(), e.caller, &vault.PatchRequest{ID: forever, TTL: &never})
	e.must(err)
	e.now = e.now.Add(time.Hour)
	_, err = e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: out.ID, Reason: "test", Fields: []string{"city"}})
	e.want(err, vault.ErrNotFound)
	_ = e.decrypt(forever, "city")
}

func TestDeleteOfFieldsLeavesTheRest(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern", "ssn9": "123456789"})
	e.must(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{"SSN9", "ssn9", "email"}}))
	seen, _, err := e.Presence(t.Context(), e.caller, id, []string{"ssn9", "ssn4", "city", "nope"})
	e.must(err)
	if seen["ssn9"] || seen["ssn4"] || !seen["city"] || len(seen) != 3 {
		t.Fatalf("presence %v", seen)
	}
	e.must(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id}))
	e.must(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, All: true, Fields: []string{"_sk"}}))
	e.want(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: id, All: true}), vault.ErrNotFound)
	list, _, err := e.Audit(t.Context(), e.caller, id, store.Page{})
	e.must(err)
	if len(list) != 3 || list[1].Reason != audit.ReasonRemoveFields || list[2].Name != audit.EventDelete {
		t.Fatalf("log %+v", list)
	}
}

func TestKMSFailureStoresNothing(t *testing.T) {
	e := setup(t)
	e.world.FailKMS(errors.New("down"))
	if _, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{}); err == nil {
		t.Fatal("created")
	}
	if list, _, _ := e.store.List(t.Context(), store.Page{}); len(list) != 0 {
		t.Fatalf("stored %v", list)
	}
}

// late is a parent that does not answer in time.
type late struct{}

func (late) Decrypt(ctx context.Context, _ *upstream.Request) (*upstream.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWorkThatEndsByItsDeadlineIsAudited(t *testing.T) {
	e := setup(t, func(c *vault.Config) { c.Opener = late{} })
	id := e.create(map[string]string{"city": "Bern"})
	before := len(e.entries(id))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := e.Decrypt(ctx, e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
	e.want(err, context.DeadlineExceeded)
	if after := len(e.entries(id)); after != before+1 {
		t.Errorf("%d entries more", after-before)
	}
}
