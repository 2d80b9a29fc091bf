package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func TestMain(m *testing.M) {
	if f := children[os.Getenv("SECRET_TEST_CHILD")]; f != nil {
		f()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newBuffer(t *testing.T, content string) *Buffer {
	t.Helper()
	b, err := NewFrom([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Destroy)
	return b
}

func TestBufferIsZeroedWritableAndOfItsSize(t *testing.T) {
	for _, n := range []int{1, 31, 4096, 4097, 1 << 20} {
		b, err := New(n)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Bytes()
		if len(got) != n || cap(got) != n || b.Len() != n || !bytes.Equal(got, make([]byte, n)) {
			t.Errorf("%d: %d bytes, capacity %d", n, len(got), cap(got))
		}
		got[0], got[n-1] = 1, 2
		if b.Bytes()[0] == 0 || b.Bytes()[n-1] == 0 {
			t.Error("a copy, not the memory itself")
		}
		b.Destroy()
	}
	for _, n := range []int{0, -1, MaxBuffer + 1} {
		if _, err := New(n); !errors.Is(err, ErrSize) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

func TestNewFromWipesItsSource(t *testing.T) {
	src := []byte("sentinel")
	b, err := NewFrom(src)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	if string(b.Bytes()) != "sentinel" || !bytes.Equal(src, make([]byte, 8)) {
		t.Errorf("buffer %d bytes, source %v", b.Len(), src)
	}
	big := bytes.Repeat([]byte{1}, MaxBuffer+1)
	if _, err := NewFrom(big); !errors.Is(err, ErrSize) || big[0] != 0 || big[MaxBuffer] != 0 {
		t.Error("source kept after a failure", err)
	}
}

func TestTruncateWipesWhatItCutsOff(t *testing.T) {
	b, err := NewFrom([]byte("secret and padding"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	whole := b.Bytes()
	for _, n := range []int{-1, 19, 18} {
		if b.Truncate(n); b.Len() != 18 {
			t.Errorf("Truncate(%d): %d bytes", n, b.Len())
		}
	}
	if b.Truncate(6); string(b.Bytes()) != "secret" || cap(b.Bytes()) != 6 {
		t.Errorf("%q", b.Bytes())
	}
	if !bytes.Equal(whole[6:], make([]byte, 12)) {
		t.Errorf("%q is left", whole[6:])
	}
	b.Destroy()
	b.Truncate(1)
}

func TestDestroyIsIdempotentAndEmpties(t *testing.T) {
	before := Stats()
	b, err := NewFrom([]byte("sentinel"))
	if err != nil {
		t.Fatal(err)
	}
	if Stats().Mapped <= before.Mapped {
		t.Error("not counted")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(b.Destroy)
	}
	wg.Wait()
	if b.Bytes() != nil || b.Len() != 0 || Stats() != before {
		t.Error("something is left", Stats())
	}
	(*Buffer)(nil).Destroy()
	if (*Buffer)(nil).Bytes() != nil {
		t.Error("nil has bytes")
	}
	var zero Buffer
	zero.Destroy()
}

// The kernel's own account of the pages: locked, not dumped, wiped in children.
func TestMemoryIsLockedUndumpableAndNotInherited(t *testing.T) {
	b := newBuffer(t, "sentinel")
	a, err := NewArena(64, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Destroy()
	s, err := a.Alloc()
	if err != nil {
		t.Fatal(err)
	}
	for what, mem := range map[string][]byte{"buffer": b.Bytes(), "arena": a.Bytes(s)} {
		flags := vmFlags(t, uintptr(unsafe.Pointer(&mem[0])))
		for flag, meaning := range map[string]string{"lo": "locked", "dd": "not dumped", "wf": "wiped on fork"} {
			if !strings.Contains(" "+flags+" ", " "+flag+" ") {
				t.Errorf("%s: not %s: %s", what, meaning, flags)
			}
		}
	}
}

// vmFlags reads the VmFlags of the mapping that holds addr.
func vmFlags(t *testing.T, addr uintptr) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(raw)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= addr && addr < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			return strings.TrimSpace(flags)
		}
	}
	t.Fatal("no such mapping")
	return ""
}

func TestNothingPrints(t *testing.T) {
	b := newBuffer(t, "sentinel")
	a, err := NewArena(16, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Destroy()
	s, err := a.Alloc()
	if err != nil {
		t.Fatal(err)
	}
	copy(a.Bytes(s), "sentinel")
	hex, decimal := fmt.Sprintf("%x", "sentinel"), strings.Trim(fmt.Sprintf("%d", []byte("sentinel")), "[]")
	for _, v := range []any{b, a, struct{ B *Buffer }{b}, []*Buffer{b}, map[string]any{"k": a}, fmt.Errorf("e %v", b)} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "% X", "%d", "%o", "%t", "%10.2f"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Error(err)
		}
		text := strings.ToLower(out.String())
		if strings.Contains(text, "sentinel") || strings.Contains(text, hex) || strings.Contains(text, decimal) {
			t.Errorf("%T shows its secret", v)
		}
	}
	if got := fmt.Sprintf("%v %s", b, a); got != Redacted+" "+Redacted {
		t.Error(got)
	}
	if text, err := b.MarshalText(); err != nil || string(text) != Redacted {
		t.Error(err)
	}
	if text, err := a.MarshalText(); err != nil || string(text) != Redacted {
		t.Error(err)
	}
}

func TestArenaHandsOutZeroedSlotsThatDoNotOverlap(t *testing.T) {
	const size, most = 100, 6000 // more than two chunks
	a, err := NewArena(size, most)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Destroy()
	slots := make([]Slot, most)
	for i := range slots {
		if slots[i], err = a.Alloc(); err != nil {
			t.Fatal(err)
		}
		mem := a.Bytes(slots[i])
		if len(mem) != size || cap(mem) != size || !bytes.Equal(mem, make([]byte, size)) {
			t.Fatal("slot is not fresh")
		}
		fillWith(mem, i)
	}
	if _, err := a.Alloc(); !errors.Is(err, ErrFull) {
		t.Error("beyond the bound:", err)
	}
	for i, s := range slots {
		want := make([]byte, size)
		fillWith(want, i)
		if !bytes.Equal(a.Bytes(s), want) {
			t.Fatal("another slot wrote here")
		}
	}
	if a.InUse() != most {
		t.Error(a.InUse())
	}
	mem := a.Bytes(slots[7])
	a.Free(slots[7])
	if !bytes.Equal(mem, make([]byte, size)) {
		t.Error("a freed slot is not wiped")
	}
	if s, err := a.Alloc(); err != nil || s != slots[7] {
		t.Error("a freed slot does not return", err)
	}
}

func fillWith(b []byte, i int) {
	for j := range b {
		b[j] = byte(i*7 + j + 1)
	}
}

func TestArenaReturnsAllMemory(t *testing.T) {
	before := Stats()
	a, err := NewArena(4096, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if Stats() != before {
		t.Error("maps before it is used")
	}
	for range 1000 {
		if _, err := a.Alloc(); err != nil {
			t.Fatal(err)
		}
	}
	if got := Stats().Mapped - before.Mapped; got < 1000*4096 || got > 1100*4096 {
		t.Errorf("%d bytes for 1000 pages", got)
	}
	a.Destroy()
	a.Destroy()
	if Stats() != before {
		t.Error("memory left", Stats())
	}
	if _, err := a.Alloc(); !errors.Is(err, ErrDestroyed) {
		t.Error(err)
	}
	a.Free(0)
	if a.InUse() != 0 {
		t.Error("slots after the end")
	}
	for _, c := range [][2]int{{0, 1}, {4097, 1}, {1, 0}, {1, 1<<30 + 1}, {-1, -1}} {
		if _, err := NewArena(c[0], c[1]); !errors.Is(err, ErrSize) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestArenaIsSafeForConcurrentUse(t *testing.T) {
	a, err := NewArena(64, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Destroy()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var mine []Slot
			for i := range 2000 {
				s, err := a.Alloc()
				if err != nil {
					t.Error(err)
					return
				}
				fillWith(a.Bytes(s), g)
				mine = append(mine, s)
				if i%3 == 0 {
					want := make([]byte, 64)
					fillWith(want, g)
					if !bytes.Equal(a.Bytes(mine[0]), want) {
						t.Error("another goroutine's bytes")
						return
					}
					a.Free(mine[0])
					mine = mine[1:]
				}
			}
			for _, s := range mine {
				a.Free(s)
			}
		})
	}
	wg.Wait()
	if a.InUse() != 0 {
		t.Error(a.InUse())
	}
}

func TestWipe(t *testing.T) {
	b := []byte("sentinel")
	Wipe(b[:4])
	if string(b) != "\x00\x00\x00\x00inel" {
		t.Errorf("%q", b)
	}
	Wipe(nil)
}

func TestDoRunsOnceAndPassesPanicsOn(t *testing.T) {
	n := 0
	Do(func() { n++ })
	defer func() {
		if recover() != "p" || n != 1 {
			t.Error("not run, or the panic was lost", n)
		}
	}()
	Do(func() { panic("p") })
}
