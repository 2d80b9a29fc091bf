package keys

import (
	"runtime"
	"testing"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// the design's targets: 512 MiB holds 200,000 keys or 500,000 contexts. KeyCost and ContextCost promise it; this measures them,
// with the collector's headroom (GOGC=100: as much garbage as there is live heap) counted in.
func TestMemoryPerKeyAndContext(t *testing.T) {
	if 200_000*KeyCost > 512<<20 || 500_000*ContextCost > 512<<20 {
		t.Error("the promised costs do not fit the target")
	}
	for _, suite := range sealed.Suites() {
		const n = 1000
		c := newCache(t, Config{MaxKeys: 2 * n}, &kms{})
		v := newVaultOf(t, suite, "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE")
		flood(c, v, 1) // the maps' first buckets
		before := liveHeap()
		flood(c, vaultOf(v, 1), n)
		per := 2 * float64(liveHeap()-before) / n
		if c.Stats().Keys != n+1 || per > KeyCost {
			t.Errorf("%v: %.0f bytes a key, promised %d", suite, per, KeyCost)
		}
		t.Logf("%v: %.0f bytes a key (half of it headroom), promised %d", suite, per, KeyCost)
		c.Close()
	}
	const n = 100_000
	c := newCache(t, Config{MaxContexts: 2 * n}, &kms{})
	defer c.Close()
	e := entryOf(t, c, newVault(t, "v_1"))
	before, outside := liveHeap(), secret.Stats().Mapped
	storeMany(c, e, n, 0)
	off := float64(secret.Stats().Mapped-outside) / n
	per := 2*float64(liveHeap()-before)/n + off
	if c.Stats().Contexts != n || per > ContextCost {
		t.Errorf("%.0f bytes a context, promised %d", per, ContextCost)
	}
	t.Logf("%.0f bytes a context, %.0f of them locked, promised %d", per, off, ContextCost)
	before, outside = liveHeap(), secret.Stats().Mapped
	for i := range n {
		c.fields.store(e, contextID{e.id, [2]uint64{uint64(i), uint64(i)}}, make([]byte, sealed.FieldSize))
	}
	off = float64(secret.Stats().Mapped-outside) / n
	per = 2*float64(liveHeap()-before)/n + off
	if c.Stats().Fields != n || per > FieldCost {
		t.Errorf("%.0f bytes a field's key, promised %d", per, FieldCost)
	}
	t.Logf("%.0f bytes a field's key, %.0f of them locked, promised %d", per, off, FieldCost)
	before, outside = liveHeap(), secret.Stats().Mapped
	for i := range MaxCiphers - 100 { // shards are not filled evenly
		c.ciphers.store(e, contextID{e.id, [2]uint64{uint64(i), uint64(i)}}, make([]byte, sealed.CipherSize))
	}
	off = float64(secret.Stats().Mapped-outside) / (MaxCiphers - 100)
	per = 2*float64(liveHeap()-before)/(MaxCiphers-100) + off
	if c.ciphers.count.Load() != MaxCiphers-100 || per > CipherCost {
		t.Errorf("%.0f bytes a cipher, promised %d", per, CipherCost)
	}
	t.Logf("%.0f bytes a cipher, %.0f of them locked, promised %d", per, off, CipherCost)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
