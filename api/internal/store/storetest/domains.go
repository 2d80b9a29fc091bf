package storetest

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"redoubt/api/internal/store"
)

// domainCases are about vaults under domains, their keys, and domains.
var domainCases = map[string]func(*env){
	"a vault under a domain comes back with its keys":           keyedRoundTrip,
	"a vault under a domain is created once":                    keyedCreateTwice,
	"a vault under a domain is not deleted without its keys":    keyedDelete,
	"a write to a vault under a domain keeps its keys":          keyedUpdate,
	"an encapsulated key is added once, and dropped":            keyedEncs,
	"a reseal puts the new key first and changes all fields":    reseal,
	"a reseal brings a vault of KMS under a domain":             resealOfKMS,
	"a reseal of what changed meanwhile changes nothing":        resealConflict,
	"a vault has sixteen keys at the most":                      epochsFull,
	"an old key goes, but neither the newest nor the record's":  dropEpochs,
	"an erased vault leaves sums, and never comes back":         erase,
	"an erasure of what changed meanwhile changes nothing":      eraseConflict,
	"a refused write of a vault under a domain leaves no entry": keyedAuditIsAtomic,
	"the time to live stands on both items":                     keyedExpiry,
	"a record whose key is gone is inconsistent":                inconsistent,
	"of two reseals at once one wins":                           concurrentReseals,
	"of an erasure and a reseal at once one wins":               eraseAndReseal,
	"a domain is put once and changed at its revision":          domains,
	"all domains come, however many":                            manyDomains,
}

func epoch(id string, n uint16) *store.Epoch {
	head := make([]byte, 54, 102)
	head[0], head[1] = 0xD1, 4
	binary.BigEndian.PutUint16(head[2:], 1)
	binary.BigEndian.PutUint16(head[4:], n)
	copy(head[6:22], id)
	return &store.Epoch{
		WrappedKey: append(head, bytes.Repeat([]byte{byte(n)}, 48)...), PublicKey: fmt.Appendf(nil, "public %s %d", id, n),
		Statement: fmt.Appendf(nil, "statement %d", n), Suite: []byte("HPKE\x64\x7a\x00\x01\x00\x02"),
		Created: Start*1000 + int64(n),
	}
}

func keyed(id string, n uint16) *store.Record {
	r := record(id)
	r.Encoding, r.WrappedKey, r.PublicKey, r.KeyContext, r.KeyMAC = store.EncodingDomain, nil, nil, false, nil
	r.Domain, r.Epoch = bytes.Repeat([]byte{7}, 48), n
	r.Encs = map[string][]byte{fmt.Sprintf("%016x", n): fmt.Appendf(nil, "enc %d", n)}
	r.Fields = map[string]store.Value{"email": {Blob: []byte{5, byte(n)}}}
	return r
}

// create stores a vault under a domain with epoch 1, and returns what is then read.
func (e *env) create(id string) (*store.Record, *store.Keys) {
	e.Helper()
	e.must(e.s.CreateKeyed(e.ctx(), keyed(id, 1), epoch(id, 1), e.entry(id, "CreateVault"), nil))
	return e.get(id)
}

func (e *env) get(id string) (*store.Record, *store.Keys) {
	e.Helper()
	r, k, err := e.s.GetKeyed(e.ctx(), id)
	e.must(err)
	return r, k
}

// next is the reseal of a vault to the epoch after its newest.
func next(r *store.Record, k *store.Keys, drop ...uint16) *store.Reseal {
	n := uint16(1)
	if k != nil {
		newest, _ := k.Epochs[0].Number()
		n = newest + 1
	}
	to := keyed(r.ID, n)
	to.Created, to.Modified, to.ExpireAt = r.Created, r.Modified+1, r.ExpireAt
	return &store.Reseal{Record: to, Revision: r.Modified, Keys: k, Key: *epoch(r.ID, n), Drop: drop}
}

// reseal reseals the vault v_1.
func (e *env) reseal() {
	e.Helper()
	r, k := e.get("v_1")
	e.must(e.s.Reseal(e.ctx(), next(r, k), e.entry("v_1", "ResealVault")))
}

func numbers(k *store.Keys) (out []uint16) {
	for i := range k.Epochs {
		n, _ := k.Epochs[i].Number()
		out = append(out, n)
	}
	return out
}

func same(a, b any) bool { return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b) }

