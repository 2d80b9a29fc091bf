package keys

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

func BenchmarkLookup(b *testing.B) {
	c := newCache(b, Config{}, &kms{})
	defer c.Close()
	v := newVault(b, "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE")
	get(b, c, v)
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			cached(c, v)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				cached(c, v)
			}
		})
	})
}

// BenchmarkOpen is a read with the key cached; cold derives the context each time, hot has it.
func BenchmarkOpen(b *testing.B) {
	for _, s := range []sealed.Suite{sealed.P256, sealed.P384} {
		for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
			for _, n := range []int{1, 10, 100} {
				b.Run(fmt.Sprintf("%v/encoding=%d/fields=%d/cold", s, e, n), func(b *testing.B) { benchOpen(b, s, e, n, false) })
				b.Run(fmt.Sprintf("%v/encoding=%d/fields=%d/hot", s, e, n), func(b *testing.B) { benchOpen(b, s, e, n, true) })
			}
		}
	}
}

func benchOpen(b *testing.B, s sealed.Suite, e sealed.Encoding, n int, hot bool) {
	c := newCache(b, Config{}, &kms{})
	defer c.Close()
	v := newVaultOf(b, s, "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE")
	plain := make(map[string]string)
	for i := range n {
		plain[fmt.Sprintf("field_%02d", i)] = "123-45-6789"
	}
	blobs := v.seal(b, e, plain)
	names, dst := make(map[string][]byte), make([]byte, 0, 64)
	for name := range blobs {
		names[name] = []byte(name)
	}
	read := func() {
		k, err := c.Get(context.Background(), &v.req)
		if err != nil {
			b.Fatal(err)
		}
		for name, blob := range blobs {
			if _, ok, err := k.OpenCached(dst, names[name], blob); ok && err == nil {
				continue
			}
			if _, err := k.Open(dst, names[name], blob); err != nil {
				b.Fatal(err)
			}
		}
		if !hot {
			c.contexts.purge(k.e.id)
		}
		k.Release()
	}
	read()
	b.ReportAllocs()
	for b.Loop() {
		read()
	}
}

func BenchmarkEvict(b *testing.B) {
	c := newCache(b, Config{MaxContexts: 100_000}, &kms{})
	defer c.Close()
	e := entryOf(b, c, newVault(b, "v_1"))
	storeMany(c, e, 100_000, 0)
	b.Run("contexts/all used", func(b *testing.B) {
		mem := make([]byte, sealed.ContextSize)
		i := 200_000
		for b.Loop() {
			storeMany(c, e, 1, i)
			id := c.contexts.identify(e.id, []byte{0, 0, 0, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)})
			c.contexts.load(mem, id)
			i++
		}
	})
}

// BenchmarkFull fills the caches to the design's targets and reports the process's memory.
func BenchmarkFull(b *testing.B) {
	b.Run("200000 keys", func(b *testing.B) {
		for b.Loop() {
			c := newCache(b, Config{MaxKeys: 210_000}, &kms{})
			flood(c, newVaultOf(b, sealed.P384, "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE"), 200_000)
			report(b, c)
		}
	})
	b.Run("500000 contexts", func(b *testing.B) {
		for b.Loop() {
			c := newCache(b, Config{MaxContexts: 510_000}, &kms{})
			storeMany(c, entryOf(b, c, newVault(b, "v_1")), 500_000, 0)
			report(b, c)
		}
	})
}

func report(b *testing.B, c *Cache) {
	b.StopTimer()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			b.ReportMetric(kib/1024, "peak-RSS-MiB")
		}
	}
	st := c.Stats()
	b.ReportMetric(float64(st.Keys), "keys")
	b.ReportMetric(float64(st.Contexts), "contexts")
	b.ReportMetric(float64(secret.Stats().Mapped)/(1<<20), "locked-MiB")
	c.Close()
	b.StartTimer()
}
