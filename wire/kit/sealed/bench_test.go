package sealed

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"
)

func benchPlain(n int) map[string][]byte {
	m := make(map[string][]byte, n)
	for i := range n {
		m[fmt.Sprintf("field_%02d", i)] = []byte("123-45-6789")
	}
	return m
}

type benchField struct {
	name []byte
	blob Blob
}

func benchSealed(b testing.TB, e Encoding, p pair, n int) []benchField {
	b.Helper()
	out, err := Seal(e, p.suite, p.pk, "v_1", benchPlain(n))
	if err != nil {
		b.Fatal(err)
	}
	fields := make([]benchField, 0, n)
	for name, raw := range out {
		blob, err := ParseBlob(p.suite, e, raw)
		if err != nil {
			b.Fatal(err)
		}
		fields = append(fields, benchField{[]byte(name), blob})
	}
	return fields
}

func BenchmarkECDH(b *testing.B) {
	for _, s := range Suites() {
		b.Run(s.String(), func(b *testing.B) {
			p, q := newPair(b, s), newPair(b, s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.std.ECDH(q.std.PublicKey()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParsePrivateKey(b *testing.B) {
	for _, s := range Suites() {
		b.Run(s.String(), func(b *testing.B) {
			p := newPair(b, s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParsePrivateKey(s, p.pkcs8); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range Suites() {
		for _, e := range []Encoding{EncodingField, EncodingRecord} {
			for _, n := range []int{1, 10, 100} {
				if s == P521 && n == 100 && e == EncodingField {
					continue // half a second each, and nothing new
				}
				b.Run(fmt.Sprintf("%v/encoding=%d/fields=%d", s, e, n), func(b *testing.B) {
					p, in := newPair(b, s), benchPlain(n)
					b.ReportAllocs()
					for b.Loop() {
						if _, err := Seal(e, s, p.pk, "v_1", in); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkOpenCold derives the context of each encapsulated key; BenchmarkOpenHot has it.
func BenchmarkOpenCold(b *testing.B) { benchOpen(b, openCold) }

func BenchmarkOpenHot(b *testing.B) {
	benchOpen(b, func(b *testing.B, p pair, fields []benchField, dst []byte) {
		ctx := make([]Context, len(fields))
		for i, f := range fields {
			var err error
			if ctx[i], err = p.sk.Derive(make([]byte, ContextSize), []byte("v_1"), f.blob.Enc); err != nil {
				b.Fatal(err)
			}
		}
		b.ResetTimer()
		for b.Loop() {
			for i, f := range fields {
				if _, err := ctx[i].Open(dst, f.name, f.blob); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func openCold(b *testing.B, p pair, fields []benchField, dst []byte) {
	for b.Loop() {
		openAllCold(b, p, fields, dst)
	}
}

func openAllCold(b testing.TB, p pair, fields []benchField, dst []byte) {
	var mem [ContextSize]byte
	var c Context
	var err error
	for i, f := range fields {
		if i == 0 || f.blob.Encoding != EncodingRecord {
			if c, err = p.sk.Derive(mem[:], []byte("v_1"), f.blob.Enc); err != nil {
				b.Fatal(err)
			}
		}
		if _, err = c.Open(dst, f.name, f.blob); err != nil {
			b.Fatal(err)
		}
	}
}

func benchOpen(b *testing.B, run func(b *testing.B, p pair, fields []benchField, dst []byte)) {
	for _, s := range Suites() {
		for _, e := range []Encoding{EncodingField, EncodingRecord} {
			for _, n := range []int{1, 10, 100} {
				b.Run(fmt.Sprintf("%v/encoding=%d/fields=%d", s, e, n), func(b *testing.B) {
					p := newPair(b, s)
					fields := benchSealed(b, e, p, n)
					b.ReportAllocs()
					run(b, p, fields, make([]byte, 0, 256))
				})
			}
		}
	}
}

func BenchmarkAEADSetup(b *testing.B) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	b.ReportAllocs()
	for b.Loop() {
		block, aead, err := newAEAD(key)
		if err != nil {
			b.Fatal(err)
		}
		wipeCipher(block, aead)
	}
}

// BenchmarkRatio measures the design's targets: the cost of a cold open as a multiple of one ECDH, both timed in
// turn so that a busy machine slows both. It reports the ratio of the medians and of the fastest tenth.
func BenchmarkRatio(b *testing.B) {
	for _, c := range []struct {
		s Suite
		e Encoding
		n int
	}{{P256, 2, 1}, {P384, 2, 1}, {P521, 2, 1}, {P256, 3, 10}, {P384, 3, 10}, {P521, 3, 10}} {
		b.Run(fmt.Sprintf("%v/encoding=%d/fields=%d", c.s, c.e, c.n), func(b *testing.B) {
			p, q := newPair(b, c.s), newPair(b, c.s)
			fields, dst := benchSealed(b, c.e, p, c.n), make([]byte, 0, 256)
			var one, all []time.Duration
			for b.Loop() {
				t0 := time.Now()
				if _, err := p.std.ECDH(q.std.PublicKey()); err != nil {
					b.Fatal(err)
				}
				t1 := time.Now()
				openAllCold(b, p, fields, dst)
				one, all = append(one, t1.Sub(t0)), append(all, time.Since(t1))
			}
			slices.Sort(one)
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2])/float64(one[len(one)/2]), "x-ECDH-p50")
			b.ReportMetric(float64(all[len(all)/10])/float64(one[len(one)/10]), "x-ECDH-p10")
		})
	}
}