func keyedRoundTrip(e *env) {
	want := keyed("v_1", 1)
	want.ExpireAt = Start + 100
	e.must(e.s.CreateKeyed(e.ctx(), want, epoch("v_1", 1), e.entry("v_1", "CreateVault"), nil))
	got, k := e.get("v_1")
	if !sameRecord(got, want) {
		e.Fatalf("got  %#v\nwant %#v", got, want)
	}
	if len(k.Epochs) != 1 || !same(k.Epochs[0], *epoch("v_1", 1)) || k.ExpireAt != want.ExpireAt || k.VaultID != "v_1" {
		e.Fatalf("keys %#v", k)
	}
	if alone, err := e.s.Keys(e.ctx(), "v_1"); err != nil || !same(*alone, *k) {
		e.Fatalf("keys alone %#v, %v", alone, err)
	}
	if plain, err := e.s.Get(e.ctx(), "v_1"); err != nil || !sameRecord(plain, want) {
		e.Fatalf("record alone %#v, %v", plain, err)
	}
	list, _, err := e.s.List(e.ctx(), store.Page{})
	if err != nil || len(list) != 1 || list[0].ID != "v_1" {
		e.Fatalf("list %v, %v", list, err)
	}
	_, _, err = e.s.GetKeyed(e.ctx(), "v_2")
	e.want(err, store.ErrNotFound)
	_, err = e.s.Keys(e.ctx(), "v_2")
	e.want(err, store.ErrNotFound)
	e.must(e.s.Create(e.ctx(), record("v_kms"), e.entry("v_kms", "CreateVault"), nil))
	if r, k := e.get("v_kms"); k != nil || !sameRecord(r, record("v_kms")) {
		e.Fatalf("of a vault of KMS %#v, %#v", r, k)
	}
}

func keyedCreateTwice(e *env) {
	e.create("v_1")
	second := keyed("v_1", 1)
	second.Fields["email"] = store.Value{Blob: []byte("other")}
	e.want(e.s.CreateKeyed(e.ctx(), second, epoch("v_1", 1), e.entry("v_1", "CreateVault"), nil), store.ErrExists)
	e.want(e.s.CreateKeyed(e.ctx(), keyed("v_2", 1), epoch("v_2", 2), nil, nil), store.ErrEpochs)
	e.want(e.s.CreateKeyed(e.ctx(), record("v_2"), epoch("v_2", 0), nil, nil), store.ErrEpochs)
	e.must(e.s.Create(e.ctx(), record("v_kms"), e.entry("v_kms", "CreateVault"), nil))
	e.want(e.s.CreateKeyed(e.ctx(), keyed("v_kms", 1), epoch("v_kms", 1), nil, nil), store.ErrExists)
	_, err := e.s.Keys(e.ctx(), "v_kms")
	e.want(err, store.ErrNotFound)
	item := &store.Idempotency{Key: "k", MAC: []byte("m"), VaultID: "v_3", ExpireAt: Start + 60}
	e.must(e.s.CreateKeyed(e.ctx(), keyed("v_3", 1), epoch("v_3", 1), e.entry("v_3", "CreateVault"), item))
	err = e.s.CreateKeyed(e.ctx(), keyed("v_4", 1), epoch("v_4", 1), e.entry("v_4", "CreateVault"), item)
	e.want(err, store.ErrExists)
	_, err = e.s.Keys(e.ctx(), "v_4")
	e.want(err, store.ErrNotFound)
	if r, _ := e.get("v_1"); r.Fields["email"].Blob[0] != 5 {
		e.Fatal("the first record was replaced")
	}
}

func keyedDelete(e *env) {
	r, _ := e.create("v_1")
	e.want(e.s.Delete(e.ctx(), "v_1", r.Modified, e.entry("v_1", "DeleteVault")), store.ErrKeyed)
	e.get("v_1")
}

