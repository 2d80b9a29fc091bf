package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/pksuid"
)

// rewritten gives a log the chains that an attacker can make of it who has the whole store and knows the code, but no
// key: chain names the one that an entry goes to, and mac what is put for its MAC.
func rewritten(log []store.Entry, chain func(*store.Entry) string, mac func(*store.Entry) []byte) []store.Entry {
	ends := map[string]*store.Entry{}
	moved := map[string][]byte{} // hashes of before, and those of now
	for i := range log {
		e := &log[i]
		e.Chain = chain(e)
		e.Seq, e.Prev = 1, nil
		if last := ends[e.Chain]; last != nil {
			e.Seq, e.Prev = last.Seq+1, last.Hash
		}
		if len(e.Link) > 0 {
			e.Link = moved[string(e.Link)]
		}
		was := e.Hash
		e.Hash = mac(e)
		moved[string(was)] = e.Hash
		ends[e.Chain] = e
	}
	return log
}

// guessed are MACs that need no key of ours: of the empty key, of one the attacker chose, of the writer's name.
var guessed = map[string]func(*store.Entry) []byte{
	"hash":      Hash,
	"hash, new": func(e *store.Entry) []byte { sum := sha256.Sum256(appendEntry(nil, entryDomain, e)); return sum[:] },
	"empty key": newKey(nil).sum,
	"other key": newKey([]byte("another")).sum,
	"its writer": func(e *store.Entry) []byte {
		writer, _ := writerOf(e.Chain)
		m := hmac.New(sha256.New, []byte(writerDomain))
		m.Write([]byte(writer))
		return newKey(m.Sum(nil)).sum(e)
	},
	"kept": func(e *store.Entry) []byte { return e.Hash },
	"none": func(*store.Entry) []byte { return nil },
}

// callings are what chains can be called after a rewriting.
var callings = map[string]func(*store.Entry) string{
	"as they were":       func(e *store.Entry) string { return e.Chain },
	"earlier release's":  func(e *store.Entry) string { return "ABCDEFGHIJKLMNOPQRSTUVWXYZ-1" },
	"an invented writer": func(*store.Entry) string { return chainName("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1) },
	"no writer":          func(*store.Entry) string { return keyedPrefix + "x" },
	"one chain":          func(*store.Entry) string { return "" },
}

// TestWhoHasTheStoreCannotRewriteALog: an attacker removes an entry from a vault's log and makes all chains anew, in each
// way that needs no key. Another vault, and its log, are as they were.
func TestWhoHasTheStoreCannotRewriteALog(t *testing.T) {
	clean := newMemory()
	clock := at(1)
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	write(t, newLog(clean, now), pksuid.New(vaultPrefix, at(1)), 3)
	clock = at(2)
	target := pksuid.New(vaultPrefix, at(2))
	for range 2 { // two processes
		l := newLog(clean, now)
		if err := l.Write(t.Context(), create(target)); err != nil {
			t.Fatal(err)
		}
		write(t, l, target, 3)
	}
	if r := verify(t, clean); len(r.Problems) != 0 || r.Keyed != 11 {
		t.Fatalf("before: %+v", r)
	}
	for called, chain := range callings {
		for made, mac := range guessed {
			s := clean.clone()
			s.logs[target] = rewritten(slices.Delete(s.logs[target], 2, 3), chain, mac)
			if r := verify(t, s); len(r.Problems) == 0 {
				t.Errorf("chains called %s, MACs %s: no problem", called, made)
			}
		}
	}
}

// TestALogRewrittenThroughoutShowsBySinceWhenKeysWereUsed: nothing in the store tells any more that there were keys.
func TestALogRewrittenThroughoutShowsBySinceWhenKeysWereUsed(t *testing.T) {
	for called, chain := range map[string]func(*store.Entry) string{
		"hashed": callings["earlier release's"], "unchained": func(*store.Entry) string { return "" },
	} {
		s := newMemory()
		id := pksuid.New(vaultPrefix, at(2))
		write(t, newLog(s, func() time.Time { return at(2) }), id, 3)
		s.logs[id] = rewritten(s.logs[id], chain, Hash)
		if called == "unchained" {
			for i, e := range s.logs[id] {
				s.logs[id][i] = store.Entry{VaultID: id, Time: at(1).UnixMicro() + int64(i), Event: e.Event, Reason: e.Reason}
			}
		}
		if r := verify(t, s); len(r.Problems) != 0 {
			t.Fatalf("%s: it shows without knowing, too: %+v", called, r.Problems)
		}
		r, err := Verify(t.Context(), s, keys, &Options{Keyed: at(1)})
		if err != nil || len(r.Problems) == 0 {
			t.Errorf("%s: no problem: %+v, %v", called, r, err)
		}
	}
}

// TestChainsOfEarlierReleasesStayVerifiable, and are no problem where they may be.
func TestChainsOfEarlierReleasesStayVerifiable(t *testing.T) {
	s := newMemory()
	old := pksuid.New(vaultPrefix, at(1))
	earlier := func(id string, when time.Time, seq uint64, prev []byte) []byte {
		e := store.Entry{
			VaultID: id, Time: when.UnixMicro(), Event: EventDecrypt, Chain: "EARLIER-1", Seq: seq, Prev: prev,
			Body: []byte(`{"principal":"p","outcome":"ok"}`),
		}
		e.Hash = Hash(&e)
		if err := s.AppendAudit(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		return e.Hash
	}
	first := earlier(old, at(1), 1, nil)
	second := earlier(old, at(2), 2, first)
	write(t, newLog(s, func() time.Time { return at(3) }), old, 2) // its link is the second
	third := earlier(old, at(3).Add(time.Hour), 3, second)         // of a process that goes on for a while
	during := pksuid.New(vaultPrefix, at(3).Add(time.Minute))
	earlier(during, at(3).Add(2*time.Hour), 1, nil)
	if r := verify(t, s); len(r.Problems) != 0 || r.Unkeyed != 4 || r.Keyed != 2 || !r.KeyedSince.Equal(at(3).Add(rollGrace)) {
		t.Fatalf("report %+v", r)
	}
	r, err := Verify(t.Context(), s, keys, &Options{Keyed: at(3)})
	if want := []Problem{{VaultID: old, Text: TextUnkeyed}, {VaultID: during, Text: TextUnkeyed}}; err != nil || !slices.Equal(r.Problems, want) {
		t.Fatalf("an earlier time: %+v, %v", r.Problems, err)
	}
	cut := s.clone()
	cut.logs[old] = rewritten(slices.Delete(cut.logs[old], 1, 2), func(e *store.Entry) string { return e.Chain }, func(e *store.Entry) []byte {
		if e.Chain == "EARLIER-1" {
			return Hash(e)
		}
		return e.Hash
	})
	if r := verify(t, cut); len(r.Problems) == 0 {
		t.Error("what an entry with a MAC was linked to was cut off unnoticed")
	}
	earlier(old, at(3).Add(2*rollGrace), 4, third)
	if r := verify(t, s); len(r.Problems) != 1 || r.Problems[0].Text != TextUnkeyed {
		t.Errorf("a day later: %+v", r.Problems)
	}
	earlier(pksuid.New(vaultPrefix, at(5)), at(1), 1, nil)
	if r := verify(t, s); len(r.Problems) != 2 || r.Problems[1].Text != TextUnkeyed {
		t.Errorf("with its time put back, in a vault of later: %+v", r.Problems)
	}
}
