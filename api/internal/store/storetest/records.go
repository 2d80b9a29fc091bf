package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"redoubt/api/internal/store"
)

func roundTrip(e *env) {
	want := record("v_1")
	e.must(e.s.Create(e.ctx(), want, e.entry("v_1", "CreateVault"), nil))
	got, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if !sameRecord(got, want) {
		e.Fatalf("got  %#v\nwant %#v", got, want)
	}
	_, err = e.s.Get(e.ctx(), "v_2")
	e.want(err, store.ErrNotFound)
	e.must(e.s.Ping(e.ctx()))
}

func createTwice(e *env) {
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil))
	second := record("v_1")
	second.PublicKey = []byte("other")
	e.want(e.s.Create(e.ctx(), second, e.entry("v_1", "CreateVault"), nil), store.ErrExists)
	got, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if string(got.PublicKey) != "public-v_1" {
		e.Fatal("the first record was replaced")
	}
}

func idempotentCreate(e *env) {
	item := &store.Idempotency{Key: "k", MAC: []byte("m"), VaultID: "v_1", ExpireAt: Start + 60}
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), item))
	got, err := e.s.Idempotency(e.ctx(), "k")
	e.must(err)
	if got.VaultID != "v_1" || string(got.MAC) != "m" || got.ExpireAt != item.ExpireAt || got.Key != "k" {
		e.Fatalf("got %#v", got)
	}
	again := &store.Idempotency{Key: "k", MAC: []byte("m"), VaultID: "v_2", ExpireAt: Start + 60}
	e.want(e.s.Create(e.ctx(), record("v_2"), e.entry("v_2", "CreateVault"), again), store.ErrExists)
	_, err = e.s.Get(e.ctx(), "v_2")
	e.want(err, store.ErrNotFound)
	_, err = e.s.Idempotency(e.ctx(), "other")
	e.want(err, store.ErrNotFound)
}

func idempotencyExpiry(e *env) {
	item := &store.Idempotency{Key: "k", MAC: []byte("m"), VaultID: "v_1", ExpireAt: Start + 60}
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), item))
	e.clock.Set(Start + 60)
	_, err := e.s.Idempotency(e.ctx(), "k")
	e.want(err, store.ErrNotFound)
	item = &store.Idempotency{Key: "k", MAC: []byte("m2"), VaultID: "v_2", ExpireAt: Start + 120}
	e.must(e.s.Create(e.ctx(), record("v_2"), e.entry("v_2", "CreateVault"), item))
	got, err := e.s.Idempotency(e.ctx(), "k")
	e.must(err)
	if got.VaultID != "v_2" {
		e.Fatalf("got %#v", got)
	}
}

func update(e *env) {
	r := record("v_1")
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	e.must(e.s.Update(e.ctx(), &store.Update{
		ID: "v_1", Revision: r.Modified, Modified: r.Modified + 5, Encoding: store.EncodingBinary,
		Set:    map[string]store.Value{"city": {Blob: []byte{4, 1}}},
		Remove: []string{"ssn9", "never_there"},
	}, e.entry("v_1", "UpdateVault")))
	got, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	r.Modified += 5
	r.Encoding = store.EncodingBinary
	delete(r.Fields, "ssn9")
	r.Fields["city"] = store.Value{Blob: []byte{4, 1}}
	if !sameRecord(got, r) {
		e.Fatalf("got  %#v\nwant %#v", got, r)
	}
	if n := len(e.audit("v_1")); n != 2 {
		e.Fatalf("%d audit entries, want 2", n)
	}
}

