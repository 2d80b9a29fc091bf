package audit

import (
	"context"
	"math"
	"testing"

	"redoubt/api/internal/pksuid"
	"redoubt/api/internal/store"
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

func (l *listed) List(context.Context, store.Page) ([]store.Summary, string, error) {
	return []store.Summary{{ID: l.id}}, "", nil
}

// entries makes a log, three bytes an entry: its chain and what is wrong with it, its sequence number, its time.
func entries(id string, data []byte) []store.Entry {
	numbers := []uint64{0, 1, 2, 3, 4, 20, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1, math.MaxUint64}
	var log []store.Entry
	for ; len(data) >= 3; data = data[3:] {
		e := store.Entry{
			VaultID: id, Event: []string{EventCreate, EventDecrypt}[data[0]>>2&1], Chain: []string{"", "", "a", "b"}[data[0]&3],
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
	f.Add([]byte{2, 9, 0, 2, 9, 1, 2, 8, 2, 0x20, 0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		id := pksuid.New(vaultPrefix, at(5))
		s := &listed{id: id, log: entries(id, data)}
		r, err := Verify(t.Context(), s, nil)
		if err != nil || r.Entries != len(s.log) {
			t.Fatalf("report %+v, %v", r, err)
		}
		if len(r.Problems) > 0 {
			return
		}
		if r, err = Verify(t.Context(), s, &Options{Since: []Checkpoint{r.Heads}}); err != nil || len(r.Problems) > 0 {
			t.Fatalf("against its own heads: %+v, %v", r, err)
		}
	})
}
