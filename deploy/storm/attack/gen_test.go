//go:build attack

package attack

import (
	"bytes"
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// maxGrown bounds how long a mutation may make a piece of text.
const maxGrown = 64 << 10

// gen writes one round. Its methods give back what they were given, or, once in odds calls, a mutation of it.
type gen struct {
	*rand.Rand
	odds int // 0: nothing is mutated
}

// newGen makes the generator of round i: a function of its arguments alone.
func newGen(seed uint64, attack string, i int) *gen {
	h := fnv.New64a()
	_, _ = h.Write([]byte(attack))
	g := &gen{Rand: rand.New(rand.NewPCG(seed^h.Sum64(), uint64(i)))}
	g.odds = pick(g, 0, 100, 30, 30, 8, 3)
	return g
}

func pick[T any](g *gen, from ...T) T { return from[g.IntN(len(from))] }

// oneIn is true once in n calls.
func (g *gen) oneIn(n int) bool { return g.IntN(n) == 0 }

func (g *gen) hit() bool { return g.odds > 0 && g.oneIn(g.odds) }

// num gives n, or a number near a bound: 0, 1, powers of two and their neighbours, and those near most.
func (g *gen) num(n, most uint64) uint64 {
	if !g.hit() {
		return n
	}
	switch g.IntN(5) {
	case 0:
		return pick[uint64](g, 0, 1, most-1, most, most+1, 2*most)
	case 1:
		return uint64(1)<<g.IntN(64) - uint64(g.IntN(3)) + 1
	case 2:
		return n + uint64(g.IntN(3)) - 1
	case 3:
		return ^uint64(0) >> g.IntN(64)
	default:
		return g.Uint64() >> g.IntN(64)
	}
}

// words are texts that parsers treat in ways of their own.
var words = [][]byte{
	{0},
	{0xff},
	[]byte("\r\n"), []byte("\n"), []byte("\r\n\r\n"), []byte(" "), []byte("\t"), []byte("%00"), []byte("../"),
	[]byte("\\u0000"), []byte("\\ud800"), []byte("\xed\xa0\x80"), []byte("\xc0\xaf"), []byte("\xef\xbb\xbf"), []byte("{"), []byte("["),
	[]byte("\""), []byte("null"), []byte("-0"), []byte("1e999"), []byte("00"), []byte("0x10"), []byte("+1"), []byte("é"), []byte(","),
	[]byte(":"), []byte("="), []byte("&"), []byte(";"), []byte("chunked"), []byte("Content-Length: 5\r\n"),
	{0x30, 0x80},
	{0x00, 0x00},
	{0x80},
	{0x7f, 0xff, 0xff, 0xff},
	{0x9f},
	{0xbf},
	{0x5f},
	{0xd2},
}

// data gives b, or a mutation of it, which never shares b's memory.
func (g *gen) data(b []byte) []byte {
	if !g.hit() {
		return b
	}
	return g.mutate(b)
}

func (g *gen) text(s string) string { return string(g.data([]byte(s))) }

func (g *gen) mutate(b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + g.IntN(3) {
		at, end := 0, 0
		if len(b) > 0 {
			at = g.IntN(len(b))
			end = min(len(b), at+1+g.IntN(16))
		}
		switch g.IntN(9) {
		case 0:
			if len(b) > 0 {
				b[at] ^= 1 << g.IntN(8)
			}
		case 1:
			if len(b) > 0 {
				b[at] = pick[byte](g, 0, 1, 0x7f, 0x80, 0xff, ' ', '"')
			}
		case 2:
			b = slices.Delete(b, at, end)
		case 3:
			b = slices.Insert(b, at, bytes.Clone(b[at:end])...)
		case 4:
			b = slices.Insert(b, at, pick(g, words...)...)
		case 5:
			b = b[:at]
		case 6: // a piece again and again
			piece := bytes.Clone(b[at:end])
			if len(piece) == 0 {
				piece = []byte("A")
			}
			for range g.IntN(1 << g.IntN(13)) {
				if len(b) >= maxGrown {
					break
				}
				b = append(b, piece...)
			}
		case 7:
			for i := at; i < end; i++ {
				b[i] = byte(g.Uint32())
			}
		case 8:
			b = nil
		}
	}
	return b
}

// order gives the pieces of a conversation, or some of them, some twice, or in another order.
func order[T any](g *gen, all []T) []T {
	if len(all) == 0 || !g.hit() {
		return all
	}
	all = slices.Clone(all)
	i, j := g.IntN(len(all)), g.IntN(len(all))
	switch g.IntN(4) {
	case 0:
		return slices.Delete(all, i, i+1)
	case 1:
		all[i], all[j] = all[j], all[i]
	case 2:
		return slices.Insert(all, j, all[i])
	case 3:
		return slices.Insert(all, i, slices.Repeat(all[i:i+1], 1+g.IntN(1<<g.IntN(8)))...)
	}
	return all
}

// random gives n bytes.
func (g *gen) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}
