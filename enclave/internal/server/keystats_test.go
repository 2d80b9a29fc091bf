package server

import (
	"testing"

	"redoubt/enclave/internal/keys"
	"redoubt/wire"
)

func TestAFieldOpenedByItsOwnKeyCountsAsAContextHit(t *testing.T) {
	var m wire.Stats
	keyStats(keys.Stats{ContextHits: 3, FieldHits: 40, ContextMisses: 5}, &m)
	got := map[wire.StatID]int64{}
	for _, v := range m.Values {
		got[v.ID] = v.Value
	}
	if got[wire.StatContextHits] != 43 || got[wire.StatContextMisses] != 5 {
		t.Errorf("hits %d, misses %d", got[wire.StatContextHits], got[wire.StatContextMisses])
	}
}
