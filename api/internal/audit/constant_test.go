package audit

import (
	"math/rand/v2"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/test/timing"
)

// An attacker who writes to the store could otherwise find an entry's MAC byte by byte.
func TestTheTimeOfARefusedMACDoesNotTellHowMuchOfItIsRight(t *testing.T) {
	k := newKey(make([]byte, 32))
	entry := store.Entry{VaultID: "v_1", Time: 1, Event: "DecryptVault", Chain: "c", Seq: 1, Fields: []string{"email"}}
	mac := k.sum(&entry)
	tally, err := k.sign(&tally{Writer: "w", Through: 1})
	if err != nil {
		t.Fatal(err)
	}
	random := func(r *rand.Rand, in []byte) {
		for i := range in {
			in[i] = byte(r.Uint32())
		}
	}
	near := func(mac []byte) func(*rand.Rand, []byte) {
		return func(_ *rand.Rand, in []byte) { copy(in, mac); in[len(in)-1] ^= 1 }
	}
	t.Run("of an entry", func(t *testing.T) {
		e := entry
		timing.Run(t, &timing.Probe{
			Size: len(mac), Batch: 8, Sees: 50 * time.Nanosecond, Inputs: [2]func(*rand.Rand, []byte){near(mac), random},
			Run: func(in []byte) bool { e.Hash = in; return k.genuine(&e) },
		})
	})
	t.Run("of a checkpoint", func(t *testing.T) {
		c := *tally
		timing.Run(t, &timing.Probe{
			Size: len(mac), Batch: 8, Sees: 50 * time.Nanosecond, Inputs: [2]func(*rand.Rand, []byte){near(tally.MAC), random},
			Run: func(in []byte) bool { c.MAC = in; _, err := k.read(&c); return err == nil },
		})
	})
}
