package audit

import (
	"context"
	"math"
	"slices"
	"testing"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// listed is a store that holds the log of one vault.
type listed struct {
	store.Store
	id  string
	log []store.Entry
}

func (l *listed) AuditedVaults(_ context.Context, yield func(string) error) error { return yield(l.id) }

func (l *listed) Audit(context.Context, string, store.Page) ([]store.Entry, string, error) {
	return l.log, "", nil
}

func (*listed) Checkpoints(context.Context, func(*store.Checkpoint) error) error { return nil }

func (l *listed) List(context.Context, store.Page) ([]store.Summary, string, error) {
	return []store.Summary{{ID: l.id}}, "", nil
}

// fuzzKey is that of the writer in entries.
var fuzzKey = func() *key {
	k, err := writerKey(context.Background(), &played{}, "AAAAAAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		panic(err)
	}
	return k
}()

// entries makes a log, three bytes an entry: its chain and what is wrong with it, its sequence number, its time.
func entries(id string, data []byte) []store.Entry {
	numbers := []uint64{0, 1, 2, 3, 4, 20, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1, math.MaxUint64}
	var log []store.Entry
	for ; len(data) >= 3; data = data[3:] {
		e := store.Entry{
			VaultID: id, Event: []string{EventCreate, EventDecrypt}[data[0]>>2&1], Chain: []string{"", "m1.AAAAAAAAAAAAAAAAAAAAAAAAAA-1", "a", "b"}[data[0]&3],
			Seq: numbers[int(data[1])%len(numbers)], Time: int64(data[2]) - 2,
		}
		if len(log) > 0 && data[0]&8 != 0 {
			e.Prev = log[len(log)-1].Hash
		}
		if len(log) > 0 && data[0]&16 != 0 {
			e.Link = log[0].Hash
		}
		if data[0]&32 != 0 {
			e.Body = data[:data[2]%4]
		}
		if data[0]&64 != 0 {
			e.Hash = Hash(&e)
			if _, keyed := writerOf(e.Chain); keyed {
				e.Hash = fuzzKey.sum(&e)
			}
		}
		log = append(log, e)
	}
	return log
}

// FuzzVerify shows that no log, however made, ends Verify in a panic, and that what it takes for whole has heads that
// hold as a checkpoint.
func FuzzVerify(f *testing.F) {
	f.Add([]byte{2, 0, 0})
	f.Add([]byte{0x46, 1, 1, 0x4e, 2, 2, 0x4e, 3, 3, 0x56, 1, 4})
	f.Add([]byte{0x41, 1, 1, 0x4d, 2, 2, 0x4d, 3, 3, 0x66, 1, 4})
	f.Add([]byte{2, 9, 0, 2, 9, 1, 2, 8, 2, 0x20, 0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		id := pksuid.New(vaultPrefix, at(5))
		s := &listed{id: id, log: entries(id, data)}
		r, err := Verify(t.Context(), s, keys, nil)
		if err != nil || r.Entries != len(s.log) {
			t.Fatalf("report %+v, %v", r, err)
		}
		if len(r.Problems) > 0 {
			return
		}
		if r, err = Verify(t.Context(), s, keys, &Options{Since: []Checkpoint{r.Heads}}); err != nil || len(r.Problems) > 0 {
			t.Fatalf("against its own heads: %+v, %v", r, err)
		}
	})
}

// FuzzRead shows that no body of an entry ends Read in a panic, and that what it gives fits the entry's names.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"principal":"p","expressions":["x"],"released":[0],"access":[{"reads":[0],"raw":[],"source_mac":"AQ=="}],"outcome":"ok"}`))
	f.Add([]byte(`{"released":[-1]}`))
	f.Add([]byte(`{"expressions":["x"],"access":[{"unknown":true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &store.Entry{VaultID: "v_1", Fields: []string{"email", "ssn9"}, Body: data}
		ev, err := Read(e)
		if err != nil {
			return
		}
		if len(ev.Access) > 0 && len(ev.Access) != len(ev.Expressions) {
			t.Fatalf("%d reports for %d expressions", len(ev.Access), len(ev.Expressions))
		}
		names := slices.Clone(ev.Released)
		for _, a := range ev.Access {
			names = slices.Concat(names, a.Reads, a.Raw)
		}
		if slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(e.Fields, n) }) {
			t.Fatalf("names %v", names)
		}
	})
}
