package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// kept collects the checkpoints that a log stores.
type kept struct {
	mu     sync.Mutex
	tokens []string
	failed []error
}

func (k *kept) note(c *store.Checkpoint, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.failed = append(k.failed, err)
		return
	}
	k.tokens = append(k.tokens, Token(c))
}

func (k *kept) last() Checkpoint {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Checkpoint{Writers: k.tokens[len(k.tokens)-1:]}
}

func seal(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// faults makes writes of a memory store fail.
type faults struct {
	*memory
	appends, puts func() error
	change        sync.Mutex // over puts
}

// failPuts makes each PutCheckpoint end in err until it is nil again.
func (f *faults) failPuts(err error) {
	f.change.Lock()
	defer f.change.Unlock()
	f.puts = func() error { return err }
}

func (f *faults) AppendAudit(ctx context.Context, e *store.Entry) error {
	if f.appends != nil {
		if err := f.appends(); err != nil {
			if errors.Is(err, errStored) {
				_ = f.memory.AppendAudit(ctx, e)
			}
			return err
		}
	}
	return f.memory.AppendAudit(ctx, e)
}

func (f *faults) PutCheckpoint(ctx context.Context, c *store.Checkpoint) error {
	f.change.Lock()
	puts := f.puts
	f.change.Unlock()
	if puts != nil {
		if err := puts(); err != nil {
			return err
		}
	}
	return f.memory.PutCheckpoint(ctx, c)
}

// errStored is an unknown outcome of a write that took place.
var errStored = fmt.Errorf("stored: %w", store.ErrUnknownOutcome)

// history is a store that three processes wrote to, with the last checkpoint of each, also outside. The vaults were made
// in February; one of them is of before and has a chain without a key.
func history(t *testing.T) (s *memory, outside Checkpoint, vaults []string) {
	t.Helper()
	s = newMemory()
	clock := at(2)
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	for i := range 4 {
		vaults = append(vaults, pksuid.New(vaultPrefix, at(2).Add(time.Duration(i)*time.Minute)))
	}
	for range 3 {
		var k kept
		l := New(Config{Store: s, Keys: keys, Now: now, Kept: k.note})
		for i, id := range vaults {
			if err := l.Write(t.Context(), create(id)); err != nil {
				t.Fatal(err)
			}
			write(t, l, id, i)
			seal(t, l)
		}
		outside.Writers = append(outside.Writers, k.last().Writers...)
	}
	if r := verify(t, s, outside); len(r.Problems) != 0 || r.Checkpointed != r.Keyed || r.Keyed != 30 || !r.ProvenTo.IsZero() {
		t.Fatalf("before: %+v", r)
	}
	return s, outside, vaults
}

// attacks are what somebody can do who has the whole store and no key. Each does something, or returns false.
var attacks = map[string]func(r *rand.Rand, s, earlier *memory, id string) bool{
	"remove an entry": func(r *rand.Rand, s, _ *memory, id string) bool {
		i := r.IntN(len(s.logs[id]))
		s.logs[id] = slices.Delete(s.logs[id], i, i+1)
		return true
	},
	"cut the end": func(r *rand.Rand, s, _ *memory, id string) bool {
		s.logs[id] = s.logs[id][:r.IntN(len(s.logs[id]))]
		return true
	},
	"cut the beginning": func(r *rand.Rand, s, _ *memory, id string) bool {
		s.logs[id] = s.logs[id][1+r.IntN(len(s.logs[id])-1):]
		return true
	},
	"drop a chain": func(r *rand.Rand, s, _ *memory, id string) bool {
		chain := s.logs[id][r.IntN(len(s.logs[id]))].Chain
		s.logs[id] = slices.DeleteFunc(s.logs[id], func(e store.Entry) bool { return e.Chain == chain })
		return true
	},
	"drop a record with its whole log": func(_ *rand.Rand, s, _ *memory, id string) bool {
		delete(s.logs, id)
		delete(s.records, id)
		return true
	},
	"alter an entry": func(r *rand.Rand, s, _ *memory, id string) bool {
		e := &s.logs[id][r.IntN(len(s.logs[id]))]
		switch r.IntN(8) {
		case 0:
			e.Reason += "x"
		case 1:
			e.Time--
		case 2:
			e.Fields = append(e.Fields, "dob")
		case 3:
			e.Body = []byte(strings.Replace(string(e.Body), "key:test", "key:other", 1))
		case 4:
			e.Seq++
		case 5:
			e.Hash[r.IntN(32)] ^= 1
		case 6:
			e.Event = EventUpdate
		case 7:
			e.Prev = append(e.Prev, 1)
		}
		return true
	},
	"swap two entries": func(r *rand.Rand, s, _ *memory, id string) bool {
		i, j := r.IntN(len(s.logs[id])), r.IntN(len(s.logs[id]))
		a, b := &s.logs[id][i], &s.logs[id][j]
		a.Seq, b.Seq, a.Time, b.Time = b.Seq, a.Seq, b.Time, a.Time
		return i != j
	},
	"move an entry to another vault": func(r *rand.Rand, s, _ *memory, id string) bool {
		e := s.logs[id][0]
		s.logs[id] = s.logs[id][1:]
		e.VaultID = pksuid.New(vaultPrefix, at(2))
		s.logs[e.VaultID] = append(s.logs[e.VaultID], e)
		return true
	},
	"double an entry": func(r *rand.Rand, s, _ *memory, id string) bool {
		s.logs[id] = append(s.logs[id], s.logs[id][r.IntN(len(s.logs[id]))])
		return true
	},
	"forge a tail": func(r *rand.Rand, s, _ *memory, id string) bool {
		e := cloneEntry(s.logs[id][len(s.logs[id])-1])
		e.Seq, e.Prev, e.Time = e.Seq+1, e.Hash, e.Time+1
		e.Hash = newKey([]byte("guessed")).sum(&e)
		s.logs[id] = append(s.logs[id], e)
		return true
	},
	"rewrite the log as an earlier release's": func(r *rand.Rand, s, _ *memory, id string) bool {
		s.logs[id] = rewritten(slices.Delete(s.logs[id], 0, r.IntN(len(s.logs[id]))), callings["earlier release's"], Hash)
		return true
	},
	"rewrite all logs as an earlier release's": func(_ *rand.Rand, s, _ *memory, _ string) bool {
		for id := range s.logs {
			s.logs[id] = rewritten(s.logs[id], callings["earlier release's"], Hash)
		}
		clear(s.checks)
		return true
	},
	"rewrite the log as the reference's": func(_ *rand.Rand, s, _ *memory, id string) bool {
		for i, e := range s.logs[id] {
			s.logs[id][i] = store.Entry{VaultID: id, Time: at(1).UnixMicro() + int64(i), Event: e.Event, Fields: e.Fields}
		}
		return true
	},
	"empty the store": func(_ *rand.Rand, s, _ *memory, _ string) bool {
		*s = *newMemory()
		return true
	},
	"drop a writer throughout": func(r *rand.Rand, s, _ *memory, id string) bool {
		writer, _ := writerOf(s.logs[id][r.IntN(len(s.logs[id]))].Chain)
		for id := range s.logs {
			s.logs[id] = slices.DeleteFunc(s.logs[id], func(e store.Entry) bool { return strings.Contains(e.Chain, writer) })
		}
		delete(s.checks, writer)
		return true
	},
	"put the whole store back": func(_ *rand.Rand, s, earlier *memory, _ string) bool {
		*s = *earlier.clone()
		return true
	},
	"drop a checkpoint": func(r *rand.Rand, s, _ *memory, _ string) bool {
		delete(s.checks, anyWriter(r, s))
		return true
	},
	"put a checkpoint back": func(r *rand.Rand, s, earlier *memory, _ string) bool {
		w := anyWriter(r, s)
		s.checks[w] = earlier.checks[w]
		return true
	},
	"alter a checkpoint": func(r *rand.Rand, s, _ *memory, _ string) bool {
		w := anyWriter(r, s)
		c := s.checks[w]
		c.Body = []byte(strings.Replace(string(c.Body), `"entries":10`, `"entries":9`, 1))
		s.checks[w] = c
		return true
	},
}

func anyWriter(r *rand.Rand, s *memory) string {
	all := slices.Sorted(func(yield func(string) bool) {
		for w := range s.checks {
			if !yield(w) {
				return
			}
		}
	})
	if len(all) == 0 {
		return ""
	}
	return all[r.IntN(len(all))]
}

// asItBegan is what somebody kept of a store when its writers had begun and written nothing.
func asItBegan(t *testing.T, s *memory) *memory {
	t.Helper()
	earlier := newMemory()
	for w := range s.checks {
		k, err := writerKey(t.Context(), keys, w)
		if err != nil {
			t.Fatal(err)
		}
		first, err := k.sign(&tally{Writer: w})
		if err != nil {
			t.Fatal(err)
		}
		earlier.checks[w] = *first
	}
	return earlier
}

// TestEveryAttackOnTheStoreShows: whatever somebody does who has the whole store and no key, to whatever checkpoints count,
// is found with the key and a checkpoint outside.
func TestEveryAttackOnTheStoreShows(t *testing.T) {
	clean, outside, vaults := history(t)
	earlier := asItBegan(t, clean)
	for name, attack := range attacks {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := clean.clone()
			if !attack(r, s, earlier, vaults[r.IntN(len(vaults))]) {
				continue
			}
			report, err := Verify(t.Context(), s, keys, &Options{Since: []Checkpoint{outside}})
			if err != nil || len(report.Problems) == 0 {
				t.Errorf("%s (%d): no problem: %+v, %v", name, seed, report, err)
			}
		}
	}
}

