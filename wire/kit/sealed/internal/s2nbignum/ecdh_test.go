//go:build s2nbignum && (amd64 || arm64)

package s2nbignum

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"unsafe"
)

var agreements = flag.Int("agreements", 500, "random key agreements that are compared, for each form of P-384; P-521 "+
	"takes twenty times as long in the standard library, and gets a tenth")

// curve is what the tests know of a curve beside crypto/ecdh.
type curve struct {
	ecdh.Curve
	*elliptic.CurveParams
	size int
}

func curves() []curve {
	all := []curve{{ecdh.P384(), elliptic.P384().Params(), 48}}
	if Has(ecdh.P521()) {
		all = append(all, curve{ecdh.P521(), elliptic.P521().Params(), 66})
	}
	return all
}

// forForms runs a test for each curve and each form of the code that this processor has.
func forForms(t *testing.T, run func(t *testing.T, c curve)) {
	for _, form := range forms() {
		for _, c := range curves() {
			t.Run(form.name+"/"+c.Name, func(t *testing.T) {
				form.use(t)
				run(t, c)
			})
		}
	}
}

func (c curve) bytes(k *big.Int) []byte { return k.FillBytes(make([]byte, c.size)) }

// compare compares one agreement with the standard library's.
func (c curve) compare(t *testing.T, scalar, point []byte) {
	t.Helper()
	k, err := c.NewPrivateKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.NewPublicKey(point)
	if err != nil {
		t.Fatal(err)
	}
	want, err := k.ECDH(p)
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.Repeat([]byte{0xa5}, c.size)
	if !ECDH(c.Curve, got, scalar, point) || !bytes.Equal(got, want) {
		t.Fatalf("%v times %v is %x, want %x", scalar, point, got, want)
	}
}

func TestRandomAgreementsAreThoseOfTheStandardLibrary(t *testing.T) {
	forForms(t, func(t *testing.T, c curve) {
		n := *agreements
		if c.size > 48 {
			n /= 10
		}
		for range n {
			k, err := c.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			c.compare(t, k.Bytes(), p.PublicKey().Bytes())
		}
	})
}

// TestAgreementsAtTheEdges has scalars around each power of two, around the order and its half, and of windows that are
// all alike, with points whose multiples meet each other and infinity on the way.
func TestAgreementsAtTheEdges(t *testing.T) {
	forForms(t, func(t *testing.T, c curve) {
		one := big.NewInt(1)
		var scalars []*big.Int
		around := func(k *big.Int) {
			for d := int64(-2); d <= 2; d++ {
				scalars = append(scalars, new(big.Int).Add(k, big.NewInt(d)))
			}
		}
		for bit := 0; bit < c.BitSize; bit += 7 {
			around(new(big.Int).Lsh(one, uint(bit)))
		}
		around(c.N)
		around(new(big.Int).Rsh(c.N, 1))
		for window := int64(1); window < 32; window++ {
			k := new(big.Int)
			for range c.BitSize / 5 {
				k.Or(k.Lsh(k, 5), big.NewInt(window))
			}
			scalars = append(scalars, k)
		}
		var points [][]byte
		for _, k := range []*big.Int{
			one, big.NewInt(2), big.NewInt(15), big.NewInt(16), new(big.Int).Sub(c.N, one),
			new(big.Int).Rsh(c.N, 1),
		} {
			p, err := c.NewPrivateKey(c.bytes(k))
			if err != nil {
				t.Fatal(err)
			}
			points = append(points, p.PublicKey().Bytes())
		}
		n := 0
		for _, k := range scalars {
			if k.Sign() <= 0 || k.Cmp(c.N) >= 0 {
				continue
			}
			c.compare(t, c.bytes(k), points[n%len(points)])
			n++
		}
		if n < 200 {
			t.Fatalf("only %d scalars", n)
		}
	})
}

func TestInfinityAndOtherSizesAreRefused(t *testing.T) {
	forForms(t, func(t *testing.T, c curve) {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, scalar := k.PublicKey().Bytes(), k.Bytes()
		refused := func(what string, dst, scalar, point []byte) {
			t.Helper()
			if ECDH(c.Curve, dst, scalar, point) || !bytes.Equal(dst, make([]byte, len(dst))) {
				t.Errorf("%s: %x", what, dst)
			}
		}
		dst := func() []byte { return bytes.Repeat([]byte{1}, c.size) }
		refused("no scalar", dst(), make([]byte, c.size), point)
		refused("the order", dst(), c.bytes(c.N), point)
		refused("a short scalar", dst(), scalar[1:], point)
		refused("a long scalar", dst(), append(scalar, 0), point)
		refused("a short point", dst(), scalar, point[1:])
		refused("no point", dst(), scalar, nil)
		refused("a short result", dst()[1:], scalar, point)
		if ECDH(ecdh.P256(), make([]byte, 32), make([]byte, 32), make([]byte, 65)) {
			t.Error("a curve without code")
		}
	})
}

