package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"

	"redoubt/api/internal/store"
)

// maxMissing bounds the missing entries of one gap that are reported one by one.
const maxMissing = 10

// vaultLog is one vault's log, read and checked.
type vaultLog struct {
	ID       string          `json:"vault"`
	Made     bool            `json:"made,omitempty"` // a chain says that Redoubt made the vault
	Chains   int             `json:"chains"`
	Entries  int             `json:"entries"`
	First    int64           `json:"first,omitempty"`   // time of the oldest entry with a MAC, Unix microseconds
	Unkeyed  int             `json:"unkeyed,omitempty"` // number of entries without a key, and the time of the newest
	Newest   int64           `json:"newest,omitempty"`
	Legacy   []int64         `json:"legacy,omitempty"`
	Written  work            `json:"written,omitempty"`
	Unsure   int             `json:"unsure,omitempty"` // entries with a MAC whose writer did not know that it stored them
	Heads    map[string]Head `json:"heads"`
	Problems []Problem       `json:"problems,omitempty"`
}

// work counts entries with the MAC of their writer, by writer and epoch.
type work map[string]map[uint64]span

// span counts entries and has the time of the oldest, Unix microseconds.
type span struct {
	Entries uint64 `json:"n"`
	Oldest  int64  `json:"at"`
}

func (w work) add(writer string, epoch uint64, s span) {
	if w[writer] == nil {
		w[writer] = map[uint64]span{}
	}
	was, ok := w[writer][epoch]
	if ok {
		s = span{was.Entries + s.Entries, min(was.Oldest, s.Oldest)}
	}
	w[writer][epoch] = s
}

// reader reads and checks logs.
type reader struct {
	store store.Store
	keys  *keyring
	since []Checkpoint
	books *books
}

// look reads and checks one vault's log. While it is read page by page, entries may be committed out of the order of
// their times, and be seen without those before them. So what a second reading does not show too is not a problem.
func (r *reader) look(ctx context.Context, id string) (*vaultLog, error) {
	v, err := r.read(ctx, id)
	if err != nil || len(v.Problems) == 0 {
		return v, err
	}
	first := v.Problems
	if v, err = r.read(ctx, id); err != nil {
		return nil, err
	}
	v.Problems = slices.DeleteFunc(v.Problems, func(p Problem) bool { return !slices.Contains(first, p) })
	return v, nil
}

func (r *reader) read(ctx context.Context, id string) (*vaultLog, error) {
	entries, err := readAll(ctx, r.store, id)
	if err != nil {
		return nil, err
	}
	v := &vaultLog{ID: id, Written: work{}, Heads: map[string]Head{}}
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
	v.Problems = append(v.Problems, Problem{VaultID: v.ID, Chain: chain, Seq: seq, Text: text})
}

// check checks all entries. The error is one of getting a writer's key.
func (v *vaultLog) check(ctx context.Context, r *reader, entries []store.Entry) error {
	chains := map[string][]*store.Entry{}
	hashes := map[string]bool{}
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
		v.Made = v.Made || e.Event == EventCreate
	}
	v.Entries, v.Chains = len(entries), len(chains)
	for name, list := range chains {
		k, err := v.keyOf(ctx, r.keys, name)
		if err != nil {
			return err
		}
		if last := v.chain(r, name, k, list, hashes); last != nil {
			v.Heads[name] = Head{Seq: last.Seq, Hash: hex.EncodeToString(last.Hash)}
		}
	}
	for _, known := range r.since {
		for name, head := range known.Heads[v.ID] {
			if !holds(chains[name], head) {
				v.add(name, head.Seq, TextCheckpoint)
			}
		}
	}
	return nil
}

// keyOf is the key of a chain's writer. It is nil for a chain without a key.
func (v *vaultLog) keyOf(ctx context.Context, keys *keyring, chain string) (*key, error) {
	writer, keyed := writerOf(chain)
	switch {
	case !keyed:
		return nil, nil
	case writer == "":
		v.add(chain, 0, TextWriter)
		return newKey([]byte(rand.Text())), nil // a key that made none of its entries
	}
	return keys.of(ctx, writer)
}

// chain checks one chain. k is the writer's key, or nil if it has none. It returns the chain's last entry, and nil if
// no entry has a place in it.
func (v *vaultLog) chain(r *reader, name string, k *key, list []*store.Entry, hashes map[string]bool) (
	last *store.Entry,
) {
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
		v.entry(r, name, k, e)
		last = e
	}
	return last
}

// entry checks one entry of a chain by itself, and counts it.
func (v *vaultLog) entry(r *reader, name string, k *key, e *store.Entry) {
	_, epoch, err := read(e)
	if err != nil {
		v.add(name, e.Seq, TextBody)
	}
	switch {
	case k == nil && bytes.Equal(e.Hash, Hash(e)):
		v.Unkeyed++
		v.Newest = max(v.Newest, e.Time)
	case k == nil || !k.genuine(e):
		v.add(name, e.Seq, TextAltered)
	default:
		if v.First == 0 || e.Time < v.First {
			v.First = e.Time
		}
		writer, _ := writerOf(name)
		if r.books.unknown(writer, e.Hash) {
			v.Unsure++
			return
		}
		v.Written.add(writer, epoch, span{1, e.Time})
	}
}

// follows reports whether an entry names the one before it, which is nil for the first.
func follows(e, before *store.Entry) bool {
	if before == nil {
		return len(e.Prev) == 0
	}
	return bytes.Equal(e.Prev, before.Hash)
}

// holds reports whether a chain has the entry of a checkpoint. Whether that entry's hash or MAC is right is checked
// elsewhere.
func holds(list []*store.Entry, head Head) bool {
	return slices.ContainsFunc(list, func(e *store.Entry) bool {
		return e.Seq == head.Seq && hex.EncodeToString(e.Hash) == head.Hash
	})
}