func keyedUpdate(e *env) {
	r, before := e.create("v_1")
	u := &store.Update{
		ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Keyed: true,
		Set: map[string]store.Value{"phone": {Blob: []byte("5")}},
	}
	e.must(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")))
	got, k := e.get("v_1")
	if !same(*k, *before) || string(got.Fields["phone"].Blob) != "5" || got.Epoch != 1 ||
		!bytes.Equal(got.Domain, r.Domain) {
		e.Fatalf("after: %#v, %#v", got, k)
	}
	// A writer that does not know that the vault is under a domain changes nothing, and the reverse.
	u = &store.Update{ID: "v_1", Revision: got.Modified, Modified: got.Modified + 1, Remove: []string{"phone"}}
	e.want(e.s.Update(e.ctx(), u, nil), store.ErrConflict)
	e.must(e.s.Create(e.ctx(), record("v_kms"), nil, nil))
	u = &store.Update{ID: "v_kms", Revision: Start * 1_000_000, Modified: Start*1_000_000 + 1, Keyed: true}
	e.want(e.s.Update(e.ctx(), u, nil), store.ErrConflict)
}

func keyedEncs(e *env) {
	r, _ := e.create("v_1")
	change := func(add map[string][]byte, drop ...string) error {
		u := &store.Update{
			ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Keyed: true, AddEncs: add, DropEncs: drop,
			Set: map[string]store.Value{"phone": {Blob: []byte("5")}},
		}
		err := e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault"))
		if err == nil {
			r, _ = e.get("v_1")
		}
		return err
	}
	first, second := "0000000000000001", "00000000000000ff"
	e.want(change(map[string][]byte{first: []byte("other")}), store.ErrExists)
	e.must(change(map[string][]byte{second: []byte("two")}))
	if len(r.Encs) != 2 || string(r.Encs[second]) != "two" || string(r.Encs[first]) != "enc 1" {
		e.Fatalf("encs %q", r.Encs)
	}
	e.must(change(nil, first, second))
	if len(r.Encs) != 0 {
		e.Fatalf("encs %q", r.Encs)
	}
	e.must(change(map[string][]byte{first: []byte("again")}))
	if string(r.Encs[first]) != "again" {
		e.Fatalf("encs %q", r.Encs)
	}
}

func reseal(e *env) {
	r, k := e.create("v_1")
	q := next(r, k)
	e.must(e.s.Reseal(e.ctx(), q, e.entry("v_1", "ResealVault")))
	got, keys := e.get("v_1")
	if !sameRecord(got, q.Record) {
		e.Fatalf("got  %#v\nwant %#v", got, q.Record)
	}
	if !slices.Equal(numbers(keys), []uint16{2, 1}) || !same(keys.Epochs[0], q.Key) ||
		!same(keys.Epochs[1], *epoch("v_1", 1)) || keys.Revision <= k.Revision {
		e.Fatalf("keys %#v", keys)
	}
	// Not to an epoch that is there or below, nor to one that the record does not name.
	for _, n := range []uint16{2, 1, 0} {
		again := next(got, keys)
		again.Key = *epoch("v_1", n)
		again.Record.Epoch = n
		e.want(e.s.Reseal(e.ctx(), again, nil), store.ErrEpochs)
	}
	other := next(got, keys)
	other.Record.Epoch = 9
	e.want(e.s.Reseal(e.ctx(), other, nil), store.ErrEpochs)
	kms := next(got, keys)
	kms.Key.WrappedKey = []byte("wrapped by KMS")
	e.want(e.s.Reseal(e.ctx(), kms, nil), store.ErrEpochs)
}

func resealOfKMS(e *env) {
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil))
	r, k := e.get("v_1")
	e.must(e.s.Reseal(e.ctx(), next(r, k), e.entry("v_1", "ResealVault")))
	got, keys := e.get("v_1")
	if got.WrappedKey != nil || got.PublicKey != nil || got.KeyMAC != nil || got.KeyContext || got.Epoch != 1 {
		e.Fatalf("the key of KMS is still there: %#v", got)
	}
	if !slices.Equal(numbers(keys), []uint16{1}) || len(e.audit("v_1")) != 2 {
		e.Fatalf("keys %#v", keys)
	}
}

func resealConflict(e *env) {
	r, k := e.create("v_1")
	stale := next(r, k)
	e.reseal()
	e.want(e.s.Reseal(e.ctx(), stale, e.entry("v_1", "ResealVault")), store.ErrConflict)
	// The record as it is now, with keys as they were.
	r, now := e.get("v_1")
	mixed := next(r, now)
	mixed.Keys = k
	mixed.Key, mixed.Record.Epoch = *epoch("v_1", 5), 5
	e.want(e.s.Reseal(e.ctx(), mixed, e.entry("v_1", "ResealVault")), store.ErrConflict)
	mixed.Keys = nil
	e.want(e.s.Reseal(e.ctx(), mixed, e.entry("v_1", "ResealVault")), store.ErrConflict)
	unknown := next(keyed("v_9", 1), nil)
	e.want(e.s.Reseal(e.ctx(), unknown, nil), store.ErrNotFound)
	got, keys := e.get("v_1")
	if got.Epoch != 2 || !slices.Equal(numbers(keys), []uint16{2, 1}) || len(e.audit("v_1")) != 2 {
		e.Fatalf("a refused reseal changed something: %#v", keys)
	}
}

