package audit

import (
	"bytes"
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
)

// tampered is a store whose log can be shown other than it is.
type tampered struct {
	store.Store
	edit func([]store.Entry) []store.Entry
	fail error

	entered, release chan struct{} // unless nil: each write tells that it has begun, and waits
}

func (t *tampered) Audit(ctx context.Context, id string, p store.Page) ([]store.Entry, string, error) {
	list, next, err := t.Store.Audit(ctx, id, p)
	if t.edit != nil {
		list = t.edit(list)
	}
	return list, next, err
}

func (t *tampered) AppendAudit(ctx context.Context, e *store.Entry) error {
	if t.fail != nil {
		return t.fail
	}
	if t.release != nil {
		t.entered <- struct{}{}
		<-t.release
	}
	return t.Store.AppendAudit(ctx, e)
}

func newStore(t *testing.T) *tampered {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &tampered{Store: s}
}

func event(id string) Event {
	return Event{
		Caller:  Caller{Principal: "key:test", Source: "192.0.2.1", RequestID: "r"},
		VaultID: id, Name: EventDecrypt, Fields: []string{"email"}, Expressions: []string{"age"},
		Reason: "support", Outcome: OutcomeOK,
	}
}

func write(t *testing.T, l *Log, id string, n int) {
	t.Helper()
	for range n {
		if err := l.Write(t.Context(), event(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, s store.Store, since ...Checkpoint) *Report {
	t.Helper()
	r, err := Verify(t.Context(), s, keys, &Options{Since: since})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEventComesBackFromItsEntry(t *testing.T) {
	s := newStore(t)
	write(t, newLog(s, time.Now), "v_1", 1)
	list, _, err := s.Audit(t.Context(), "v_1", store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(&list[0])
	if err != nil {
		t.Fatal(err)
	}
	want := event("v_1")
	if got.Caller != want.Caller || got.Outcome != want.Outcome || !slices.Equal(got.Expressions, want.Expressions) ||
		got.Reason != want.Reason || got.Name != want.Name || !slices.Equal(got.Fields, want.Fields) {
		t.Fatalf("got %+v", got)
	}
}

func TestConcurrentWritesOfOneVaultDoNotWaitForEachOther(t *testing.T) {
	const n = 16
	s := newStore(t)
	s.entered, s.release = make(chan struct{}), make(chan struct{})
	l := newLog(s, time.Now)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := l.Write(t.Context(), event("v_1")); err != nil {
				t.Error(err)
			}
		})
	}
	late := time.After(30 * time.Second)
	for i := range n { // none is released before all are inside the store
		select {
		case <-s.entered:
		case <-late:
			t.Fatalf("%d of %d writes are inside the store: the others wait for them", i, n)
		}
	}
	close(s.release)
	wg.Wait()
	s.release = nil
	write(t, l, "v_1", 5)
	r := verify(t, s)
	if r.Entries != n+5 || len(r.Problems) != 0 || r.Chains != n {
		t.Fatalf("report %+v", r)
	}
}

func TestChainsOfTwoProcessesMerge(t *testing.T) {
	s := newStore(t)
	a, b := newLog(s, time.Now), newLog(s, time.Now)
	for range 3 {
		write(t, a, "v_1", 2)
		write(t, b, "v_1", 2)
	}
	r := verify(t, s)
	if r.Chains != 2 || r.Entries != 12 || len(r.Problems) != 0 {
		t.Fatalf("report %+v", r)
	}
}

func TestRemovedOrAlteredEntryShows(t *testing.T) {
	cases := map[string]struct {
		edit func([]store.Entry) []store.Entry
		text string
	}{
		"removed":         {func(l []store.Entry) []store.Entry { return slices.Delete(l, 2, 3) }, TextMissing},
		"first removed":   {func(l []store.Entry) []store.Entry { return slices.Delete(l, 0, 1) }, TextMissing},
		"reason altered":  {func(l []store.Entry) []store.Entry { l[2].Reason = "audit"; return l }, TextAltered},
		"time altered":    {func(l []store.Entry) []store.Entry { l[2].Time++; return l }, TextAltered},
		"fields altered":  {func(l []store.Entry) []store.Entry { l[2].Fields = nil; return l }, TextAltered},
		"body altered":    {func(l []store.Entry) []store.Entry { l[2].Body = []byte(`{"outcome":"refused"}`); return l }, TextAltered},
		"event altered":   {func(l []store.Entry) []store.Entry { l[2].Event = EventUpdate; return l }, TextAltered},
		"rehashed":        {func(l []store.Entry) []store.Entry { l[2].Reason = "x"; l[2].Hash = Hash(&l[2]); return l }, TextBroken},
		"doubled":         {func(l []store.Entry) []store.Entry { return append(l, l[2]) }, TextDoubled},
		"moved to vault":  {func(l []store.Entry) []store.Entry { l[2].VaultID = "v_2"; return l }, TextAltered},
		"chain cut off":   {func(l []store.Entry) []store.Entry { return l[5:] }, TextLink},
		"last of a chain": {func(l []store.Entry) []store.Entry { return slices.Delete(l, 4, 5) }, TextLink},
		"number removed":  {func(l []store.Entry) []store.Entry { l[2].Seq = 0; return l }, TextUnnumbered},
		"number alone":    {func(l []store.Entry) []store.Entry { l[0].Seq = 0; return l[:1] }, TextUnnumbered},
		"number too high": {func(l []store.Entry) []store.Entry { l[4].Seq = math.MaxUint64; return l }, TextMissing},
		"altered in a gap": {func(l []store.Entry) []store.Entry {
			l[2].Reason = "audit"
			return slices.Delete(l, 1, 2)
		}, TextAltered},
		"chain taken off": {func(l []store.Entry) []store.Entry { l[6].Chain = ""; return l }, TextAltered},
		"unreadable": {func(l []store.Entry) []store.Entry {
			l[2] = store.Entry{VaultID: "v_1", Time: l[2].Time, Event: store.EventUnreadable, Chain: l[2].Chain, Seq: l[2].Seq}
			return l
		}, TextBody},
		"unreadable with its key": {func(l []store.Entry) []store.Entry {
			l[2] = store.Entry{VaultID: "v_1", Time: store.TimeAltered, Event: store.EventUnreadable}
			return l
		}, TextBody},
		"key left": {func(l []store.Entry) []store.Entry {
			l[6] = store.Entry{VaultID: "v_1", Time: store.TimeAltered, Event: EventDecrypt}
			return l
		}, TextAltered},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			write(t, newLog(s, time.Now), "v_1", 5)
			write(t, newLog(s, time.Now), "v_1", 2) // another process: its chain is linked to the first one's end
			if r := verify(t, s); len(r.Problems) != 0 {
				t.Fatalf("before: %+v", r.Problems)
			}
			s.edit = c.edit
			r := verify(t, s)
			if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Text == c.text }) {
				t.Fatalf("problems %+v, want %q", r.Problems, c.text)
			}
		})
	}
}