// TestAttacksOnALogShowWithoutACheckpointOutside: by those in the store, as long as not the whole store is put back.
func TestAttacksOnALogShowWithoutACheckpointOutside(t *testing.T) {
	clean, _, vaults := history(t)
	earlier := asItBegan(t, clean)
	for _, name := range []string{
		"remove an entry", "cut the end", "cut the beginning", "drop a chain", "drop a record with its whole log", "alter an entry",
		"forge a tail", "double an entry", "move an entry to another vault", "rewrite the log as an earlier release's",
		"rewrite the log as the reference's", "drop a checkpoint", "alter a checkpoint", "put a checkpoint back",
	} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 2))
			s := clean.clone()
			attacks[name](r, s, earlier, vaults[r.IntN(len(vaults))])
			if report := verify(t, s); len(report.Problems) == 0 {
				t.Errorf("%s (%d): no problem", name, seed)
			}
		}
	}
}

// TestAWriterWithoutACheckpointShows, from its first entry on.
func TestAWriterWithoutACheckpointShows(t *testing.T) {
	s := newMemory()
	write(t, newLog(s, time.Now), "v_1", 1)
	if r := verify(t, s); len(r.Problems) != 0 || r.Keyed != 1 || r.Checkpointed != 0 {
		t.Fatalf("before: %+v", r)
	}
	clear(s.checks)
	if r := verify(t, s); len(r.Problems) != 1 || r.Problems[0].Text != TextNoTally {
		t.Fatalf("problems %+v", r.Problems)
	}
}

func TestACheckpointIsMadeInTimeAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k kept
		s := newMemory()
		l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note})
		time.Sleep(time.Hour)
		if len(k.tokens) != 0 {
			t.Fatal("a checkpoint of nothing")
		}
		for n := 2; n < 5; n++ { // the first was made before the first entry
			write(t, l, "v_1", 3)
			time.Sleep(DefaultEvery)
			synctest.Wait()
			if r := verify(t, s, k.last()); len(k.tokens) != n || r.Checkpointed != 3*(n-1) || r.Keyed != r.Checkpointed || len(r.Problems) != 0 {
				t.Fatalf("%d checkpoints, report %+v", len(k.tokens), r)
			}
			time.Sleep(time.Hour)
			if len(k.tokens) != n {
				t.Fatal("a checkpoint without anything new")
			}
		}
		write(t, l, "v_1", 1)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, s, k.last()); r.Checkpointed != 10 || len(r.Problems) != 0 {
			t.Fatalf("closed: %+v", r)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(k.failed) != 0 {
			t.Fatalf("failed: %v", k.failed)
		}
	})
}

func TestACheckpointThatFailedIsMadeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k kept
		s := &faults{memory: newMemory()}
		l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note})
		write(t, l, "v_1", 1)
		s.failPuts(store.ErrUnavailable)
		time.Sleep(DefaultEvery)
		synctest.Wait()
		write(t, l, "v_1", 1) // goes on, in the next epoch
		time.Sleep(DefaultEvery)
		synctest.Wait()
		write(t, l, "v_1", 1)
		if len(k.failed) != 2 || !errors.Is(k.failed[0], store.ErrUnavailable) {
			t.Fatalf("failed: %v", k.failed)
		}
		if r := verify(t, s.memory); len(r.Problems) != 0 || r.Checkpointed != 0 || r.Keyed != 3 || r.ProvenTo.IsZero() {
			t.Fatalf("report %+v", r)
		}
		s.failPuts(nil)
		time.Sleep(2 * DefaultEvery)
		synctest.Wait()
		if r := verify(t, s.memory, k.last()); len(r.Problems) != 0 || r.Checkpointed != 3 {
			t.Fatalf("report %+v", r)
		}
	})
}

func TestWithoutItsFirstCheckpointAWriterWritesNothing(t *testing.T) {
	s := &faults{memory: newMemory(), puts: func() error { return store.ErrUnavailable }}
	l := newLog(s, time.Now)
	if err := l.Write(t.Context(), event("v_1")); !errors.Is(err, store.ErrUnavailable) || len(s.logs) != 0 {
		t.Fatalf("err = %v", err)
	}
	s.puts = nil
	write(t, l, "v_1", 1)
	if r := verify(t, s.memory); len(r.Problems) != 0 || r.Keyed != 1 {
		t.Fatalf("report %+v", r)
	}
}

