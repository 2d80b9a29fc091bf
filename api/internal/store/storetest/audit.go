package storetest

import (
	"bytes"
	"fmt"
	"slices"

	"redoubt/api/internal/store"
)

func auditIsAtomic(e *env) {
	e.must(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil))
	e.want(e.s.Create(e.ctx(), record("v_1"), e.entry("v_1", "CreateVault"), nil), store.ErrExists)
	taken := e.entry("v_1", "DecryptVault")
	e.must(e.s.AppendAudit(e.ctx(), taken))
	u := &store.Update{ID: "v_1", Revision: Start * 1_000_000, Modified: Start*1_000_000 + 1, Remove: []string{"email"}}
	e.want(e.s.Update(e.ctx(), u, taken), store.ErrExists)
	r, err := e.s.Get(e.ctx(), "v_1")
	e.must(err)
	if _, ok := r.Fields["email"]; !ok || r.Modified != Start*1_000_000 {
		e.Fatal("the record changed although its audit entry was refused")
	}
	if n := len(e.audit("v_1")); n != 2 {
		e.Fatalf("%d audit entries, want 2", n)
	}
}

func sameMicrosecond(e *env) {
	a, b := e.entry("v_1", "DecryptVault"), e.entry("v_1", "DecryptVault")
	b.Time = a.Time
	c := *a
	c.Chain = "other"
	e.must(e.s.AppendAudit(e.ctx(), a))
	e.must(e.s.AppendAudit(e.ctx(), b))
	e.must(e.s.AppendAudit(e.ctx(), &c))
	if n := len(e.audit("v_1")); n != 3 {
		e.Fatalf("%d audit entries, want 3", n)
	}
}

func auditPutIfAbsent(e *env) {
	a := e.entry("v_1", "DecryptVault")
	e.must(e.s.AppendAudit(e.ctx(), a))
	b := *a
	b.Reason, b.Hash = "altered", []byte("altered")
	e.want(e.s.AppendAudit(e.ctx(), &b), store.ErrExists)
	log := e.audit("v_1")
	if len(log) != 1 || log[0].Reason != a.Reason {
		e.Fatalf("audit log = %+v", log)
	}
	if got, want := fmt.Sprintf("%#v", log[0]), fmt.Sprintf("%#v", *a); got != want {
		e.Fatalf("got  %s\nwant %s", got, want)
	}
}

// auditLong stores an entry of the largest size that an event of a hundred fields and a hundred expressions takes.
func auditLong(e *env) {
	a := e.entry("v_1", "DecryptVault")
	for i := range 100 {
		a.Fields = append(a.Fields, fmt.Sprintf("%0255d", i))
	}
	a.Body = bytes.Repeat([]byte("0123456789"), 12_000)
	e.must(e.s.AppendAudit(e.ctx(), a))
	log := e.audit("v_1")
	if len(log) != 1 || !bytes.Equal(log[0].Body, a.Body) || !slices.Equal(log[0].Fields, a.Fields) {
		e.Fatal("the entry changed")
	}
}

func auditPages(e *env) {
	const n = 40
	entries := make([]*store.Entry, n)
	for i := range entries {
		entries[i] = e.entry("v_1", "DecryptVault")
	}
	slices.Reverse(entries) // stored in another order than their times
	for _, one := range entries {
		e.must(e.s.AppendAudit(e.ctx(), one))
	}
	log := e.audit("v_1")
	if len(log) != n {
		e.Fatalf("%d entries, want %d", len(log), n)
	}
	for i, one := range log {
		if one.Seq != uint64(i+1) {
			e.Fatalf("entry %d has sequence number %d", i, one.Seq)
		}
	}
	last, err := e.s.LastAudit(e.ctx(), "v_1")
	e.must(err)
	if last.Seq != n {
		e.Fatalf("last entry has sequence number %d", last.Seq)
	}
}

func auditSeparate(e *env) {
	ids := []string{"v", "v_1", "v_10", "v_2", "w"}
	for _, id := range ids {
		e.must(e.s.AppendAudit(e.ctx(), e.entry(id, "DecryptVault")))
		e.must(e.s.AppendAudit(e.ctx(), e.entry(id, "DecryptVault")))
	}
	for _, id := range ids {
		for _, one := range e.audit(id) {
			if one.VaultID != id {
				e.Fatalf("the log of %s shows an entry of %s", id, one.VaultID)
			}
		}
		last, err := e.s.LastAudit(e.ctx(), id)
		e.must(err)
		if last.VaultID != id {
			e.Fatalf("the last entry of %s is one of %s", id, last.VaultID)
		}
	}
	_, err := e.s.LastAudit(e.ctx(), "v_")
	e.want(err, store.ErrNotFound)
	var seen []string
	e.must(e.s.AuditedVaults(e.ctx(), func(id string) error {
		seen = append(seen, id)
		return nil
	}))
	slices.Sort(seen)
	if !slices.Equal(seen, ids) {
		e.Fatalf("audited vaults = %v, want %v", seen, ids)
	}
}
