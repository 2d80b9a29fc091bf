package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"

	"redoubt/api/internal/pksuid"
	"redoubt/api/internal/store"
)

// maxMissing bounds the entries of one gap that are reported one by one.
const maxMissing = 10

// vaultLog is one vault's log, read and checked.
type vaultLog struct {
	id       string
	age      time.Time // of the vault, by its id; zero if that tells none
	made     bool      // age is known, and a chain says that it was made here
	chains   int
	entries  int
	keyed    int   // entries with the MAC of their writer
	first    int64 // time of the oldest of them, Unix microseconds
	unkeyed  unkeyed
	legacy   legacy
	heads    map[string]Head
	problems []Problem
}

// reader reads and checks logs.
type reader struct {
	store store.Store
	keys  *keyring
	since []Checkpoint
}

// look reads and checks one vault's log. While it is read page by page, entries may be committed out of the order of
// their times and be seen without those before them: what a second reading does not show too is no problem.
func (r *reader) look(ctx context.Context, id string) (*vaultLog, error) {
	v, err := r.read(ctx, id)
	if err != nil || len(v.problems) == 0 {
		return v, err
	}
	first := v.problems
	if v, err = r.read(ctx, id); err != nil {
		return nil, err
	}
	v.problems = slices.DeleteFunc(v.problems, func(p Problem) bool { return !slices.Contains(first, p) })
	return v, nil
}

func (r *reader) read(ctx context.Context, id string) (*vaultLog, error) {
	entries, err := readAll(ctx, r.store, id)
	if err != nil {
		return nil, err
	}
	v := &vaultLog{id: id, heads: map[string]Head{}}
	v.age, v.made = pksuid.Time(vaultPrefix, id)
	v.legacy = legacy{id: id, age: v.age}
	v.unkeyed = unkeyed{id: id, age: v.age}
	return v, v.check(ctx, r, entries)
}

func readAll(ctx context.Context, s store.Store, id string) ([]store.Entry, error) {
	var all []store.Entry
	cursor := ""
	for {
		page, next, err := s.Audit(ctx, id, store.Page{Cursor: cursor, Limit: store.MaxPage})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}

func (v *vaultLog) add(chain string, seq uint64, text string) {
	v.problems = append(v.problems, Problem{VaultID: v.id, Chain: chain, Seq: seq, Text: text})
}

// check checks all entries. The error is one of getting a writer's key.
func (v *vaultLog) check(ctx context.Context, r *reader, entries []store.Entry) error {
	chains := map[string][]*store.Entry{}
	hashes := map[string]bool{}
	created := false
	for i := range entries {
		e := &entries[i]
		if e.Event == store.EventUnreadable {
			v.add(e.Chain, e.Seq, TextBody)
		}
		if e.Chain == "" {
			v.unchained(e)
			continue
		}
		chains[e.Chain] = append(chains[e.Chain], e)
		hashes[string(e.Hash)] = true
		created = created || e.Event == EventCreate
	}
	v.entries, v.chains, v.made = len(entries), len(chains), v.made && created
	for name, list := range chains {
		k, err := v.keyOf(ctx, r.keys, name)
		if err != nil {
			return err
		}
		if last := v.chain(name, k, list, hashes); last != nil {
			v.heads[name] = Head{Seq: last.Seq, Hash: hex.EncodeToString(last.Hash)}
		}
	}
	for _, known := range r.since {
		for name, head := range known[v.id] {
			if !holds(chains[name], head) {
				v.add(name, head.Seq, TextCheckpoint)
			}
		}
	}
	return nil
}

// keyOf is the key of a chain's writer, nil for a chain without one.
func (v *vaultLog) keyOf(ctx context.Context, keys *keyring, chain string) (*key, error) {
	writer, keyed := writerOf(chain)
	switch {
	case !keyed:
		return nil, nil
	case writer == "":
		v.add(chain, 0, TextWriter)
		return newKey([]byte(rand.Text())), nil // which has made none of its entries
	}
	return keys.of(ctx, writer)
}

// chain checks one chain, whose writer has a key unless it is nil, and returns its last entry, nil if none has a place in
// it.
func (v *vaultLog) chain(name string, k *key, list []*store.Entry, hashes map[string]bool) (last *store.Entry) {
	slices.SortStableFunc(list, func(a, b *store.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, e := range list {
		seq := uint64(0)
		if last != nil {
			seq = last.Seq
		}
		switch {
		case e.Seq == 0:
			v.add(name, 0, TextUnnumbered)
			continue
		case e.Seq == seq:
			v.add(name, e.Seq, TextDoubled)
			continue
		case e.Seq > seq+1:
			for i := range min(e.Seq-seq-1, maxMissing) {
				v.add(name, seq+1+i, TextMissing)
			}
		case !follows(e, last):
			v.add(name, e.Seq, TextBroken)
		case len(e.Link) != 0 && !hashes[string(e.Link)]:
			v.add(name, e.Seq, TextLink)
		}
		v.entry(name, k, e)
		last = e
	}
	return last
}

// entry checks what one entry of a chain says of itself.
func (v *vaultLog) entry(name string, k *key, e *store.Entry) {
	switch {
	case k == nil:
		v.unkeyed.add(e)
		if !bytes.Equal(e.Hash, Hash(e)) {
			v.add(name, e.Seq, TextAltered)
		}
	case !k.genuine(e):
		v.add(name, e.Seq, TextAltered)
	default:
		if v.keyed++; v.keyed == 1 || e.Time < v.first {
			v.first = e.Time
		}
	}
	if _, err := Read(e); err != nil {
		v.add(name, e.Seq, TextBody)
	}
}

// follows tells whether an entry names the one before it, nil for the first.
func follows(e, before *store.Entry) bool {
	if before == nil {
		return len(e.Prev) == 0
	}
	return bytes.Equal(e.Prev, before.Hash)
}

// holds tells whether a chain has the entry of a checkpoint. That its hash or MAC is right is checked elsewhere.
func holds(list []*store.Entry, head Head) bool {
	return slices.ContainsFunc(list, func(e *store.Entry) bool {
		return e.Seq == head.Seq && hex.EncodeToString(e.Hash) == head.Hash
	})
}
