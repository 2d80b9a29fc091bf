package vault_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
)

// faulty is a store that heeds contexts, as DynamoDB does, and whose audit writes can be made to fail.
type faulty struct {
	store.Store
	mu    sync.Mutex
	audit error
	gets  int
}

func (f *faulty) Get(ctx context.Context, id string) (*store.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.gets++
	f.mu.Unlock()
	return f.Store.Get(ctx, id)
}

func (f *faulty) LastAudit(ctx context.Context, id string) (*store.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.Store.LastAudit(ctx, id)
}

func (f *faulty) failAudit(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audit = err
}

func (f *faulty) AppendAudit(ctx context.Context, e *store.Entry) error {
	f.mu.Lock()
	err := f.audit
	f.mu.Unlock()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return f.Store.AppendAudit(ctx, e)
}

type env struct {
	*testing.T
	*vault.Service
	store  *faulty
	world  *apitest.World
	caller *vault.Caller
	now    time.Time
}

func setup(t *testing.T, change ...func(*vault.Config)) *env {
	t.Helper()
	e := &env{T: t, world: apitest.NewWorld(), now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return e.now }
	db, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	e.store = &faulty{Store: db}
	cfg := vault.Config{
		Store: e.store, Keys: e.world, Opener: e.world, Schema: schema.Default(), Suite: sealed.P256,
		Encoding: sealed.EncodingRecord, Now: clock,
	}
	for _, f := range change {
		f(&cfg)
	}
	if e.Service, err = vault.New(cfg); err != nil {
		t.Fatal(err)
	}
	e.caller = &vault.Caller{Principal: auth.Anonymous(), Source: "192.0.2.7", RequestID: "req-1"}
	return e
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

func (e *env) want(err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Fatalf("err = %v, want %v", err, target)
	}
}

func (e *env) create(values map[string]string) string {
	e.Helper()
	out, err := e.Create(e.Context(), e.caller, &vault.CreateRequest{Values: values})
	e.must(err)
	return out.ID
}

func (e *env) decrypt(id string, fields ...string) map[string]string {
	e.Helper()
	out, err := e.Decrypt(e.Context(), e.caller, &vault.DecryptRequest{ID: id, Fields: fields, Reason: "test"})
	e.must(err)
	got := map[string]string{}
	for n, v := range out.Data {
		got[n] = string(v)
	}
	return got
}

func (e *env) patch(id string, values map[string]string) error {
	_, err := e.Patch(e.Context(), e.caller, &vault.PatchRequest{ID: id, Values: values})
	return err
}

func (e *env) log(id string) []string {
	e.Helper()
	list, _, err := e.store.Audit(e.Context(), id, store.Page{})
	e.must(err)
	out := make([]string, len(list))
	for i := range list {
		ev, err := audit.Read(&list[i])
		e.must(err)
		out[i] = ev.Name + " " + ev.Outcome + " " + ev.Code
	}
	return out
}

func (e *env) wantLog(id string, want ...string) {
	e.Helper()
	if got := e.log(id); !slices.Equal(got, want) {
		e.Fatalf("audit log %q, want %q", got, want)
	}
}

// legacy stores a record as the reference would have.
func (e *env) legacy(id string, encoding int, values map[string]string) *store.Record {
	e.Helper()
	public, wrapped, err := e.world.NewKeyPair(e.Context(), sealed.P384, nil)
	e.must(err)
	key, err := sealed.ParsePublicKey(sealed.P384, public)
	e.must(err)
	plain := map[string][]byte{}
	for n, v := range values {
		plain[n] = []byte(v)
	}
	blobs, err := sealed.SealFields(sealed.P384, key, id, plain)
	e.must(err)
	suite := sealed.P384.ID()
	r := &store.Record{
		ID: id, Encoding: encoding, Suite: suite[:], WrappedKey: wrapped, PublicKey: public,
		Created: 1, Modified: 1, Fields: map[string]store.Value{},
	}
	for n, b := range blobs {
		r.Fields[n] = store.Value{Blob: b}
		if encoding == store.EncodingHex {
			r.Fields[n] = store.Value{Blob: hexBlob(b, sealed.P384.EncSize()), Text: true}
		}
	}
	e.must(e.store.Create(e.Context(), r, nil, nil))
	return r
}

