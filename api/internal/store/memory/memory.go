// Package memory keeps a store in memory, for simulations: package bolt takes it in the place of its file where there
// are no files to map (wasip1). It passes the conformance suite that the other stores pass.
//
// # What it leaves out
//
// There is no file. So nothing of the embedded store's own is seen here: commits in groups, room and reserve, damage,
// erasing of freed pages, backup and restore. A write is durable as soon as it is made, for the process's life. The
// native form of a simulation runs the embedded store itself.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"redoubt/api/internal/store"
)

// Store is a store.Store in memory. Make one with New.
type Store struct {
	now func() time.Time

	mu          sync.Mutex
	records     map[string]*store.Record
	entries     map[string]map[string]store.Entry // by vault, then by key
	remembered  map[string]store.Idempotency
	checkpoints map[string]store.Checkpoint
	keys        map[string]*store.Keys
	domains     map[string]*store.Domain // by id and generation

	inconsistent uint64
}

var _ store.Store = (*Store)(nil)

// New makes an empty store. now is its clock; nil: time.Now.
func New(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{
		now: now, records: map[string]*store.Record{}, entries: map[string]map[string]store.Entry{},
		remembered: map[string]store.Idempotency{}, checkpoints: map[string]store.Checkpoint{},
		keys: map[string]*store.Keys{}, domains: map[string]*store.Domain{},
	}
}

// entryKey orders a vault's entries by time, chain and sequence number.
func entryKey(e *store.Entry) string { return fmt.Sprintf("%020d/%s/%020d", e.Time, e.Chain, e.Seq) }

// taken reports whether there is such an entry. mu is held, as by all below that say nothing else.
func (s *Store) taken(e *store.Entry) bool {
	if e == nil {
		return false
	}
	_, ok := s.entries[e.VaultID][entryKey(e)]
	return ok
}

func (s *Store) put(e *store.Entry) {
	if e == nil {
		return
	}
	log := s.entries[e.VaultID]
	if log == nil {
		log = map[string]store.Entry{}
		s.entries[e.VaultID] = log
	}
	log[entryKey(e)] = cloneEntry(e)
}

// live returns a record that is neither missing nor expired.
func (s *Store) live(id string) (*store.Record, error) {
	r := s.records[id]
	if r == nil || r.Expired(s.now()) {
		return nil, store.ErrNotFound
	}
	return r, nil
}

func (s *Store) at(id string, revision int64) (*store.Record, error) {
	r, err := s.live(id)
	if err == nil && r.Modified != revision {
		err = store.ErrConflict
	}
	return r, err
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, r *store.Record, e *store.Entry, i *store.Idempotency) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.create(r, e, i)
}

// create does Create. mu is held.
func (s *Store) create(r *store.Record, e *store.Entry, i *store.Idempotency) error {
	if _, err := s.live(r.ID); err == nil || s.taken(e) {
		return store.ErrExists
	}
	if i != nil {
		if _, err := s.memory(i.Key); err == nil {
			return store.ErrExists
		}
		c := *i
		c.MAC = bytes.Clone(i.MAC)
		s.remembered[i.Key] = c
	}
	s.put(e)
	s.records[r.ID] = cloneRecord(r)
	return nil
}

