package keys

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// patterns is what to look for in memory. They are kept under a mask and compared byte by byte: a search with wide
// registers would leave its pattern on a stack whenever it is preempted, and find that.
type patterns []pattern

type pattern struct {
	what   string
	masked []byte
	anchor int // where a byte is that memory is not full of
}

const mask = 0xa5

func (p *patterns) add(what string, b []byte) []byte {
	masked, anchor := make([]byte, len(b)), 0
	for i := range b {
		masked[i] = b[i] ^ mask
		if b[i] > 1 && b[i] != 0xff && b[anchor] <= 1 {
			anchor = i
		}
	}
	*p = append(*p, pattern{what, masked, anchor})
	return masked
}

// in counts the pattern in b where it begins below limit.
func (p *pattern) in(b []byte, limit int) (n int) {
	for i := p.anchor; i < len(b); i++ {
		j := bytes.IndexByte(b[i:], p.masked[p.anchor]^mask)
		if j < 0 {
			break
		}
		i += j
		if start := i - p.anchor; start < limit && p.at(b[start:]) {
			n++
		}
	}
	return n
}

func (p *pattern) at(b []byte) bool {
	if len(b) < len(p.masked) {
		return false
	}
	for i, m := range p.masked {
		if b[i]^mask != m {
			return false
		}
	}
	return true
}

// addScalar looks for a scalar whole, for its ends, and for its ends in the reversed order that limbs have.
func (p *patterns) addScalar(scalar []byte) {
	n := len(scalar)
	p.add("scalar", scalar)
	p.add("scalar, first 16", scalar[:16])
	p.add("scalar, last 16", scalar[n-16:])
	reverse := func(what string, b []byte) {
		dst := p.add(what, b)
		for i, j := 0, len(dst)-1; i < j; i, j = i+1, j-1 {
			dst[i], dst[j] = dst[j], dst[i]
		}
	}
	reverse("limbs, first 16", scalar[n-16:])
	reverse("limbs, last 16", scalar[n-32:n-16])
}

// addContext looks for the secrets of the one context that is kept.
func (p *patterns) addContext(t *testing.T, c *Cache, suite sealed.Suite) {
	t.Helper()
	exporter := map[sealed.Suite]int{sealed.P256: 32, sealed.P384: 48, sealed.P521: 64}[suite]
	found := 0
	for i := range c.contexts.shards {
		if s := &c.contexts.shards[i]; s.head != none {
			mem := c.contexts.arena.Bytes(s.nodes[s.head].slot)
			p.add("AEAD key", mem[:32])
			p.add("exporter secret", mem[44:][:exporter])
			found++
		}
	}
	for i := range c.fields.shards {
		if s := &c.fields.shards[i]; s.head != none {
			p.add("field key", c.fields.arena.Bytes(s.nodes[s.head].slot)[:32])
			found++
		}
	}
	for i := range c.ciphers.shards {
		if s := &c.ciphers.shards[i]; s.head != none { // round keys, which come after the key itself
			p.add("key schedule", c.ciphers.arena.Bytes(s.nodes[s.head].slot)[40:][:32])
			found++
		}
	}
	if found != 3 {
		t.Fatal("no context, no field's key, or no cipher was kept")
	}
}

// search counts where each pattern lies in the writable memory of this process, its own window left out.
func search(t *testing.T, ps patterns) map[string]int {
	t.Helper()
	const step, overlap = 1 << 20, 256
	window, err := secret.New(step + overlap)
	if err != nil {
		t.Fatal(err)
	}
	defer window.Destroy()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	found := make(map[string]int)
	for _, r := range without(writable(t), window.Bytes()) {
		for at := r.from; at < r.to; at += step {
			b := window.Bytes()[:min(step+overlap, r.to-at)]
			if n, err := mem.ReadAt(b, int64(at)); err != nil {
				b = b[:n] // the rest is not there
			}
			for _, p := range ps {
				if n := p.in(b, step); n > 0 {
					found[p.what] += n
				}
			}
		}
	}
	return found
}

type region struct{ from, to uint64 }

// without takes b out of the regions; the kernel joins neighbouring mappings.
func without(regions []region, b []byte) (out []region) {
	from := uint64(uintptr(unsafe.Pointer(&b[0])))
	to := from + uint64(len(b))
	for _, r := range regions {
		if r.from < from && from < r.to {
			out = append(out, region{r.from, from})
		}
		if r.from < to && to < r.to {
			out = append(out, region{to, r.to})
		}
		if r.to <= from || to <= r.from {
			out = append(out, r)
		}
	}
	return out
}

func writable(t *testing.T) (regions []region) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		z, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil {
			t.Fatal(line)
		}
		regions = append(regions, region{a, z})
	}
	return regions
}