func hexBlob(b []byte, enc int) []byte {
	const digits = "0123456789abcdef"
	var out []byte
	for i, c := range b {
		if i == enc {
			out = append(out, '#')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return out
}

func TestRecordIsSealedStoredAndOpened(t *testing.T) {
	for _, encoding := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		for _, suite := range sealed.Suites() {
			e := setup(t, func(c *vault.Config) { c.Encoding, c.Suite = encoding, suite })
			id := e.create(map[string]string{"email": "a@example.com", "ssn9": " 123456789 "})
			got := e.decrypt(id, "email", "SSN9", "ssn4")
			want := map[string]string{"email": `"a@example.com"`, "ssn9": `"123456789"`, "ssn4": `"6789"`}
			if !maps.Equal(got, want) {
				t.Fatalf("got %v", got)
			}
			r, err := e.store.Get(t.Context(), id)
			e.must(err)
			if r.Encoding != int(encoding) || !r.KeyContext || len(r.KeyMAC) == 0 {
				t.Fatalf("record %+v", r)
			}
			for n, v := range r.Fields {
				if strings.Contains(string(v.Blob), "example") || strings.Contains(string(v.Blob), "123456789") {
					t.Fatalf("%s is stored in the clear", n)
				}
			}
			e.wantLog(id, "CreateVault ok ", "DecryptVault ok ")
		}
	}
}

func TestPatchKeepsEncodingAndOtherFields(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"email": "old@example.com", "city": "Bern"})
	e.must(e.patch(id, map[string]string{"email": "new@example.com", "state": "BE"}))
	got := e.decrypt(id, "email", "city", "state")
	if got["email"] != `"new@example.com"` || got["city"] != `"Bern"` || got["state"] != `"BE"` {
		t.Fatalf("got %v", got)
	}
	e.wantLog(id, "CreateVault ok ", "UpdateVault ok ", "DecryptVault ok ")
}

// Reference bug 19: a PATCH of an encoding-1 record left it unreadable.
func TestPatchOfALegacyHexRecordLeavesEveryFieldReadable(t *testing.T) {
	e := setup(t, func(c *vault.Config) { c.Cutover = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC) })
	id := pksuid.New("v", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	e.legacy(id, store.EncodingHex, map[string]string{"email": "old@example.com", "city": "Bern"})
	if got := e.decrypt(id, "email", "city"); got["email"] != `"old@example.com"` || got["city"] != `"Bern"` {
		t.Fatalf("before: %v", got)
	}
	e.must(e.patch(id, map[string]string{"city": "Basel"}))
	got := e.decrypt(id, "email", "city")
	if got["email"] != `"old@example.com"` || got["city"] != `"Basel"` {
		t.Fatalf("after: %v", got)
	}
	r, err := e.store.Get(t.Context(), id)
	e.must(err)
	for n, v := range r.Fields {
		if v.Text || r.Encoding != store.EncodingBinary {
			t.Fatalf("%s is text in a record of encoding %d", n, r.Encoding)
		}
	}
}

func TestRecordThatTheReferenceLeftMixedOpensAndIsMended(t *testing.T) {
	e := setup(t, func(c *vault.Config) { c.Cutover = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC) })
	id := pksuid.New("v", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	r := e.legacy(id, store.EncodingHex, map[string]string{"email": "a@example.com", "city": "Bern"})
	binary, err := sealed.AppendHex(nil, sealed.P384, r.Fields["city"].Blob)
	e.must(err)
	e.must(e.store.Update(t.Context(), &store.Update{
		ID: id, Revision: 1, Modified: 2,
		Set: map[string]store.Value{"city": {Blob: binary}, "state": {Blob: []byte("04#zz"), Text: true}},
	}, nil))
	out, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"email", "city", "state"}})
	e.must(err)
	if string(out.Data["email"]) != `"a@example.com"` || string(out.Data["city"]) != `"Bern"` ||
		string(out.Data["state"]) != "null" || len(out.Errors) != 1 || !strings.HasPrefix(out.Errors[0], "[state] ") {
		t.Fatalf("data %s, errors %v", out.Data, out.Errors)
	}
	e.must(e.patch(id, map[string]string{"country": "CH"}))
	if got := e.decrypt(id, "email", "city", "country"); got["email"] != `"a@example.com"` || got["country"] != `"CH"` {
		t.Fatalf("after: %v", got)
	}
}

func TestPatchOfALegacyBinaryRecordKeepsEncoding2(t *testing.T) {
	e := setup(t, func(c *vault.Config) { c.Cutover = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC) })
	id := pksuid.New("v", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	e.legacy(id, store.EncodingBinary, map[string]string{"email": "a@example.com"})
	e.must(e.patch(id, map[string]string{"ssn9": "123456789"}))
	got := e.decrypt(id, "email", "ssn9", "ssn4")
	if got["email"] != `"a@example.com"` || got["ssn4"] != `"6789"` {
		t.Fatalf("got %v", got)
	}
	if r, _ := e.store.Get(t.Context(), id); r.Encoding != store.EncodingBinary || r.KeyContext {
		t.Fatalf("encoding %d, context %v", r.Encoding, r.KeyContext)
	}
}