func epochsFull(e *env) {
	e.create("v_1")
	for range store.MaxEpochs - 1 {
		e.reseal()
	}
	r, k := e.get("v_1")
	e.want(e.s.Reseal(e.ctx(), next(r, k), e.entry("v_1", "ResealVault")), store.ErrEpochsFull)
	e.must(e.s.Reseal(e.ctx(), next(r, k, 1, 2), e.entry("v_1", "ResealVault")))
	if _, k = e.get("v_1"); len(k.Epochs) != store.MaxEpochs-1 || k.Epoch(1) != nil || k.Epoch(3) == nil {
		e.Fatalf("keys %v", numbers(k))
	}
}

func dropEpochs(e *env) {
	e.create("v_1")
	e.reseal()
	e.reseal()
	r, k := e.get("v_1")
	e.want(e.s.DropEpochs(e.ctx(), "v_1", r.Modified, k, []uint16{3}, nil), store.ErrEpochs)
	e.want(e.s.DropEpochs(e.ctx(), "v_1", r.Modified, k, []uint16{9}, nil), store.ErrEpochs)
	e.want(e.s.DropEpochs(e.ctx(), "v_1", r.Modified-1, k, []uint16{1}, nil), store.ErrConflict)
	e.must(e.s.DropEpochs(e.ctx(), "v_1", r.Modified, k, []uint16{1}, e.entry("v_1", "DropKeys")))
	e.want(e.s.DropEpochs(e.ctx(), "v_1", r.Modified, k, []uint16{2}, nil), store.ErrConflict) // the keys changed
	if _, k = e.get("v_1"); !slices.Equal(numbers(k), []uint16{3, 2}) {
		e.Fatalf("keys %v", numbers(k))
	}
	keep := time.Hour
	replaced := time.UnixMilli(epoch("", 3).Created)
	if gone := k.Gone(replaced.Add(keep-time.Second), keep, 3); len(gone) != 0 {
		e.Fatalf("%v may go too early", gone)
	}
	if gone := k.Gone(replaced.Add(keep), keep, 3); !slices.Equal(gone, []uint16{2}) {
		e.Fatalf("%v may go", gone)
	}
	if gone := k.Gone(replaced.Add(keep), keep, 2); len(gone) != 0 {
		e.Fatalf("%v may go, which is the record's", gone)
	}
}

func erase(e *env) {
	e.create("v_1")
	e.reseal()
	r, k := e.get("v_1")
	e.must(e.s.Erase(e.ctx(), "v_1", r.Modified, k, Start*1000, e.entry("v_1", "EraseVault")))
	_, err := e.s.Get(e.ctx(), "v_1")
	e.want(err, store.ErrNotFound)
	_, _, err = e.s.GetKeyed(e.ctx(), "v_1")
	e.want(err, store.ErrErased)
	stone, err := e.s.Keys(e.ctx(), "v_1")
	e.must(err)
	first, second := sha512.Sum384(epoch("v_1", 2).WrappedKey), sha512.Sum384(epoch("v_1", 1).WrappedKey)
	if stone.Erased != Start*1000 || len(stone.Epochs) != 0 || stone.ExpireAt != 0 || len(stone.Digests) != 2 ||
		!bytes.Equal(stone.Digests[0], first[:]) || !bytes.Equal(stone.Digests[1], second[:]) {
		e.Fatalf("tombstone %#v", stone)
	}
	if len(e.audit("v_1")) != 3 {
		e.Fatal("the erasure is not in the log")
	}
	// However it is tried, and however late.
	for _, at := range []int64{Start, Start + 10*365*24*3600} {
		e.clock.Set(at)
		e.want(e.s.CreateKeyed(e.ctx(), keyed("v_1", 1), epoch("v_1", 1), nil, nil), store.ErrErased)
		e.want(e.s.CreateKeyed(e.ctx(), keyed("v_1", 3), epoch("v_1", 3), nil, nil), store.ErrErased)
		e.want(e.s.Reseal(e.ctx(), next(r, k), nil), store.ErrErased)
		e.want(e.s.DropEpochs(e.ctx(), "v_1", r.Modified, k, []uint16{1}, nil), store.ErrErased)
		e.want(e.s.Erase(e.ctx(), "v_1", r.Modified, k, 1, nil), store.ErrErased)
	}
}

