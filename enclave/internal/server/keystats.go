package server

import (
	"redoubt/enclave/internal/keys"
	"redoubt/wire"
)

// keyStats adds the counts of the caches.
func keyStats(k keys.Stats, m *wire.Stats) {
	for _, v := range []struct {
		id wire.StatID
		n  uint64
	}{
		{wire.StatKeyHits, k.KeyHits},
		{wire.StatKeyMisses, k.KeyMisses},
		{wire.StatKeyNegativeHits, k.NegativeHits},
		{wire.StatKeyRefreshes, k.Refreshes},
		{wire.StatKeyEvictions, k.KeyEvictions},
		{wire.StatKeyExpired, k.KeyExpirations},
		// A field whose own key is kept does not need its context. Either way no P-384 was needed.
		{wire.StatContextHits, k.ContextHits + k.FieldHits},
		{wire.StatContextMisses, k.ContextMisses},
		{wire.StatContextEvictions, k.ContextEvictions},
	} {
		m.Add(v.id, int64(v.n))
	}
	m.Add(wire.StatGaugeKeys, int64(k.Keys))
	m.Add(wire.StatGaugeContexts, int64(k.Contexts))
}