// TestAgreementsAllocateNothing: what an agreement holds of the scalar stays on the stack, where it is wiped.
func TestAgreementsAllocateNothing(t *testing.T) {
	forForms(t, func(t *testing.T, c curve) {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		dst, scalar, point := make([]byte, c.size), k.Bytes(), k.PublicKey().Bytes()
		if n := testing.AllocsPerRun(10, func() { ECDH(c.Curve, dst, scalar, point) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// TestStacksGrowAndSignalsComeMeanwhile runs the code at all depths of small stacks, in many goroutines, while the
// collector moves stacks and the profiler and the scheduler send signals.
func TestStacksGrowAndSignalsComeMeanwhile(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Logf("without the profiler's signals: %v", err)
	} else {
		defer pprof.StopCPUProfile()
	}
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	defer collector.Wait()
	defer close(stop)
	forForms(t, func(t *testing.T, c curve) {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		scalar, point := k.Bytes(), k.PublicKey().Bytes()
		want := make([]byte, c.size)
		if !ECDH(c.Curve, want, scalar, point) {
			t.Fatal("no result")
		}
		var all sync.WaitGroup
		for depth := range 64 {
			all.Go(func() {
				if got := deep(depth, c, scalar, point); !bytes.Equal(got[:c.size], want) {
					t.Errorf("at depth %d: %x, want %x", depth, got, want)
				}
			})
		}
		all.Wait()
	})
}

// deep calls ECDH below frames of an odd size whose content must stay.
func deep(n int, c curve, scalar, point []byte) [66]byte {
	var room [13]uint64
	for i := range room {
		room[i] = uint64(n)<<32 | uint64(i)
	}
	var out [66]byte
	if n > 0 {
		out = deep(n-1, c, scalar, point)
	} else {
		ECDH(c.Curve, out[:c.size], scalar, point)
	}
	for i := range room {
		if room[i] != uint64(n)<<32|uint64(i) {
			panic(fmt.Sprintf("frame %d has changed", n))
		}
	}
	return out
}

// TestTheCodesStackIsWiped fills the stack, and finds as many zeros in a row there as the code has used.
func TestTheCodesStackIsWiped(t *testing.T) {
	forForms(t, func(t *testing.T, c curve) {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		used := map[int]int{48: 2700, 66: 4200}[c.size] // less what the calls after it wrote over
		longest := 0
		// The scheduler may preempt the goroutine between the wipe and the look, and saves its registers there.
		for try := 0; try < 10 && 8*longest < used; try++ {
			longest = zeros(leftovers(c, make([]byte, c.size), k.Bytes(), k.PublicKey().Bytes()))
		}
		if 8*longest < used {
			t.Errorf("%d bytes in a row are zero, the code used %d", 8*longest, used)
		}
	})
}

// zeros is how many words in a row are zero at most.
func zeros(words []uint64) (longest int) {
	run := 0
	for _, w := range words {
		if run++; w != 0 {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

const below = 8 << 10

// leftovers is what ECDH leaves on a stack that held something else everywhere.
//
//go:noinline
//go:nocheckptr
func leftovers(c curve, dst, scalar, point []byte) []uint64 {
	words := make([]uint64, below/8)
	var here uint64
	fill(words)
	ECDH(c.Curve, dst, scalar, point)
	for i := range words {
		words[i] = *(*uint64)(unsafe.Add(unsafe.Pointer(&here), 8*i-below))
	}
	return words
}

//go:noinline
func fill(out []uint64) {
	var all [below / 8]uint64
	for i := range all {
		all[i] = 0xa5a5a5a5a5a5a5a5
	}
	copy(out, all[:])
}

func BenchmarkECDH(b *testing.B) {
	for _, c := range curves() {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		scalar, point, dst := k.Bytes(), k.PublicKey().Bytes(), make([]byte, c.size)
		b.Run(c.Name+"/s2n", func(b *testing.B) {
			for b.Loop() {
				ECDH(c.Curve, dst, scalar, point)
			}
		})
		b.Run(c.Name+"/std", func(b *testing.B) {
			for b.Loop() {
				if _, err := k.ECDH(k.PublicKey()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
