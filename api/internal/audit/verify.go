package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// Head is the end of a chain: its last sequence number and that entry's hash in hex.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// Checkpoint is an earlier state of a log. If it is kept where the store's writers cannot reach it, it shows every
// later change to what it covers.
type Checkpoint struct {
	// Heads are the ends of all chains, by vault id and chain.
	Heads map[string]map[string]Head `json:"heads,omitempty"`
	// Writers are checkpoints of writers, as [Token] gives them.
	Writers []string `json:"writers,omitempty"`
}

// Problem is one finding of [Verify]. Seq is 0 if no entry is meant.
type Problem struct {
	VaultID string `json:"vault_id"`
	Chain   string `json:"chain,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Text    string `json:"problem"`
}

// These are the texts of problems.
const (
	TextMissing    = "entry is missing"
	TextAltered    = "entry was altered"
	TextBroken     = "entry does not follow the one before it"
	TextDoubled    = "sequence number appears twice"
	TextUnnumbered = "entry of a chain has no sequence number"
	TextLink       = "entry that the chain began after is missing"
	TextCheckpoint = "entry of the checkpoint is missing or altered"
	TextNoLog      = "record has no audit log"
	TextBody       = "entry is not readable"
	TextWriter     = "chain names no writer"
	TextUnkeyed    = "entries without a MAC, from a time when all had one"
	TextUnchained  = "vault was made after the cut-over, but has entries without a chain"
	TextTally      = "checkpoint is not one of its writer"
	TextShort      = "entries that the writer counted in its checkpoint are missing"
	TextMore       = "there are more entries than the writer counted in its checkpoint"
	TextNoTally    = "checkpoint of the writer is missing"
	TextOldTally   = "checkpoint of the writer is missing or older than it was: the store was put back, or cut"
)

// Options are what is known from elsewhere than the store.
type Options struct {
	// Since are checkpoints. Their heads must still be there.
	Since []Checkpoint
	// Cutover is a time after the reference made its last vault. Zero: the time of the oldest vault that Redoubt
	// made, by its id.
	Cutover time.Time
	// Keyed is a time after which no process of a release that chains without a key has written. Zero: a day after
	// the oldest entry with a MAC.
	Keyed time.Time
	// Journal, unless nil, is written so that a later Verify can continue from it.
	Journal *Journal
	// Visited, unless nil, is called after each vault with the findings so far.
	Visited func(*Report)
}

// Report is the result of [Verify].
type Report struct {
	Vaults  int `json:"vaults"`
	Chains  int `json:"chains"`
	Entries int `json:"entries"`
	// Keyed counts the entries with the MAC of their writer. Checkpointed counts those of them that a checkpoint in
	// the store counts. The others are newer: an attacker could have cut some off unnoticed.
	Keyed        int       `json:"keyed_entries"`
	Checkpointed int       `json:"checkpointed_entries"`
	Unkeyed      int       `json:"unkeyed_entries"`     // in chains without a key, as earlier releases wrote them
	Legacy       int       `json:"legacy_entries"`      // entries without a chain, as the reference wrote them
	Late         int       `json:"late_legacy_entries"` // legacy entries that are not older than the cut-over
	Cutover      time.Time `json:"cutover,omitzero"`
	// KeyedSince is a time from which on every entry has a MAC. It is zero if none has.
	KeyedSince time.Time `json:"keyed_since,omitzero"`
	// ProvenFrom is when the first writer with a key began, and zero if there was none. ProvenTo is the time of the
	// oldest entry that no checkpoint counts, and zero if there is none. If there is no problem, every entry with a
	// MAC between the two is there.
	ProvenFrom time.Time  `json:"proven_from,omitzero"`
	ProvenTo   time.Time  `json:"proven_to,omitzero"`
	Problems   []Problem  `json:"problems"`
	Heads      Checkpoint `json:"-"`

	first   int64     // time of the oldest entry with a MAC, or when its writer began, Unix microseconds
	made    time.Time // time of the oldest vault that Redoubt made
	written work
	older   []older
}

// Verify reads every vault's log, merges and checks its chains, and compares the number of entries with the
// checkpoints. It asks keys once for each writer that has a key. Nil options mean the defaults. The report holds what
// is wrong with entries. If there is an error too, the report is not complete, but what it holds is true. Errors:
// [ErrKeys], [ErrJournal], the store's, the journal's.
func Verify(ctx context.Context, s store.Store, keys Keys, o *Options) (*Report, error) {
	if o == nil {
		o = &Options{}
	}
	ring := newKeyring(keys)
	defer ring.wipe()
	in := &reader{store: s, keys: ring, since: o.Since, books: newBooks(ring)}
	r := &Report{
		Cutover: o.Cutover, KeyedSince: o.Keyed, Problems: []Problem{}, written: work{},
		Heads: Checkpoint{Heads: map[string]map[string]Head{}},
	}
	err := in.run(ctx, r, o)
	slices.SortFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.VaultID, b.VaultID), cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Seq, b.Seq),
			cmp.Compare(a.Text, b.Text))
	})
	r.Problems = slices.Compact(r.Problems) // two checkpoints may hold the same head
	if err != nil {
		return r, fmt.Errorf("audit: %w", err)
	}
	return r, nil
}

func (in *reader) run(ctx context.Context, r *Report, o *Options) error {
	if err := in.open(ctx, r, o.Journal); err != nil {
		return err
	}
	err := in.store.AuditedVaults(ctx, func(id string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, done := r.Heads.Heads[id]; done {
			return nil // before this run was ended
		}
		v, err := in.look(ctx, id)
		if err != nil {
			return err
		}
		r.vault(v)
		if o.Visited != nil {
			o.Visited(r)
		}
		return o.Journal.line(v)
	})
	if err != nil {
		return err
	}
	in.books.balance(r)
	if err := in.close(ctx, r); err != nil {
		return err
	}
	r.judgeOlder()
	for _, since := range o.Since {
		r.unseen(since)
	}
	return r.records(ctx, in.store)
}

// open reads the checkpoints with which the log is compared. It reads them before any entry, so that everything that
// they count is there.
func (in *reader) open(ctx context.Context, r *Report, j *Journal) error {
	for _, since := range in.since {
		if err := in.known(ctx, strings.Join(since.Writers, "\n")); err != nil {
			return err
		}
	}
	if resumed, err := in.resume(ctx, r, j); resumed || err != nil {
		return err
	}
	var all []store.Checkpoint
	err := in.store.Checkpoints(ctx, func(c *store.Checkpoint) error {
		all = append(all, *c)
		_, err := in.books.add(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	return j.begin(all)
}

// known takes in the checkpoints of a text.
func (in *reader) known(ctx context.Context, text string) error {
	for _, c := range tokens([]byte(text)) {
		if _, err := in.books.add(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// close reads the checkpoints again, after all entries.
func (in *reader) close(ctx context.Context, r *Report) error {
	now := map[string]*tally{}
	last := newBooks(in.keys)
	err := in.store.Checkpoints(ctx, func(c *store.Checkpoint) error {
		t, err := last.add(ctx, c)
		if t != nil {
			now[t.Writer] = t
			r.Heads.Writers = append(r.Heads.Writers, Token(c))
		}
		return err
	})
	slices.Sort(r.Heads.Writers)
	r.add(last.bad...)
	in.books.close(r, now)
	return err
}

func (r *Report) add(p ...Problem) { r.Problems = append(r.Problems, p...) }

// vault adds the findings in one vault's log.
func (r *Report) vault(v *vaultLog) {
	r.Vaults++
	r.Chains += v.Chains
	r.Entries += v.Entries
	r.Keyed += v.Unsure
	r.Checkpointed += v.Unsure
	r.Unkeyed += v.Unkeyed
	r.Legacy += len(v.Legacy)
	r.Heads.Heads[v.ID] = v.Heads
	r.add(v.Problems...)
	for writer, epochs := range v.Written {
		for epoch, s := range epochs {
			r.written.add(writer, epoch, s)
		}
	}
	if v.First != 0 && (r.first == 0 || v.First < r.first) {
		r.first = v.First
	}
	if age, ok := pksuid.Time(vaultPrefix, v.ID); ok && v.Made && (r.made.IsZero() || age.Before(r.made)) {
		r.made = age
	}
	if v.Unkeyed+len(v.Legacy) > 0 {
		r.older = append(r.older, older{id: v.ID, unkeyed: v.Unkeyed, newest: v.Newest, legacy: v.Legacy})
	}
}

// unseen finds vaults of a checkpoint that no longer have a log.
func (r *Report) unseen(since Checkpoint) {
	for id, chains := range since.Heads {
		if _, seen := r.Heads.Heads[id]; seen {
			continue
		}
		for name, head := range chains {
			r.add(Problem{id, name, head.Seq, TextCheckpoint})
		}
	}
}

// records finds vaults whose whole log is gone.
func (r *Report) records(ctx context.Context, s store.Store) error {
	cursor := ""
	for {
		list, next, err := s.List(ctx, store.Page{Cursor: cursor, Limit: store.MaxPage})
		if err != nil {
			return err
		}
		for _, one := range list {
			if _, seen := r.Heads.Heads[one.ID]; seen {
				continue
			}
			// It may have been created while Verify ran.
			_, err := s.LastAudit(ctx, one.ID)
			switch {
			case errors.Is(err, store.ErrNotFound):
				r.add(Problem{VaultID: one.ID, Text: TextNoLog})
			case err != nil:
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// ParseCheckpoint reads what [Checkpoint.Marshal] wrote, in this and earlier releases, or finds the checkpoints of
// writers in any text, such as a log.
func ParseCheckpoint(data []byte) (Checkpoint, error) {
	var c Checkpoint
	err := json.Unmarshal(data, &c)
	if err == nil && c.Heads == nil && c.Writers == nil {
		err = json.Unmarshal(data, &c.Heads) // the form of earlier releases
	}
	if err == nil && (c.Heads != nil || c.Writers != nil) {
		return c, nil
	}
	if isText(data) {
		return Checkpoint{Writers: []string{string(data)}}, nil
	}
	return c, errors.New("audit: neither the heads of chains nor a writer's checkpoint")
}

// Marshal writes the checkpoint as JSON.
func (c Checkpoint) Marshal() ([]byte, error) { return json.MarshalIndent(c, "", " ") }