func eraseConflict(e *env) {
	r, k := e.create("v_1")
	e.want(e.s.Erase(e.ctx(), "v_1", r.Modified-1, k, 1, e.entry("v_1", "EraseVault")), store.ErrConflict)
	e.reseal()
	now, _ := e.get("v_1")
	e.want(e.s.Erase(e.ctx(), "v_1", now.Modified, k, 1, e.entry("v_1", "EraseVault")), store.ErrConflict)
	e.want(e.s.Erase(e.ctx(), "v_2", 1, k, 1, nil), store.ErrNotFound)
	if _, k = e.get("v_1"); len(k.Epochs) != 2 || len(e.audit("v_1")) != 2 {
		e.Fatal("a refused erasure changed something")
	}
}

// The entry of a write that is refused, for the entry's own sake or another's, is not stored, nor is the write.
func keyedAuditIsAtomic(e *env) {
	used := e.entry("v_1", "Used")
	e.must(e.s.AppendAudit(e.ctx(), used))
	e.want(e.s.CreateKeyed(e.ctx(), keyed("v_1", 1), epoch("v_1", 1), used, nil), store.ErrExists)
	_, err := e.s.Keys(e.ctx(), "v_1")
	e.want(err, store.ErrNotFound)
	r, k := e.create("v_1")
	e.want(e.s.Reseal(e.ctx(), next(r, k), used), store.ErrExists)
	e.want(e.s.Erase(e.ctx(), "v_1", r.Modified, k, 1, used), store.ErrExists)
	d := &store.Domain{ID: "acme", Generation: 1, Record: []byte("r"), MAC: []byte("m")}
	e.want(e.s.PutDomain(e.ctx(), d, used), store.ErrExists)
	_, err = e.s.Domain(e.ctx(), "acme", 1)
	e.want(err, store.ErrNotFound)
	if got, keys := e.get("v_1"); !sameRecord(got, r) || !same(*keys, *k) || len(e.audit("v_1")) != 2 {
		e.Fatal("a write went through without its entry")
	}
}

func keyedExpiry(e *env) {
	r, _ := e.create("v_1")
	at := int64(Start + 100)
	u := &store.Update{ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Keyed: true, ExpireAt: &at}
	e.must(e.s.Update(e.ctx(), u, e.entry("v_1", "UpdateVault")))
	r, k := e.get("v_1")
	if r.ExpireAt != at || k.ExpireAt != at {
		e.Fatalf("record %d, keys %d", r.ExpireAt, k.ExpireAt)
	}
	never := int64(0)
	u = &store.Update{ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Keyed: true, ExpireAt: &never}
	e.must(e.s.Update(e.ctx(), u, nil))
	if r, k = e.get("v_1"); r.ExpireAt != 0 || k.ExpireAt != 0 {
		e.Fatalf("record %d, keys %d", r.ExpireAt, k.ExpireAt)
	}
	u = &store.Update{ID: "v_1", Revision: r.Modified, Modified: r.Modified + 1, Keyed: true, ExpireAt: &at}
	e.must(e.s.Update(e.ctx(), u, nil))
	r, k = e.get("v_1")
	e.clock.Set(at)
	_, err := e.s.Keys(e.ctx(), "v_1")
	e.want(err, store.ErrNotFound)
	_, _, err = e.s.GetKeyed(e.ctx(), "v_1")
	e.want(err, store.ErrNotFound)
	e.want(e.s.Erase(e.ctx(), "v_1", r.Modified, k, 1, nil), store.ErrNotFound)
	e.must(e.s.CreateKeyed(e.ctx(), keyed("v_1", 1), epoch("v_1", 1), nil, nil))
	e.get("v_1")
}

// A record that was brought back without its keys, as by a restore of one of the two.
func inconsistent(e *env) {
	lost := keyed("v_1", 3)
	e.must(e.s.Create(e.ctx(), lost, nil, nil))
	_, _, err := e.s.GetKeyed(e.ctx(), "v_1")
	e.want(err, store.ErrInconsistent)
	counted, ok := e.s.(interface{ Inconsistent() uint64 })
	if !ok || counted.Inconsistent() != 1 {
		e.Fatal("it is not counted, or not once")
	}
	at := int64(Start + 100)
	u := &store.Update{ID: "v_1", Revision: lost.Modified, Modified: lost.Modified + 1, Keyed: true, ExpireAt: &at}
	e.want(e.s.Update(e.ctx(), u, nil), store.ErrConflict)
}