func ownFields(e *env) {
	r := record("v_1")
	r.Own = []string{"bin", "ssn4"}
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	for _, next := range []*[]string{nil, {"bin"}, {}, nil, {"ssn4"}} {
		got, err := e.s.Get(e.ctx(), "v_1")
		e.must(err)
		if !sameRecord(got, r) {
			e.Fatalf("got  %#v\nwant %#v", got, r)
		}
		u := &store.Update{ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Own: next}
		e.must(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")))
		if r.Modified++; next != nil {
			r.Own = append([]string(nil), *next...)
		}
	}
}

func updateUnknown(e *env) {
	u := &store.Update{ID: "v_none", Revision: 1, Modified: 2, Remove: []string{"email"}}
	e.want(e.s.Update(e.ctx(), u, e.entry("v_none", "UpdateVault")), store.ErrNotFound)
	_, err := e.s.Get(e.ctx(), "v_none")
	e.want(err, store.ErrNotFound)
	e.want(e.s.Delete(e.ctx(), "v_none", 1, e.entry("v_none", "DeleteVault")), store.ErrNotFound)
	if n := len(e.audit("v_none")); n != 0 {
		e.Fatalf("%d audit entries for writes that did not happen", n)
	}
}

func staleRevision(e *env) {
	r := record("v_1")
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	u := &store.Update{
		ID: "v_1", Revision: r.Modified - 1, Modified: r.Modified + 1,
		Set: map[string]store.Value{"email": {Blob: []byte("new")}},
	}
	e.want(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")), store.ErrConflict)
	e.want(e.s.Delete(e.ctx(), "v_1", r.Modified+1, e.entry("v_1", "DeleteVault")), store.ErrConflict)
	got, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if !sameRecord(got, r) {
		e.Fatal("a refused write changed the record")
	}
}

func deleteRecord(e *env) {
	r := record("v_1")
	r.ExpireAt = Start + 50
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	e.must(e.s.Delete(e.ctx(), "v_1", r.Modified, e.entry("v_1", "DeleteVault")))
	_, err := e.s.Get(e.ctx(), "v_1")
	e.want(err, store.ErrNotFound)
	log := e.audit("v_1")
	if len(log) != 2 || log[1].Event != "DeleteVault" {
		e.Fatalf("audit log = %v", log)
	}
	e.want(e.s.Delete(e.ctx(), "v_1", r.Modified, e.entry("v_1", "DeleteVault")), store.ErrNotFound)
}

func expiry(e *env) {
	r := record("v_1")
	r.ExpireAt = Start + 10
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	e.clock.Set(Start + 9)
	_, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	e.clock.Set(Start + 10)
	_, err = e.s.Get(e.ctx(), "v_1")
	e.want(err, store.ErrNotFound)
	u := &store.Update{ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Remove: []string{"email"}}
	e.want(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")), store.ErrNotFound)
	e.want(e.s.Delete(e.ctx(), "v_1", r.Modified, e.entry("v_1", "DeleteVault")), store.ErrNotFound)
	list, _, err := e.s.List(e.ctx(), store.Page{})
	e.must(err)
	if len(list) != 0 {
		e.Fatal("an expired record is listed")
	}
}

func expiredReplaced(e *env) {
	r := record("v_1")
	r.ExpireAt = Start + 10
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	second := record("v_1")
	delete(second.Fields, "ssn9")
	e.clock.Set(Start + 9)
	e.want(e.s.Create(e.ctx(), second, e.entry("v_1", "CreateVault"), nil), store.ErrExists)
	e.clock.Set(Start + 10)
	e.must(e.s.Create(e.ctx(), second, e.entry("v_1", "CreateVault"), nil))
	got, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if !sameRecord(got, second) {
		e.Fatalf("got  %#v\nwant %#v", got, second)
	}
	if n := len(e.audit("v_1")); n != 2 {
		e.Fatalf("%d audit entries, want 2", n)
	}
	e.clock.Set(Start + 1_000_000) // nothing of the first one's time is left
	_, err = e.s.Get(e.ctx(), "v_1")
	e.must(err)
}

func expiryChange(e *env) {
	r := record("v_1")
	r.ExpireAt = Start + 10
	e.must(e.s.Create(e.ctx(), r, e.entry("v_1", "CreateVault"), nil))
	later, never := int64(Start+20), int64(0)
	u := &store.Update{ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, ExpireAt: &later}
	e.must(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")))
	e.clock.Set(Start + 15)
	got, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if got.ExpireAt != later {
		e.Fatalf("expire at %d", got.ExpireAt)
	}
	u = &store.Update{ID: "v_1", Revision: got.Modified, Modified: got.Modified + 1, ExpireAt: &never}
	e.must(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")))
	e.clock.Set(Start + 1_000_000)
	_, err = e.s.Get(e.ctx(), "v_1")
	e.must(err)
}

func listPages(e *env) {
	const n = 23
	want := map[string]bool{}
	for i := range n {
		id := fmt.Sprintf("v_%02d", i)
		want[id] = true
		e.must(e.s.Create(e.ctx(), record(id), e.entry(id, "CreateVault"), nil))
	}
	cursor, pages := "", 0
	for {
		list, next, err := e.s.List(e.ctx(), store.Page{Cursor: cursor, Limit: 5})
		e.must(err)
		for _, s := range list {
			if !want[s.ID] || s.Created == 0 || s.Modified == 0 {
				e.Fatalf("unexpected or repeated line %+v", s)
			}
			delete(want, s.ID)
		}
		if pages++; next == "" || pages > 100 {
			break
		}
		cursor = next
	}
	if len(want) != 0 {
		e.Fatalf("not listed: %v", want)
	}
}

func foreignCursor(e *env) {
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil))
	e.must(e.s.Create(e.ctx(), record("v_2"), e.entry("v_2", "CreateVault"), nil))
	e.must(e.s.AppendAudit(e.ctx(), e.entry("v_2", "DecryptVault")))
	_, _, err := e.s.List(e.ctx(), store.Page{Cursor: "!!"})
	e.want(err, store.ErrCursor)
	_, _, err = e.s.Audit(e.ctx(), "v_1", store.Page{Cursor: "!!"})
	e.want(err, store.ErrCursor)
	_, next, err := e.s.Audit(e.ctx(), "v_2", store.Page{Limit: 1})
	e.must(err)
	if next == "" {
		e.Fatal("no second page")
	}
	_, _, err = e.s.Audit(e.ctx(), "v_1", store.Page{Cursor: next})
	e.want(err, store.ErrCursor)
}

func concurrentUpdates(e *env) {
	const workers = 8
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil))
	concurrently(workers, func(i int) {
		name := fmt.Sprintf("field_%d", i)
		for range 10_000 {
			r, err := e.s.Get(e.ctx(), "v_1")
			if err != nil {
				e.Errorf("get: %v", err)
				return
			}
			err = e.s.Update(e.ctx(), &store.Update{
				ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1,
				Set: map[string]store.Value{name: {Blob: []byte(name)}},
			}, e.entry("v_1", "UpdateVault"))
			if err == nil {
				return
			}
			if !errors.Is(err, store.ErrConflict) {
				e.Errorf("update: %v", err)
				return
			}
		}
		e.Errorf("worker %d never won", i)
	})
	r, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if len(r.Fields) != 2+workers || r.Modified != Start*1_000_000+workers {
		e.Fatalf("%d fields at revision %d", len(r.Fields), r.Modified)
	}
	if n := len(e.audit("v_1")); n != 1+workers {
		e.Fatalf("%d audit entries, want %d", n, 1+workers)
	}
}

func concurrentCreates(e *env) {
	var won atomic.Int32
	concurrently(8, func(int) {
		err := e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil)
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict):
			e.Errorf("create: %v", err)
		}
	})
	if won.Load() != 1 {
		e.Fatalf("%d creates won", won.Load())
	}
}

func large(e *env) {
	r := record("v_big")
	for i := range 100 {
		blob := make([]byte, 1500)
		for j := range blob {
			blob[j] = byte(i * j)
		}
		r.Fields[fmt.Sprintf("f%d", i)] = store.Value{Blob: blob}
	}
	e.must(e.s.Create(e.ctx(), r, e.entry("v_big", "CreateVault"), nil))
	got, err := e.s.Get(e.ctx(), "v_big")
	e.must(err)
	if !sameRecord(got, r) {
		e.Fatal("record differs")
	}
}
