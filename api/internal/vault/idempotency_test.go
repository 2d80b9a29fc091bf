package vault_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

func TestIdempotentCreateMakesOneVault(t *testing.T) {
	e := setup(t)
	req := &vault.CreateRequest{Values: map[string]string{"city": "Bern"}, IdempotencyKey: "k"}
	first, err := e.Create(t.Context(), e.caller, req)
	e.must(err)
	again, err := e.Create(t.Context(), e.caller, req)
	e.must(err)
	if again.ID != first.ID || !again.Replayed || e.world.Calls("NewKeyPair") != 1 {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	_, err = e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{"city": "Basel"}, IdempotencyKey: "k"})
	e.want(err, vault.ErrIdempotency)
	_, err = e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: req.Values, IdempotencyKey: "k", TTL: time.Hour})
	e.want(err, vault.ErrIdempotency)
	other := *e.caller
	other.Name = "key:other"
	theirs, err := e.Create(t.Context(), &other, req)
	e.must(err)
	if theirs.ID == first.ID {
		t.Fatal("two principals share a key")
	}
	e.now = e.now.Add(vault.IdempotencyTTL)
	late, err := e.Create(t.Context(), e.caller, req)
	e.must(err)
	if late.ID == first.ID || late.Replayed {
		t.Fatal("an expired key was remembered")
	}
}

func TestConcurrentIdempotentCreatesAgree(t *testing.T) {
	e := setup(t)
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			out, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{"city": "Bern"}, IdempotencyKey: "k"})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = out.ID
		})
	}
	wg.Wait()
	if slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) {
		t.Fatalf("ids %v", ids)
	}
	if list, _, _ := e.store.List(t.Context(), store.Page{}); len(list) != 1 {
		t.Fatalf("%d vaults", len(list))
	}
}

// racing is a store whose creates meet a concurrent transaction, as DynamoDB's do.
type racing struct {
	store.Store
	create func(r *store.Record) error // nil: the store's
	item   func(i *store.Idempotency)  // nil: as stored
	tried  []string
}

func (r *racing) Create(ctx context.Context, v *store.Record, e *store.Entry, i *store.Idempotency) error {
	r.tried = append(r.tried, string(v.PublicKey))
	if r.create != nil {
		if err := r.create(v); err != nil {
			return err
		}
	}
	return r.Store.Create(ctx, v, e, i)
}

func (r *racing) Idempotency(ctx context.Context, key string) (*store.Idempotency, error) {
	i, err := r.Store.Idempotency(ctx, key)
	if i != nil && r.item != nil {
		r.item(i)
	}
	return i, err
}

func race(t *testing.T) (*env, *racing) {
	t.Helper()
	r := &racing{}
	return setup(t, func(c *vault.Config) { r.Store = c.Store; c.Store = r }), r
}

func TestCreateThatMeetsAnotherIsTriedAgainSealedAfresh(t *testing.T) {
	for _, key := range []string{"k", ""} {
		e, r := race(t)
		r.create = func(*store.Record) error {
			if len(r.tried) < 3 {
				return store.ErrConflict
			}
			return nil
		}
		out, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{"city": "Bern"}, IdempotencyKey: key})
		e.must(err)
		if out.Replayed || len(r.tried) != 3 || r.tried[0] == r.tried[1] || r.tried[1] == r.tried[2] {
			t.Fatalf("%+v after %d attempts", out, len(r.tried))
		}
		e.wantLog(out.ID, "CreateVault ok ")
	}
}

func TestCreateThatMeetsOneOfItsKeyGivesThatVault(t *testing.T) {
	e, r := race(t)
	req := &vault.CreateRequest{Values: map[string]string{"city": "Bern"}, IdempotencyKey: "k"}
	var first *vault.Created
	r.create = func(*store.Record) (err error) {
		r.create = nil
		first, err = e.Create(t.Context(), e.caller, req)
		return errors.Join(err, store.ErrConflict)
	}
	out, err := e.Create(t.Context(), e.caller, req)
	e.must(err)
	if first == nil || out.ID != first.ID || !out.Replayed {
		t.Fatalf("first %+v, second %+v", first, out)
	}
}

func TestCreateThatAlwaysMeetsOthersEnds(t *testing.T) {
	e, r := race(t)
	r.create = func(*store.Record) error { return store.ErrConflict }
	_, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{IdempotencyKey: "k"})
	e.want(err, vault.ErrConflict)
	if n := len(r.tried); n < 2 || n > 10 {
		t.Fatalf("%d attempts", n)
	}
}

func TestWriterOfTheStoreCannotLeadARetryToAnotherVault(t *testing.T) {
	e, r := race(t)
	req := &vault.CreateRequest{Values: map[string]string{"city": "Bern"}, IdempotencyKey: "k"}
	first, err := e.Create(t.Context(), e.caller, req)
	e.must(err)
	other, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{Values: req.Values, IdempotencyKey: "other"})
	e.must(err)
	r.item = func(i *store.Idempotency) { i.VaultID = other.ID }
	_, err = e.Create(t.Context(), e.caller, req)
	e.want(err, vault.ErrIdempotency)
	r.item = nil
	again, err := e.Create(t.Context(), e.caller, req)
	e.must(err)
	if again.ID != first.ID {
		t.Fatalf("first %+v, again %+v", first, again)
	}
}

func TestPanicOfAWriteDoesNotKeepTheLog(t *testing.T) {
	e, r := race(t)
	r.create = func(*store.Record) error { panic("store") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = e.Create(t.Context(), e.caller, &vault.CreateRequest{})
	}()
	replaced := make(chan error, 1)
	go func() { replaced <- e.Replace(func() error { return nil }) }()
	select {
	case err := <-replaced:
		e.must(err)
	case <-time.After(10 * time.Second):
		t.Fatal("the log is still held")
	}
}