// Reference bug 6: a public key put into the store caught later writes.
func TestSwappedPublicKeyCatchesNoWrite(t *testing.T) {
	swaps := map[string]func(e *env, r *store.Record, other *store.Record){
		"key":                func(_ *env, r, o *store.Record) { r.PublicKey = o.PublicKey },
		"key and mac":        func(_ *env, r, o *store.Record) { r.PublicKey, r.KeyMAC = o.PublicKey, o.KeyMAC },
		"key, mac removed":   func(_ *env, r, o *store.Record) { r.PublicKey, r.KeyMAC = o.PublicKey, nil },
		"mac removed":        func(_ *env, r, _ *store.Record) { r.KeyMAC = nil },
		"mac and time moved": func(_ *env, r, _ *store.Record) { r.KeyMAC, r.Created = nil, 1 },
		"suite":              func(_ *env, r, _ *store.Record) { id := sealed.P384.ID(); r.Suite = id[:] },
	}
	for name, swap := range swaps {
		t.Run(name, func(t *testing.T) {
			e := setup(t, func(c *vault.Config) { c.Cutover = time.Date(2026, 5, 31, 0, 0, 0, 0, time.UTC) })
			id, foe := e.create(map[string]string{"city": "Bern"}), e.create(nil)
			e.must(e.patch(id, map[string]string{"city": "Biel"})) // the genuine key is remembered as verified
			r, err := e.store.Get(t.Context(), id)
			e.must(err)
			other, err := e.store.Get(t.Context(), foe)
			e.must(err)
			revision := r.Modified
			swap(e, r, other)
			e.must(e.store.Delete(t.Context(), id, revision, nil))
			e.must(e.store.Create(t.Context(), r, nil, nil))
			e.want(e.patch(id, map[string]string{"email": "secret@example.com"}), vault.ErrKeyUnverified)
			after, err := e.store.Get(t.Context(), id)
			e.must(err)
			if _, ok := after.Fields["email"]; ok {
				t.Fatal("the value was written")
			}
			if log := e.log(id); log[len(log)-1] != "UpdateVault failed key_unverified" {
				t.Fatalf("audit log %v", log)
			}
		})
	}
}

func TestLegacyRecordTakesWritesOnlyBeforeTheCutover(t *testing.T) {
	cutover := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		id      string
		cutover time.Time
		ok      bool
	}{
		"before":            {pksuid.New("v", cutover.Add(-time.Second)), cutover, true},
		"at":                {pksuid.New("v", cutover), cutover, false},
		"after":             {pksuid.New("v", cutover.Add(time.Hour)), cutover, false},
		"no cut-over":       {pksuid.New("v", cutover.Add(-time.Hour)), time.Time{}, false},
		"id without a time": {"v_01ARZ3NDEKTSV4RRFFQ69G5FAV", cutover, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := setup(t, func(cfg *vault.Config) { cfg.Cutover = c.cutover })
			e.legacy(c.id, store.EncodingBinary, map[string]string{"email": "a@example.com"})
			err := e.patch(c.id, map[string]string{"city": "Bern"})
			if c.ok != (err == nil) || err != nil && !errors.Is(err, vault.ErrKeyUnverified) {
				t.Fatalf("err = %v", err)
			}
			if got := e.decrypt(c.id, "email"); got["email"] != `"a@example.com"` {
				t.Fatal("a legacy record must stay readable")
			}
		})
	}
}

func TestCutoverThatLiesAheadIsRefused(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	world := apitest.NewWorld()
	for cutover, want := range map[time.Time]error{now: nil, now.Add(time.Second): vault.ErrCutover} {
		_, err := vault.New(vault.Config{
			Store: &faulty{}, Keys: world, Opener: world, Schema: schema.Default(), Suite: sealed.P256,
			Encoding: sealed.EncodingRecord, Cutover: cutover, Now: func() time.Time { return now },
		})
		if !errors.Is(err, want) {
			t.Errorf("%v: %v", cutover, err)
		}
	}
}

func TestVerifiedKeyIsRemembered(t *testing.T) {
	e := setup(t)
	id := e.create(nil)
	for range 3 {
		e.must(e.patch(id, map[string]string{"city": "Bern"}))
	}
	if n := e.world.Calls("VerifyMAC"); n != 1 {
		t.Fatalf("%d calls of VerifyMac for three writes", n)
	}
}

func TestKeyOfOneVaultDoesNotServeAnother(t *testing.T) {
	e := setup(t)
	a, b := e.create(map[string]string{"city": "Bern"}), e.create(map[string]string{"city": "Basel"})
	ra, err := e.store.Get(t.Context(), a)
	e.must(err)
	rb, err := e.store.Get(t.Context(), b)
	e.must(err)
	ra.WrappedKey, ra.Fields = rb.WrappedKey, rb.Fields
	e.must(e.store.Delete(t.Context(), a, ra.Modified, nil))
	e.must(e.store.Create(t.Context(), ra, nil, nil))
	if _, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: a, Reason: "test", Fields: []string{"city"}}); err == nil {
		t.Fatal("another vault's fields were opened")
	}
	e.wantLog(a, "CreateVault ok ", "DecryptVault failed key_denied")
}