// TestEntriesOfUnknownOutcomeAreNoProblem, whether they are there or not, and their removal alone cannot be seen.
func TestEntriesOfUnknownOutcomeAreNoProblem(t *testing.T) {
	for _, n := range []int{3, maxUnknown + 20} {
		var k kept
		s := &faults{memory: newMemory()}
		l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note})
		write(t, l, "v_1", 2)
		for i := range n {
			s.appends = func() error { return []error{errStored, store.ErrUnknownOutcome, context.DeadlineExceeded}[i%3] }
			if err := l.Write(t.Context(), event("v_1")); err == nil {
				t.Fatal("no error")
			}
		}
		s.appends = nil
		write(t, l, "v_1", 2)
		seal(t, l)
		stored := 4 + (n+2)/3
		if r := verify(t, s.memory, k.last()); len(r.Problems) != 0 || r.Keyed != stored || r.Checkpointed != stored {
			t.Fatalf("%d: report %+v", n, r)
		}
		for i, e := range s.logs["v_1"] {
			if ev, _, err := read(&e); err != nil || ev.Outcome != OutcomeOK {
				t.Fatal(err)
			}
			if i == 0 {
				continue
			}
			cut := s.clone()
			cut.logs["v_1"] = slices.Delete(cut.logs["v_1"], 0, 1) // one that was acknowledged
			if r := verify(t, cut); len(r.Problems) == 0 {
				t.Fatal("no problem")
			}
			break
		}
	}
}

// TestCheckpointsCountExactlyWhileOthersWrite: many write, with failures of all kinds, while checkpoints are made and
// verify runs. No run sees a problem, and in the end all are counted.
func TestCheckpointsCountExactlyWhileOthersWrite(t *testing.T) {
	var k kept
	s := &faults{memory: newMemory(), appends: func() error {
		switch rand.IntN(20) {
		case 0:
			return store.ErrConflict
		case 1:
			return errStored
		case 2:
			return store.ErrUnknownOutcome
		}
		return nil
	}}
	l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note, Every: time.Hour})
	ended := make(chan struct{})
	var wg, rest sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 150 {
				_ = l.Write(t.Context(), event(fmt.Sprint("v_", i%7)))
			}
		})
	}
	rest.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				if err := l.Checkpoint(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	rest.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				if r := verify(t, s.memory); len(r.Problems) != 0 {
					t.Errorf("problems %+v", r.Problems)
				}
			}
		}
	})
	wg.Wait()
	close(ended)
	rest.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s.memory, k.last()); len(r.Problems) != 0 || r.Keyed != r.Checkpointed || r.Entries != r.Keyed || r.Keyed < 900 {
		t.Fatalf("report %+v", r)
	}
}

func TestTokensAreFoundInALog(t *testing.T) {
	var k kept
	s := newMemory()
	l := New(Config{Store: s, Keys: keys, Now: time.Now, Kept: k.note})
	write(t, l, "v_1", 1)
	seal(t, l)
	text := "{\"time\":\"…\",\"checkpoint\":\"" + k.tokens[0] + "\"}\nother\n" + k.tokens[1] + "\n"
	c, err := ParseCheckpoint([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, c); len(r.Problems) != 0 {
		t.Fatalf("problems %+v", r.Problems)
	}
	if r := verify(t, newMemory(), c); len(r.Problems) == 0 {
		t.Fatal("an emptied store shows no problem")
	}
	altered, err := ParseCheckpoint([]byte(strings.Replace(text, k.tokens[1], k.tokens[1][:len(k.tokens[1])-4]+"AAAA", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, altered); len(r.Problems) != 1 || r.Problems[0].Text != TextTally {
		t.Fatalf("problems %+v", r.Problems)
	}
	for _, bad := range []string{"", "null", "[]", `"x"`, "no checkpoint"} {
		if c, err := ParseCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, c)
		}
	}
	old, err := ParseCheckpoint([]byte(`{"v_1":{"A-1":{"seq":1,"hash":"00"}}}`))
	if err != nil || old.Heads["v_1"]["A-1"].Seq != 1 {
		t.Errorf("of an earlier release: %+v, %v", old, err)
	}
}

// FuzzParseCheckpoint shows that no file ends verify in a panic.
func FuzzParseCheckpoint(f *testing.F) {
	f.Add([]byte(`{"heads":{"v_1":{"A-1":{"seq":1,"hash":"00"}}},"writers":["x"]}`))
	f.Add([]byte(tokenPrefix + strings.Repeat("A", 26) + ".e30." + strings.Repeat("A", 43)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCheckpoint(data)
		if err != nil {
			return
		}
		if _, err := Verify(t.Context(), newMemory(), &played{}, &Options{Since: []Checkpoint{c}}); err != nil {
			t.Fatal(err)
		}
	})
}