// Get implements store.Store.
func (s *Store) Get(_ context.Context, id string) (*store.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.live(id)
	if err != nil {
		return nil, err
	}
	return cloneRecord(r), nil
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, u *store.Update, e *store.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	old, err := s.at(u.ID, u.Revision)
	if err != nil {
		return err
	}
	if u.Keyed != (old.Domain != nil) {
		return store.ErrConflict
	}
	for ref := range u.AddEncs {
		if _, there := old.Encs[ref]; there {
			return store.ErrExists
		}
	}
	k := s.keys[u.ID]
	if u.Keyed && u.ExpireAt != nil && (k == nil || k.Erased != 0) {
		return store.ErrConflict // brought back without its keys
	}
	if s.taken(e) {
		return store.ErrExists
	}
	r := cloneRecord(old)
	for _, ref := range u.DropEncs {
		delete(r.Encs, ref)
	}
	if len(u.AddEncs) > 0 && r.Encs == nil {
		r.Encs = map[string][]byte{}
	}
	for ref, enc := range u.AddEncs {
		r.Encs[ref] = bytes.Clone(enc)
	}
	r.Modified = u.Modified
	if u.Encoding != 0 {
		r.Encoding = u.Encoding
	}
	if u.ExpireAt != nil {
		r.ExpireAt = *u.ExpireAt
	}
	if u.Own != nil {
		r.Own = append([]string(nil), *u.Own...)
	}
	for name, v := range u.Set {
		r.Fields[name] = store.Value{Blob: bytes.Clone(v.Blob), Text: v.Text}
	}
	for _, name := range u.Remove {
		delete(r.Fields, name)
	}
	if u.Keyed && u.ExpireAt != nil {
		k.ExpireAt = r.ExpireAt
		s.putKeys(k)
	}
	s.put(e)
	s.records[u.ID] = r
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, id string, revision int64, e *store.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := s.at(id, revision)
	if err != nil {
		return err
	}
	if r.Domain != nil {
		return store.ErrKeyed
	}
	if s.taken(e) {
		return store.ErrExists
	}
	s.put(e)
	delete(s.records, id)
	return nil
}

// page cuts one page out of sorted keys, from the cursor on, and returns the next cursor. mu need not be held.
func page(keys []string, p store.Page) (cut []string, next string, err error) {
	from, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return nil, "", store.ErrCursor
	}
	i, _ := slices.BinarySearch(keys, string(from))
	keys = keys[i:]
	if len(keys) > p.Size() {
		next = base64.RawURLEncoding.EncodeToString([]byte(keys[p.Size()]))
		keys = keys[:p.Size()]
	}
	return keys, next, nil
}

// List implements store.Store. It orders by id.
func (s *Store) List(_ context.Context, p store.Page) ([]store.Summary, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, next, err := page(slices.Sorted(maps.Keys(s.records)), p)
	if err != nil {
		return nil, "", err
	}
	var out []store.Summary
	for _, id := range keys {
		if r, err := s.live(id); err == nil {
			out = append(out, store.Summary{ID: id, Created: r.Created, Modified: r.Modified, ExpireAt: r.ExpireAt})
		}
	}
	return out, next, nil
}

// AppendAudit implements store.Store.
func (s *Store) AppendAudit(ctx context.Context, e *store.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.taken(e) {
		return store.ErrExists
	}
	s.put(e)
	return nil
}

// Audit implements store.Store. Its cursors name their vault.
func (s *Store) Audit(_ context.Context, vaultID string, p store.Page) ([]store.Entry, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := vaultID + "\x00"
	log := s.entries[vaultID]
	keys := make([]string, 0, len(log))
	for _, k := range slices.Sorted(maps.Keys(log)) {
		keys = append(keys, prefix+k)
	}
	if from, err := base64.RawURLEncoding.DecodeString(p.Cursor); err != nil ||
		p.Cursor != "" && !bytes.HasPrefix(from, []byte(prefix)) {
		return nil, "", store.ErrCursor
	}
	keys, next, err := page(keys, p)
	if err != nil {
		return nil, "", err
	}
	var out []store.Entry
	for _, k := range keys {
		e := log[k[len(prefix):]]
		out = append(out, cloneEntry(&e))
	}
	return out, next, nil
}

// LastAudit implements store.Store.
func (s *Store) LastAudit(_ context.Context, vaultID string) (*store.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.entries[vaultID]
	if len(log) == 0 {
		return nil, store.ErrNotFound
	}
	e := log[slices.Max(slices.Collect(maps.Keys(log)))]
	e = cloneEntry(&e)
	return &e, nil
}

// AuditedVaults implements store.Store.
func (s *Store) AuditedVaults(ctx context.Context, yield func(string) error) error {
	s.mu.Lock()
	ids := slices.Sorted(maps.Keys(s.entries))
	s.mu.Unlock()
	for _, id := range ids {
		if err := cmp.Or(ctx.Err(), yield(id)); err != nil {
			return err
		}
	}
	return nil
}

