package audit

import (
	"context"
	"slices"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// at is a time in the months around the cut-over.
func at(month time.Month) time.Time { return time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC) }

func create(id string) Event {
	ev := event(id)
	ev.Name = EventCreate
	return ev
}

// appendLegacy writes an entry as the reference did.
func appendLegacy(t *testing.T, s store.Store, id string, when time.Time) {
	t.Helper()
	err := s.AppendAudit(t.Context(), &store.Entry{VaultID: id, Time: when.UnixMicro(), Event: EventDecrypt})
	if err != nil {
		t.Fatal(err)
	}
}

// mixed is a store with two vaults of the reference, made in January and in March, one of ours, made in May, and their
// ids. The older one was decrypted here too.
func mixed(t *testing.T) (s *tampered, older, newer, ours string) {
	t.Helper()
	s = newStore(t)
	older, newer, ours = pksuid.New("v", at(1)), pksuid.New("v", at(3)), pksuid.New("v", at(5))
	appendLegacy(t, s, older, at(1))
	appendLegacy(t, s, newer, at(3))
	write(t, newLog(s, func() time.Time { return at(2) }), older, 1) // readers are switched before those that create
	if err := newLog(s, func() time.Time { return at(5) }).Write(t.Context(), create(ours)); err != nil {
		t.Fatal(err)
	}
	return s, older, newer, ours
}

func TestEntriesOfTheReferenceAreCounted(t *testing.T) {
	s, _, _, _ := mixed(t)
	r := verify(t, s)
	if r.Legacy != 2 || r.Late != 0 || r.Entries != 4 || len(r.Problems) != 0 || !r.Cutover.Equal(at(5)) {
		t.Fatalf("report %+v", r)
	}
}

func TestEntryThatLostItsChainShowsInAVaultOfOurs(t *testing.T) {
	s, _, newer, ours := mixed(t)
	appendLegacy(t, s, ours, at(1)) // its time is put back, that of the vault cannot be
	r := verify(t, s)
	if !slices.Equal(r.Problems, []Problem{{VaultID: ours, Text: TextUnchained}}) {
		t.Fatalf("problems %+v", r.Problems)
	}
	r, err := Verify(t.Context(), s, keys, &Options{Cutover: at(2)})
	if err != nil {
		t.Fatal(err)
	}
	want := []Problem{{VaultID: newer, Text: TextUnchained}, {VaultID: ours, Text: TextUnchained}}
	if !slices.Equal(r.Problems, want) {
		t.Fatalf("with an earlier cut-over: problems %+v", r.Problems)
	}
}

func TestEntryThatLostItsChainIsCountedApartInAVaultOfTheReference(t *testing.T) {
	s, older, _, _ := mixed(t)
	appendLegacy(t, s, older, at(6))
	if r := verify(t, s); r.Legacy != 3 || r.Late != 1 || len(r.Problems) != 0 {
		t.Fatalf("report %+v", r)
	}
}

func TestTheReferencesTableAloneHasNoCutover(t *testing.T) {
	s := newStore(t)
	appendLegacy(t, s, pksuid.New("v", at(1)), at(1))
	if r := verify(t, s); r.Legacy != 1 || r.Late != 0 || len(r.Problems) != 0 {
		t.Fatalf("report %+v", r)
	}
}

// late is a store in which one entry is committed after a reader has passed its place.
type late struct {
	store.Store
	readings int
}

func (l *late) Audit(ctx context.Context, id string, p store.Page) ([]store.Entry, string, error) {
	list, next, err := l.Store.Audit(ctx, id, p)
	if l.readings++; l.readings == 1 {
		list = slices.Delete(list, 1, 2)
	}
	return list, next, err
}

func TestEntryCommittedBehindTheReaderIsNotMissing(t *testing.T) {
	s := &late{Store: newStore(t)}
	write(t, newLog(s, time.Now), "v_1", 3)
	if r := verify(t, s); s.readings != 2 || r.Entries != 3 || len(r.Problems) != 0 {
		t.Fatalf("%d readings, report %+v", s.readings, r)
	}
}
