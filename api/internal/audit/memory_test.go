package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"redoubt/api/internal/store"
)

// memory is a store in memory, of which an attacker may change everything.
type memory struct {
	store.Store
	mu      sync.Mutex
	logs    map[string][]store.Entry // by vault, in order
	records map[string]bool
	checks  map[string]store.Checkpoint
}

func newMemory() *memory {
	return &memory{logs: map[string][]store.Entry{}, records: map[string]bool{}, checks: map[string]store.Checkpoint{}}
}

// clone is a deep copy.
func (m *memory) clone() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := newMemory()
	for id, log := range m.logs {
		for _, e := range log {
			out.logs[id] = append(out.logs[id], cloneEntry(e))
		}
	}
	maps.Copy(out.records, m.records)
	maps.Copy(out.checks, m.checks)
	return out
}

func cloneEntry(e store.Entry) store.Entry {
	e.Fields, e.Prev, e.Link = slices.Clone(e.Fields), slices.Clone(e.Prev), slices.Clone(e.Link)
	e.Hash, e.Body = slices.Clone(e.Hash), slices.Clone(e.Body)
	return e
}

func (m *memory) AppendAudit(_ context.Context, e *store.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[e.VaultID] = true
	m.logs[e.VaultID] = append(m.logs[e.VaultID], cloneEntry(*e))
	slices.SortStableFunc(m.logs[e.VaultID], func(a, b store.Entry) int { return cmp.Compare(a.Time, b.Time) })
	return nil
}

func (m *memory) Audit(_ context.Context, id string, _ store.Page) ([]store.Entry, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.logs[id]), "", nil
}

func (m *memory) LastAudit(_ context.Context, id string) (*store.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.logs[id]) == 0 {
		return nil, store.ErrNotFound
	}
	e := cloneEntry(m.logs[id][len(m.logs[id])-1])
	return &e, nil
}

func (m *memory) AuditedVaults(_ context.Context, yield func(string) error) error {
	m.mu.Lock()
	ids := slices.Sorted(maps.Keys(m.logs))
	m.mu.Unlock()
	for _, id := range ids {
		if err := yield(id); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) List(context.Context, store.Page) ([]store.Summary, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.Summary
	for _, id := range slices.Sorted(maps.Keys(m.records)) {
		out = append(out, store.Summary{ID: id})
	}
	return out, "", nil
}

func (m *memory) PutCheckpoint(_ context.Context, c *store.Checkpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.checks[c.Writer].Number > c.Number {
		return store.ErrConflict
	}
	m.checks[c.Writer] = *c
	return nil
}

func (m *memory) Checkpoints(_ context.Context, yield func(*store.Checkpoint) error) error {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.checks))
	m.mu.Unlock()
	for i := range all {
		if err := yield(&all[i]); err != nil {
			return err
		}
	}
	return nil
}
