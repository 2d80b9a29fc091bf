package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"redoubt/api/internal/store"
)

// Head is the end of a chain: its last sequence number and that entry's hash in hex.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// Checkpoint holds the heads of all chains, by vault id and chain. Kept where the store's writers cannot reach it, it
// shows every later change to what it covers.
type Checkpoint map[string]map[string]Head

// Problem is one finding of [Verify]. Seq is 0 where no entry is meant.
type Problem struct {
	VaultID string `json:"vault_id"`
	Chain   string `json:"chain,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Text    string `json:"problem"`
}

// Texts of problems.
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
)

// Options are what is known from elsewhere.
type Options struct {
	// Since are checkpoints whose heads must still be there.
	Since []Checkpoint
	// Cutover is a time after the reference made its last vault. Zero: the time of the oldest vault of ours, by its id.
	Cutover time.Time
	// Keyed is a time after which no release wrote that chains without a key. Zero: a day after the oldest entry with a MAC.
	Keyed time.Time
}

// Report is what [Verify] found.
type Report struct {
	Vaults  int       `json:"vaults"`
	Chains  int       `json:"chains"`
	Entries int       `json:"entries"`
	Keyed   int       `json:"keyed_entries"`       // with the MAC of their writer
	Unkeyed int       `json:"unkeyed_entries"`     // of chains without a key, as earlier releases wrote them
	Legacy  int       `json:"legacy_entries"`      // without a chain, as the reference wrote them
	Late    int       `json:"late_legacy_entries"` // those of them that are not older than the cut-over
	Cutover time.Time `json:"cutover,omitzero"`
	// KeyedSince is a time from which on every entry has a MAC; zero if none has.
	KeyedSince time.Time  `json:"keyed_since,omitzero"`
	Problems   []Problem  `json:"problems"`
	Heads      Checkpoint `json:"-"`

	first   int64 // time of the oldest entry with a MAC, Unix microseconds
	unkeyed []unkeyed
	legacy  []legacy
}

// Verify reads every vault's log, merges its chains and checks them. keys is asked once for each writer that has one. o
// may be nil. What is wrong with entries is in the report. Errors: [ErrKeys], the store's.
func Verify(ctx context.Context, s store.Store, keys Keys, o *Options) (*Report, error) {
	if o == nil {
		o = &Options{}
	}
	in := &reader{store: s, keys: newKeyring(keys), since: o.Since}
	defer in.keys.wipe()
	r := &Report{Cutover: o.Cutover, KeyedSince: o.Keyed, Problems: []Problem{}, Heads: Checkpoint{}}
	first := time.Time{}
	err := s.AuditedVaults(ctx, func(id string) error {
		v, err := in.look(ctx, id)
		if err != nil {
			return err
		}
		r.vault(v)
		if v.made && (first.IsZero() || v.age.Before(first)) {
			first = v.age
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if r.Cutover.IsZero() {
		r.Cutover = first
	}
	r.judgeUnkeyed()
	r.judgeLegacy()
	for _, since := range o.Since {
		r.unseen(since)
	}
	if err := r.records(ctx, s); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	slices.SortFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.VaultID, b.VaultID), cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Seq, b.Seq),
			cmp.Compare(a.Text, b.Text))
	})
	r.Problems = slices.Compact(r.Problems) // two checkpoints may hold the same head
	return r, nil
}

func (r *Report) add(p ...Problem) { r.Problems = append(r.Problems, p...) }

// vault adds what was found in one vault's log.
func (r *Report) vault(v *vaultLog) {
	r.Vaults++
	r.Chains += v.chains
	r.Entries += v.entries
	r.Legacy += len(v.legacy.times)
	r.Heads[v.id] = v.heads
	r.add(v.problems...)
	r.Keyed += v.keyed
	r.Unkeyed += v.unkeyed.count
	if v.keyed > 0 && (r.first == 0 || v.first < r.first) {
		r.first = v.first
	}
	if v.unkeyed.count > 0 {
		r.unkeyed = append(r.unkeyed, v.unkeyed)
	}
	if len(v.legacy.times) > 0 {
		r.legacy = append(r.legacy, v.legacy)
	}
}

// unseen finds vaults of a checkpoint that have no log any more.
func (r *Report) unseen(since Checkpoint) {
	for id, chains := range since {
		if _, seen := r.Heads[id]; seen {
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
			if _, seen := r.Heads[one.ID]; seen {
				continue
			}
			// It may have been created while we looked.
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

// ParseCheckpoint reads what [Checkpoint.Marshal] wrote.
func ParseCheckpoint(data []byte) (Checkpoint, error) {
	var c Checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("audit: checkpoint: %w", err)
	}
	return c, nil
}

// Marshal writes the checkpoint as JSON.
func (c Checkpoint) Marshal() ([]byte, error) { return json.MarshalIndent(c, "", " ") }
