package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/test/proctest"
)

// TestAnotherProgramComputesTheSameMACs: testdata/mac.py knows the format from doc.go, and the standard library.
func TestAnotherProgramComputesTheSameMACs(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 (CI has it)")
	}
	s := newStore(t)
	l := newLog(s, time.Now)
	write(t, l, "v_1", 3)
	odd := event("v_2")
	odd.Fields, odd.Reason, odd.Outcome, odd.Code = nil, "größer \x00 als", OutcomeFailed, "denied"
	if err := l.Write(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	write(t, newLog(s, time.Now), "v_1", 2) // a chain with a link
	var in struct {
		KMS     string           `json:"kms"`
		Entries []map[string]any `json:"entries"`
	}
	in.KMS = hex.EncodeToString([]byte(playedKey))
	for _, id := range []string{"v_1", "v_2"} {
		list, _, err := s.Audit(t.Context(), id, store.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			e := &list[i]
			in.Entries = append(in.Entries, map[string]any{
				"vault": e.VaultID, "time": e.Time, "event": e.Event, "reason": e.Reason, "fields": e.Fields, "chain": e.Chain,
				"seq": e.Seq, "prev": hex.EncodeToString(e.Prev), "link": hex.EncodeToString(e.Link),
				"body": hex.EncodeToString(e.Body), "hash": hex.EncodeToString(e.Hash),
			})
		}
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := proctest.Command(t, python, "testdata/mac.py")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "6" {
		t.Fatalf("%s, %v", out, err)
	}
}

func TestAWritersKeyIsAskedForOnce(t *testing.T) {
	kms := &played{wait: make(chan struct{})}
	s := newStore(t)
	l := New(Config{Store: s, Keys: kms, Now: time.Now})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := l.Write(t.Context(), event("v_1")); err != nil {
				t.Error(err)
			}
		})
	}
	close(kms.wait)
	wg.Wait()
	if most, writers := kms.calls(); most != 1 || writers != 1 {
		t.Fatalf("one of %d writers' keys was asked for %d times", writers, most)
	}
	other := &played{}
	write(t, newLog(s, time.Now), "v_2", 1)
	if r, err := Verify(t.Context(), s, other, nil); err != nil || len(r.Problems) != 0 || r.Keyed != 9 {
		t.Fatalf("report %+v, %v", r, err)
	}
	if most, writers := other.calls(); most != 1 || writers != 2 {
		t.Fatalf("verify asked for one of %d writers' keys %d times", writers, most)
	}
}

func TestWithoutAKeyNothingIsWrittenAndNothingIsCalledGenuine(t *testing.T) {
	kms := &played{fail: errors.New("throttled")}
	s := newStore(t)
	l := New(Config{Store: s, Keys: kms, Now: time.Now})
	if err := l.Write(t.Context(), event("v_1")); !errors.Is(err, kms.fail) {
		t.Fatalf("err = %v", err)
	}
	if err := l.Ready(t.Context()); !errors.Is(err, kms.fail) {
		t.Fatalf("ready: %v", err)
	}
	if _, err := s.LastAudit(t.Context(), "v_1"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an entry without a key: %v", err)
	}
	down := kms.fail
	kms.fail = nil // it has come back
	write(t, l, "v_1", 1)
	kms.fail = down // and is gone again: the key is there
	write(t, l, "v_1", 1)
	if err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), s, kms, nil); !errors.Is(err, ErrKeys) || !errors.Is(err, down) {
		t.Fatalf("verify without a key: %v", err)
	}
}

func TestACloseWipesTheKeyAndEndsWrites(t *testing.T) {
	l := newLog(newStore(t), time.Now)
	write(t, l, "v_1", 1)
	k := l.writer.key.Load()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.secret, make([]byte, len(k.secret))) {
		t.Error("the key is in memory")
	}
	if err := l.Write(t.Context(), event("v_1")); !errors.Is(err, ErrClosed) {
		t.Errorf("err = %v", err)
	}
}

func TestARestoreBringsAnotherWriter(t *testing.T) {
	l := newLog(newStore(t), time.Now)
	write(t, l, "v_1", 1)
	was, k := l.writer.id, l.writer.key.Load()
	if err := l.Replace(func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if l.writer.id == was || !bytes.Equal(k.secret, make([]byte, len(k.secret))) {
		t.Error("the writer goes on")
	}
	write(t, l, "v_1", 1)
}

func TestNamesThatAreNoWritersGetNoKey(t *testing.T) {
	for _, chain := range []string{
		keyedPrefix, keyedPrefix + "-1", keyedPrefix + strings.Repeat("a", 26) + "-1", keyedPrefix + strings.Repeat("A", 27) + "-1",
		keyedPrefix + strings.Repeat("A", 25) + "\x00-1", keyedPrefix + strings.Repeat("A", 26) + "\n-1",
	} {
		if writer, keyed := writerOf(chain); writer != "" || !keyed {
			t.Errorf("%q: %q, %v", chain, writer, keyed)
		}
	}
	if writer, keyed := writerOf(chainName(strings.Repeat("A", 26), 40)); writer != strings.Repeat("A", 26) || !keyed {
		t.Errorf("%q, %v", writer, keyed)
	}
	if _, keyed := writerOf("ABC-1"); keyed {
		t.Error("a chain of an earlier release has a key")
	}
	kms, s := &played{}, newStore(t)
	e := &store.Entry{VaultID: "v_1", Event: EventDecrypt, Chain: keyedPrefix + "x-1", Seq: 1, Hash: []byte("h")}
	if err := s.AppendAudit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), s, kms, nil)
	if _, n := kms.calls(); err != nil || n != 0 || len(r.Problems) != 2 || r.Problems[0].Text != TextWriter {
		t.Fatalf("%d calls, report %+v, %v", n, r, err)
	}
}

// TestAnEntrysMACIsOneAllocation, its own: the hash that it replaces cost six.
func TestAnEntrysMACIsOneAllocation(t *testing.T) {
	if proctest.Race {
		t.Skip("pools drop what they get at random")
	}
	k := newKey(make([]byte, 32))
	e := &store.Entry{
		VaultID: "v_1", Event: EventDecrypt, Reason: "support", Fields: []string{"email", "ssn9"}, Chain: chainName(newWriter(), 1),
		Seq: 1, Prev: make([]byte, 32), Body: make([]byte, 300),
	}
	if n := testing.AllocsPerRun(1000, func() { k.sum(e) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMAC(b *testing.B) {
	k := newKey(make([]byte, 32))
	e := &store.Entry{
		VaultID: "v_1", Event: EventDecrypt, Reason: "support", Fields: []string{"email", "ssn9"}, Chain: chainName(newWriter(), 1),
		Seq: 1, Prev: make([]byte, 32), Body: make([]byte, 300),
	}
	b.Run("keyed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.sum(e)
		}
	})
	b.Run("hash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Hash(e)
		}
	})
}