func TestCheckpointShowsACutTail(t *testing.T) {
	s := newStore(t)
	write(t, newLog(s, time.Now), "v_1", 5)
	heads := verify(t, s).Heads
	data, err := heads.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	since, err := ParseCheckpoint(data)
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, since); len(r.Problems) != 0 {
		t.Fatalf("before: %+v", r.Problems)
	}
	s.edit = func(l []store.Entry) []store.Entry { return l[:4] }
	if r := verify(t, s); len(r.Problems) != 0 {
		t.Fatalf("a cut tail cannot show without a checkpoint: %+v", r.Problems)
	}
	if r := verify(t, s, since); len(r.Problems) != 1 || r.Problems[0].Text != TextCheckpoint {
		t.Fatalf("problems %+v", r.Problems)
	}
	if r := verify(t, newStore(t), since); len(r.Problems) != 2 || r.Problems[1].Text != TextCheckpoint {
		t.Fatalf("problems of an emptied store %+v", r.Problems)
	}
}

func TestRecordWithoutALogShows(t *testing.T) {
	s := newStore(t)
	if err := s.Create(t.Context(), &store.Record{ID: "v_1"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s); len(r.Problems) != 1 || r.Problems[0].Text != TextNoLog {
		t.Fatalf("problems %+v", r.Problems)
	}
}

func TestChainAfterAnUnknownOutcomeIsNotContinued(t *testing.T) {
	s := newStore(t)
	l := newLog(s, time.Now)
	write(t, l, "v_1", 2)
	s.fail = errors.New("connection lost")
	if err := l.Write(t.Context(), event("v_1")); err == nil {
		t.Fatal("no error")
	}
	s.fail = nil
	write(t, l, "v_1", 2)
	if r := verify(t, s); r.Chains != 2 || len(r.Problems) != 0 {
		t.Fatalf("report %+v", r)
	}
}

func TestHashSeparatesItsParts(t *testing.T) {
	a := &store.Entry{VaultID: "v", Event: "ab", Reason: "c", Fields: []string{"d", "e"}}
	b := &store.Entry{VaultID: "v", Event: "a", Reason: "bc", Fields: []string{"d", "e"}}
	c := &store.Entry{VaultID: "v", Event: "ab", Reason: "c", Fields: []string{"de"}}
	if bytes.Equal(Hash(a), Hash(b)) || bytes.Equal(Hash(a), Hash(c)) {
		t.Fatal("two entries have one hash")
	}
}

func TestForgottenVaultsGetNewChains(t *testing.T) {
	s := newStore(t)
	l := newLog(s, time.Now)
	write(t, l, "v_1", 2)
	clear(l.writer.vaults)
	write(t, l, "v_1", 2)
	if r := verify(t, s); r.Chains != 2 || len(r.Problems) != 0 {
		t.Fatalf("report %+v", r)
	}
}

func TestChainsBeginAnewAfterARestore(t *testing.T) {
	old, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	l := newLog(old, time.Now)
	write(t, l, "v_1", 1)
	var copied bytes.Buffer
	if _, err := old.Backup(&copied); err != nil {
		t.Fatal(err)
	}
	write(t, l, "v_1", 3)
	if err := old.Restore(&copied, l.Replace); err != nil {
		t.Fatal(err)
	}
	write(t, l, "v_1", 2)
	if r := verify(t, old); r.Entries != 3 || r.Chains != 2 || len(r.Problems) != 0 {
		t.Fatalf("report %+v", r)
	}
}

// TestEveryAttributeIsInAnEntrysMAC changes each attribute of an entry, those too that are added to the type later.
func TestEveryAttributeIsInAnEntrysMAC(t *testing.T) {
	whole := func() store.Entry {
		return store.Entry{
			VaultID: "v_1", Time: 1, Event: "e", Reason: "r", Fields: []string{"f", "g"}, Chain: "c", Seq: 1, Prev: []byte("p"),
			Link: []byte("l"), Hash: []byte("h"), Body: []byte("b"),
		}
	}
	e, mac := whole(), newKey([]byte("k")).sum
	was := mac(&e)
	for i := range reflect.TypeFor[store.Entry]().NumField() {
		changed := whole()
		name, f := reflect.TypeFor[store.Entry]().Field(i).Name, reflect.ValueOf(&changed).Elem().Field(i)
		switch v := f.Addr().Interface().(type) {
		case *string:
			*v += "x"
		case *[]byte:
			*v = append(*v, 'x')
		case *[]string:
			*v = []string{"f", "x"}
		case *int64:
			*v++
		case *uint64:
			*v++
		default:
			t.Fatalf("%s: a type that this test does not change", name)
		}
		if covered := !bytes.Equal(mac(&changed), was); covered == (name == "Hash") {
			t.Errorf("%s: in the MAC: %v", name, covered)
		}
	}
	moved := whole()
	moved.Fields, moved.Chain = []string{"f"}, "gc"
	if bytes.Equal(mac(&moved), was) {
		t.Error("what moved from one attribute to the next leaves the MAC as it was")
	}
}