func concurrentReseals(e *env) {
	const n = 8
	r, k := e.create("v_1")
	var won atomic.Int64
	concurrently(n, func(int) {
		switch err := e.s.Reseal(e.ctx(), next(r, k), e.entry("v_1", "ResealVault")); {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, store.ErrConflict):
			e.Errorf("reseal: %v", err)
		}
	})
	got, keys := e.get("v_1")
	if won.Load() != 1 || got.Epoch != 2 || !slices.Equal(numbers(keys), []uint16{2, 1}) || len(e.audit("v_1")) != 2 {
		e.Fatalf("%d won, keys %v, %d entries", won.Load(), numbers(keys), len(e.audit("v_1")))
	}
}

func eraseAndReseal(e *env) {
	for i := range 4 {
		id := fmt.Sprintf("v_%d", i)
		r, k := e.create(id)
		var errs [2]error
		concurrently(2, func(i int) {
			if i == 0 {
				errs[0] = e.s.Erase(e.ctx(), id, r.Modified, k, 1, e.entry(id, "EraseVault"))
			} else {
				errs[1] = e.s.Reseal(e.ctx(), next(r, k), e.entry(id, "ResealVault"))
			}
		})
		if (errs[0] == nil) == (errs[1] == nil) || len(e.audit(id)) != 2 {
			e.Fatalf("erasure: %v, reseal: %v", errs[0], errs[1])
		}
		_, _, err := e.s.GetKeyed(e.ctx(), id)
		if errs[0] == nil {
			e.want(err, store.ErrErased)
		} else {
			e.must(err)
		}
	}
}

func domains(e *env) {
	d := &store.Domain{ID: "acme", Generation: 1, Record: []byte("record"), MAC: []byte("mac"), State: "active"}
	e.must(e.s.PutDomain(e.ctx(), d, e.entry("acme", "CreateDomain")))
	second := *d
	second.Record = []byte("another")
	e.want(e.s.PutDomain(e.ctx(), &second, e.entry("acme", "CreateDomain")), store.ErrExists)
	got, err := e.s.Domain(e.ctx(), "acme", 1)
	e.must(err)
	if d.Revision = 1; !same(*got, *d) {
		e.Fatalf("got %#v", got)
	}
	for _, other := range []struct {
		id         string
		generation uint16
	}{{"acme", 2}, {"acme", 256}, {"acm", 1}, {"acme.00", 1}} {
		_, err = e.s.Domain(e.ctx(), other.id, other.generation)
		e.want(err, store.ErrNotFound)
	}
	changed := *got
	changed.State, changed.Record = "retired", []byte("record with a second wrap")
	e.must(e.s.UpdateDomain(e.ctx(), &changed, e.entry("acme", "UpdateDomain")))
	e.want(e.s.UpdateDomain(e.ctx(), &changed, nil), store.ErrConflict)
	second.ID, second.Revision = "none", 1
	e.want(e.s.UpdateDomain(e.ctx(), &second, nil), store.ErrNotFound)
	got, err = e.s.Domain(e.ctx(), "acme", 1)
	e.must(err)
	if got.State != "retired" || string(got.Record) != "record with a second wrap" || len(e.audit("acme")) != 2 {
		e.Fatalf("got %#v", got)
	}
	large := &store.Domain{ID: "large", Generation: 1, Record: make([]byte, store.MaxDomainRecord+1), MAC: []byte("m")}
	e.want(e.s.PutDomain(e.ctx(), large, nil), store.ErrTooLarge)
	large.Record = large.Record[1:]
	e.must(e.s.PutDomain(e.ctx(), large, nil))
	large.Record, large.Revision = make([]byte, store.MaxDomainRecord+1), 1
	e.want(e.s.UpdateDomain(e.ctx(), large, nil), store.ErrTooLarge)
}

func manyDomains(e *env) {
	const n = 40
	for i := range n {
		d := &store.Domain{ID: fmt.Sprintf("d%02d", i/2), Generation: uint16(1 + i%2), Record: []byte{1}, MAC: []byte{2}}
		e.must(e.s.PutDomain(e.ctx(), d, nil))
	}
	seen := map[string]bool{}
	e.must(e.s.ListDomains(e.ctx(), func(d *store.Domain) error {
		seen[fmt.Sprint(d.ID, d.Generation)] = true
		return nil
	}))
	if len(seen) != n {
		e.Fatalf("%d domains", len(seen))
	}
	stop := errors.New("stop")
	e.want(e.s.ListDomains(e.ctx(), func(*store.Domain) error { return stop }), stop)
}
