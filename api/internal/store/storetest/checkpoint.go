package storetest

import (
	"fmt"

	"redoubt/api/internal/store"
)

func (e *env) checkpoints() map[string]store.Checkpoint {
	e.Helper()
	all := map[string]store.Checkpoint{}
	e.must(e.s.Checkpoints(e.ctx(), func(c *store.Checkpoint) error {
		if _, twice := all[c.Writer]; twice {
			e.Fatalf("%s comes twice", c.Writer)
		}
		all[c.Writer] = *c
		return nil
	}))
	return all
}

func checkpointsRise(e *env) {
	if n := len(e.checkpoints()); n != 0 {
		e.Fatalf("%d checkpoints of nobody", n)
	}
	a := &store.Checkpoint{Writer: "A", Number: 0, Body: []byte(`{"writer":"A"}`), MAC: []byte{0, 255}}
	e.must(e.s.PutCheckpoint(e.ctx(), a))
	next := &store.Checkpoint{Writer: "A", Number: 7, Body: []byte(`{"writer":"A","through":7}`), MAC: []byte{1}}
	e.must(e.s.PutCheckpoint(e.ctx(), next))
	e.must(e.s.PutCheckpoint(e.ctx(), next)) // again: its outcome may have been unknown
	e.must(e.s.PutCheckpoint(e.ctx(), &store.Checkpoint{Writer: "B", Number: 1, Body: []byte("{}"), MAC: []byte{2}}))
	e.want(e.s.PutCheckpoint(e.ctx(), a), store.ErrConflict)
	got := e.checkpoints()
	if len(got) != 2 || fmt.Sprintf("%#v", got["A"]) != fmt.Sprintf("%#v", *next) {
		e.Fatalf("got %#v", got)
	}
}

// checkpointsApart shows that a checkpoint is neither a record nor an entry.
func checkpointsApart(e *env) {
	e.must(e.s.PutCheckpoint(e.ctx(), &store.Checkpoint{Writer: "A", Number: 1, Body: []byte("{}"), MAC: []byte{1}}))
	list, _, err := e.s.List(e.ctx(), store.Page{})
	e.must(err)
	e.must(e.s.AuditedVaults(e.ctx(), func(id string) error {
		e.Errorf("%s has a log", id)
		return nil
	}))
	_, err = e.s.Get(e.ctx(), "A")
	e.want(err, store.ErrNotFound)
	if len(list) != 0 {
		e.Fatalf("list %v", list)
	}
}

func manyCheckpoints(e *env) {
	const n = 60
	body := make([]byte, 20_000) // more of them than one answer of DynamoDB holds
	for i := range body {
		body[i] = 'x'
	}
	for i := range n {
		c := &store.Checkpoint{Writer: fmt.Sprint("W", i), Number: 1, Body: body, MAC: []byte{1}}
		e.must(e.s.PutCheckpoint(e.ctx(), c))
	}
	if got := e.checkpoints(); len(got) != n {
		e.Fatalf("%d of %d", len(got), n)
	}
}
