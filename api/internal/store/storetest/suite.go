// Package storetest is the conformance suite of store.Store. Every implementation runs it. A store that passes can
// serve the vault.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/api/internal/store"
)

// Clock is a settable clock, safe for concurrent use.
type Clock struct{ unix atomic.Int64 }

// Now returns the clock's time.
func (c *Clock) Now() time.Time { return time.Unix(c.unix.Load(), 0) }

// Set sets the clock, in Unix seconds.
func (c *Clock) Set(unix int64) { c.unix.Store(unix) }

// Start is the clock's time when a case begins, Unix seconds.
const Start = 1_800_000_000

// Open makes an empty store that reads the time from now; the suite closes it.
type Open func(t *testing.T, now func() time.Time) store.Store

type env struct {
	*testing.T
	s     store.Store
	clock *Clock
	seq   atomic.Uint64
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	cases := map[string]func(*env){
		"a record comes back as it was created":                          roundTrip,
		"create refuses a second record of the same id":                  createTwice,
		"create with an idempotency key happens once":                    idempotentCreate,
		"an expired idempotency item is absent and replaceable":          idempotencyExpiry,
		"update sets, removes and moves the revision":                    update,
		"update of an unknown record creates nothing":                    updateUnknown,
		"a stale revision is refused and changes nothing":                staleRevision,
		"delete needs the revision and keeps the audit log":              deleteRecord,
		"an expired record is absent everywhere":                         expiry,
		"an expired record is replaceable":                               expiredReplaced,
		"time to live can be changed and removed":                        expiryChange,
		"a refused write leaves no audit entry":                          auditIsAtomic,
		"two audit entries in one microsecond both survive":              sameMicrosecond,
		"an audit entry is never replaced":                               auditPutIfAbsent,
		"a long audit entry comes back as it was":                        auditLong,
		"audit pages hold every entry once, oldest first":                auditPages,
		"one vault's audit log never shows another's":                    auditSeparate,
		"checkpoints rise and come back":                                 checkpointsRise,
		"a checkpoint is neither a record nor an entry":                  checkpointsApart,
		"all checkpoints come, however many":                             manyCheckpoints,
		"list pages hold every record once":                              listPages,
		"which derived fields were given is kept, changed and taken off": ownFields,
		"a foreign cursor is refused":                                    foreignCursor,
		"concurrent updates lose none":                                   concurrentUpdates,
		"concurrent creates of one id: one wins":                         concurrentCreates,
		"values of a hundred fields and odd bytes":                       large,
	}
	maps.Copy(cases, domainCases)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			clock := &Clock{}
			clock.Set(Start)
			e := &env{T: t, s: open(t, clock.Now), clock: clock}
			t.Cleanup(func() {
				if err := e.s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			cases[name](e)
		})
	}
}

func (e *env) ctx() context.Context { return e.Context() }

// must fails the case on an error.
func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

// want fails the case unless err is the target.
func (e *env) want(err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Fatalf("err = %v, want %v", err, target)
	}
}

func record(id string) *store.Record {
	return &store.Record{
		ID: id, Encoding: store.EncodingShared, Suite: []byte("HPKE\x00\x11\x00\x02\x00\x02"),
		WrappedKey: []byte("wrapped-" + id), PublicKey: []byte("public-" + id), KeyContext: true,
		KeyMAC: []byte("mac"), Created: Start * 1_000_000, Modified: Start * 1_000_000,
		Fields: map[string]store.Value{
			"email": {Blob: []byte{3, 0, 255}},
			"ssn9":  {Blob: []byte("0a#0b"), Text: true},
		},
	}
}

func (e *env) entry(id, event string) *store.Entry {
	n := e.seq.Add(1)
	return &store.Entry{
		VaultID: id, Time: Start*1_000_000 + int64(n), Event: event, Chain: "chain", Seq: n,
		Reason: "because", Fields: []string{"email"}, Hash: []byte{byte(n), 1}, Prev: []byte{2}, Link: []byte{3},
		Body: []byte(`{"expressions":["n"],"released":[],"access":[{"reads":[0],"source_mac":"AQI="}],"outcome":"ok"}`),
	}
}

func (e *env) audit(id string) []store.Entry {
	e.Helper()
	var all []store.Entry
	cursor := ""
	for {
		page, next, err := e.s.Audit(e.ctx(), id, store.Page{Cursor: cursor, Limit: 7})
		e.must(err)
		all = append(all, page...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

func sameRecord(a, b *store.Record) bool {
	return fmt.Sprintf("%#v", *a) == fmt.Sprintf("%#v", *b)
}

// concurrently runs fn n times at once and waits.
func concurrently(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}