// PutCheckpoint implements store.Store.
func (s *Store) PutCheckpoint(ctx context.Context, c *store.Checkpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if old, ok := s.checkpoints[c.Writer]; ok && old.Number > c.Number {
		return store.ErrConflict
	}
	s.checkpoints[c.Writer] = cloneCheckpoint(c)
	return nil
}

// Checkpoints implements store.Store.
func (s *Store) Checkpoints(_ context.Context, yield func(*store.Checkpoint) error) error {
	s.mu.Lock()
	var all []store.Checkpoint
	for _, w := range slices.Sorted(maps.Keys(s.checkpoints)) {
		c := s.checkpoints[w]
		all = append(all, cloneCheckpoint(&c))
	}
	s.mu.Unlock()
	for i := range all {
		if err := yield(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// Idempotency implements store.Store.
func (s *Store) Idempotency(_ context.Context, key string) (*store.Idempotency, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory(key)
}

func (s *Store) memory(key string) (*store.Idempotency, error) {
	i, ok := s.remembered[key]
	if !ok || i.ExpireAt <= s.now().Unix() {
		return nil, store.ErrNotFound
	}
	i.MAC = bytes.Clone(i.MAC)
	return &i, nil
}

// Due returns the ids of expired records that are still kept, in order.
func (s *Store) Due() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []string
	for _, id := range slices.Sorted(maps.Keys(s.records)) {
		if s.records[id].Expired(s.now()) {
			due = append(due, id)
		}
	}
	return due
}

// Expire removes an expired record and keeps e, both or neither. ErrConflict if it is gone or has got more time.
func (s *Store) Expire(id string, e *store.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if r == nil || !r.Expired(s.now()) {
		return store.ErrConflict
	}
	if s.taken(e) {
		return store.ErrExists
	}
	s.put(e)
	delete(s.records, id)
	if k := s.keys[id]; k != nil && k.Erased == 0 {
		delete(s.keys, id)
	}
	return nil
}

// PutBack stores a record as it was in a backup of records, whatever is there. Its keys stay as they are.
func (s *Store) PutBack(r *store.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[r.ID] = cloneRecord(r)
}

// PutBackKeyed is PutBack of a record and its keys.
func (s *Store) PutBackKeyed(r *store.Record, k *store.Keys) {
	s.PutBack(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[r.ID] = cloneKeys(k)
}

// Counts returns how many records, expired ones included, and audit entries there are.
func (s *Store) Counts() (records, entries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, log := range s.entries {
		entries += len(log)
	}
	return len(s.records), entries
}

// Ping implements store.Store.
func (s *Store) Ping(context.Context) error { return nil }

// Close implements store.Store. The content stays.
func (s *Store) Close() error { return nil }

func cloneRecord(r *store.Record) *store.Record {
	c := *r
	c.Suite, c.WrappedKey = bytes.Clone(r.Suite), bytes.Clone(r.WrappedKey)
	c.PublicKey, c.KeyMAC = bytes.Clone(r.PublicKey), bytes.Clone(r.KeyMAC)
	c.Own = append([]string(nil), r.Own...)
	c.Domain = bytes.Clone(r.Domain)
	if r.Encs != nil {
		c.Encs = make(map[string][]byte, len(r.Encs))
		for ref, enc := range r.Encs {
			c.Encs[ref] = bytes.Clone(enc)
		}
	}
	c.Fields = make(map[string]store.Value, len(r.Fields))
	for name, v := range r.Fields {
		c.Fields[name] = store.Value{Blob: bytes.Clone(v.Blob), Text: v.Text}
	}
	return &c
}

func cloneEntry(e *store.Entry) store.Entry {
	c := *e
	c.Fields = slices.Clone(e.Fields)
	c.Prev, c.Link, c.Hash = bytes.Clone(e.Prev), bytes.Clone(e.Link), bytes.Clone(e.Hash)
	c.Body = bytes.Clone(e.Body)
	return c
}

func cloneCheckpoint(c *store.Checkpoint) store.Checkpoint {
	d := *c
	d.Body, d.MAC = bytes.Clone(c.Body), bytes.Clone(c.MAC)
	return d
}
