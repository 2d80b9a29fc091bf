package audit

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/store"
)

// ends is a store whose reader is gone after some vaults. It counts how often a vault's log is read.
type ends struct {
	*memory
	after int
	gone  context.CancelFunc
	reads map[string]int
}

func (e *ends) Audit(ctx context.Context, id string, p store.Page) ([]store.Entry, string, error) {
	e.reads[id]++
	if len(e.reads) == e.after {
		e.gone()
	}
	return e.memory.Audit(ctx, id, p)
}

// interrupted verifies a store in two runs, of which the first ends after some vaults, and returns what the second found,
// and which logs it read.
func interrupted(t *testing.T, s *memory, after int, between func() []Checkpoint) (*Report, map[string]int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var journal bytes.Buffer
	first := &ends{memory: s, after: after, gone: cancel, reads: map[string]int{}}
	j := &Journal{Store: "memory", Out: &journal, Now: time.Now()}
	if _, err := Verify(ctx, first, keys, &Options{Journal: j}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first run: %v", err)
	}
	if n := strings.Count(journal.String(), "\n"); n != after+1 {
		t.Fatalf("%d lines for %d vaults", n, after)
	}
	since := between()
	second := &ends{memory: s, reads: map[string]int{}}
	j = &Journal{Store: "memory", Out: &journal, Old: bytes.Clone(journal.Bytes()), Now: time.Now()}
	r, err := Verify(t.Context(), second, keys, &Options{Journal: j, Since: since})
	if err != nil {
		t.Fatal(err)
	}
	return r, second.reads
}

func TestAVerificationThatWasEndedGoesOn(t *testing.T) {
	s, outside, vaults := history(t)
	whole := verify(t, s, outside)
	for after := 1; after < len(vaults); after++ {
		r, reads := interrupted(t, s, after, func() []Checkpoint { return []Checkpoint{outside} })
		if len(reads) != len(vaults)-after {
			t.Errorf("after %d: %v is read", after, reads)
		}
		if !reflect.DeepEqual(r, whole) {
			t.Errorf("after %d: it is another report, with problems %v", after, r.Problems)
		}
	}
}

func TestAVerificationThatGoesOnKeepsItsProblems(t *testing.T) {
	s, _, vaults := history(t)
	slices.Sort(vaults)
	s.logs[vaults[0]][0].Reason = "altered"
	r, _ := interrupted(t, s, 2, func() []Checkpoint {
		s.logs[vaults[3]] = s.logs[vaults[3]][1:]
		return nil
	})
	for i, id := range vaults {
		if bad := slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.VaultID == id }); bad != (i == 0 || i == 3) {
			t.Errorf("vault %d: %v", i, r.Problems)
		}
	}
}

// TestWritesDuringAVerificationAreNoProblem: also in a vault that was read before it was ended.
func TestWritesDuringAVerificationAreNoProblem(t *testing.T) {
	s, _, vaults := history(t)
	slices.Sort(vaults)
	var k kept
	r, _ := interrupted(t, s, 2, func() []Checkpoint {
		l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note})
		for _, id := range vaults {
			write(t, l, id, 2)
			seal(t, l)
		}
		return nil
	})
	if len(r.Problems) != 0 {
		t.Fatalf("problems %+v", r.Problems)
	}
	r, _ = interrupted(t, s, 2, func() []Checkpoint {
		l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note})
		write(t, l, vaults[0], 2)
		seal(t, l)
		return []Checkpoint{k.last()}
	})
	if len(r.Problems) != 0 {
		t.Fatalf("against a checkpoint of meanwhile: %+v", r.Problems)
	}
}

func TestAJournalOfAnotherStoreIsRefused(t *testing.T) {
	s, _, _ := history(t)
	var journal bytes.Buffer
	j := &Journal{Store: "memory", Out: &journal, Now: time.Now()}
	if _, err := Verify(t.Context(), s, keys, &Options{Journal: j}); err != nil || !IsJournal(journal.Bytes()) {
		t.Fatal(err)
	}
	lines := journal.String()
	for name, bad := range map[string]Journal{
		"another store's": {Store: "other", Old: []byte(lines), Now: time.Now()},
		"too old":         {Store: "memory", Old: []byte(lines), Now: time.Now().Add(maxJournal + time.Hour)},
		"no head":         {Store: "memory", Old: []byte(lines[strings.Index(lines, "\n")+1:]), Now: time.Now()},
		"no journal":      {Store: "memory", Old: []byte("text\n"), Now: time.Now()},
		"a broken line":   {Store: "memory", Old: []byte(strings.Replace(lines, `{"vault"`, `{"vau`, 1)), Now: time.Now()},
	} {
		bad.Out = &bytes.Buffer{}
		if _, err := Verify(t.Context(), s, keys, &Options{Journal: &bad}); !errors.Is(err, ErrJournal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzJournal shows that no journal ends Verify in a panic.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"redoubt_audit_verify":1,"store":"m","began":"2026-01-01T00:00:00Z","checkpoints":["x"]}` + "\n" +
		`{"vault":"v_1","chains":1,"entries":1,"written":{"A":{"1":{"n":1,"at":1}}},"heads":{}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := &Journal{Store: "m", Out: &bytes.Buffer{}, Old: data, Now: at(1)}
		if _, err := Verify(t.Context(), newMemory(), &played{}, &Options{Journal: j}); err != nil && !errors.Is(err, ErrJournal) {
			t.Fatal(err)
		}
	})
}
