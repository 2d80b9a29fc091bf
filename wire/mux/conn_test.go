package mux

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"redoubt/wire/yamuxframe"
)

// cutConn is a connection that gives its bytes in pieces and takes none.
type cutConn struct {
	net.Conn
	b []byte
	n int
}

func (c *cutConn) Read(b []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.n)], c.b)
	c.b = c.b[n:]
	return n, nil
}

func (*cutConn) Write(b []byte) (int, error)      { return len(b), nil }
func (*cutConn) SetWriteDeadline(time.Time) error { return nil }
func (*cutConn) Close() error                     { return nil }

// TestEachGetsItsOwnHoweverTheBytesAreCut: odd streams get their bytes, and the pipe the even ones' frames as they
// were.
func TestEachGetsItsOwnHoweverTheBytesAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all, foreign []byte
		want := map[uint32][]byte{}
		for range rapid.IntRange(1, 30).Draw(t, "frames") {
			h := yamuxframe.Header{
				Kind:   yamuxframe.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
				Stream: rapid.Uint32Range(1, 6).Draw(t, "stream"), Length: rapid.Uint32Range(0, 2000).Draw(t, "length"),
			}
			b := yamuxframe.Append(nil, h)
			if h.Kind == yamuxframe.Data {
				b = append(b, bytes.Repeat([]byte{byte(len(all))}, int(h.Length))...)
			}
			all = append(all, b...)
			switch {
			case h.Kind == yamuxframe.Ping:
			case h.Stream&1 == 0:
				foreign = append(foreign, b...)
			default:
				want[h.Stream] = append(want[h.Stream], b[yamuxframe.HeaderSize:]...)
			}
		}
		nc := &cutConn{b: all, n: rapid.IntRange(1, 5000).Draw(t, "pieces")}
		c := NewConn(nc, Config{
			Client: true, WriteTimeout: time.Minute, Tick: time.Minute, Alone: func() bool { return true },
			OnPanic: func(any) {},
		})
		tubes := map[uint32]*tube{}
		for _, id := range []uint32{1, 3, 5} {
			tubes[id] = &tube{st: c.NewStream(id, 1<<20)}
			c.Open(tubes[id].st, tubes[id])
		}
		c.Move(Open)
		pipe := c.Pipe()
		passed := make(chan []byte, 1)
		go func() {
			got := make([]byte, len(foreign))
			_, _ = io.ReadFull(pipe, got)
			passed <- got
		}()
		if err := c.Guard(func() error {
			c.r.Lock()
			defer c.r.Unlock()
			for {
				if err := c.handle(true); err != nil {
					return err
				}
				if c.more() != nil {
					break
				}
			}
			return c.handle(true)
		}); err != nil {
			t.Fatal(err)
		}
		if p := <-passed; !bytes.Equal(p, foreign) {
			t.Fatalf("the library got something else than its %d bytes", len(foreign))
		}
		for id, b := range want {
			if got := tubes[id].heard(); got != string(b) {
				t.Fatalf("stream %d got %d bytes of %d", id, len(got), len(b))
			}
		}
		c.compact()
		if !isZero(c.in) {
			t.Fatal("handled bytes are not wiped")
		}
		c.Close()
	})
}

func isZero(b []byte) bool { return len(bytes.Trim(b[:cap(b)], "\x00")) == 0 }

// TestConnectionsAtRestHoldNothing: one that stays open keeps nothing in its buffers of what it has carried, and one
// that has ended nothing at all.
func TestConnectionsAtRestHoldNothing(t *testing.T) {
	sentinel := "SENTINEL-078-05-1120"
	r := openRig(t, false, nil)
	lane := r.laneOf(3)
	lane.mu.Lock()
	lane.echo = true
	lane.mu.Unlock()
	for _, size := range []int{1, 3000} {
		body := strings.Repeat(sentinel, size)
		for rest := body; rest != ""; {
			n := min(len(rest), 20_000)
			r.write(data(0, 3, rest[:n]))
			rest = rest[n:]
		}
		for back := ""; back != body; {
			h, b, err := r.frame()
			if err != nil {
				t.Fatal(err)
			}
			if h.Stream == 3 {
				back += b
			}
		}
		// The reading goroutine may still be about to wipe the bytes that it has just handled.
		until(t, "a buffer is wiped", func() bool {
			r.c.w.Lock()
			written := bytes.Contains(r.c.out[:cap(r.c.out)], []byte(sentinel))
			r.c.w.Unlock()
			r.c.r.Lock()
			read := bytes.Contains(r.c.in[:cap(r.c.in)], []byte(sentinel))
			r.c.r.Unlock()
			return !written && !read
		})
	}
	r.write(data(0, 3, sentinel)[:20])
	r.c.Close()
	if !isZero(r.c.in) || !isZero(r.c.out) || !lane.wiped || !errors.Is(lane.ended, ErrClosed) {
		t.Error("something is left of it")
	}
}

// TestStreamsThatBreakTheirWindowsEndTheConnection covers both kinds of credit.
func TestStreamsThatBreakTheirWindowsEndTheConnection(t *testing.T) {
	big := strings.Repeat("x", 128<<10)
	for name, row := range map[string]struct {
		frames [][]byte
		want   error
	}{
		"more than the window at once": {[][]byte{data(0, 3, "")[:8], {0, 8, 0, 1}}, ErrProtocol},
		"a window beyond all bounds":   {[][]byte{window(0, 3, 1<<31-1), window(0, 3, 1<<31-1)}, ErrProtocol},
		"opened twice":                 {[][]byte{window(yamuxframe.SYN, 3, 0)}, ErrProtocol},
		"the first one twice":          {[][]byte{window(yamuxframe.SYN, 1, 0)}, ErrProtocol},
		"for no stream":                {[][]byte{data(0, 7, "x")}, ErrProtocol},
		"a reset":                      {[][]byte{window(yamuxframe.RST, 3, 0)}, ErrClosed},
		"an end":                       {[][]byte{window(yamuxframe.FIN, 3, 0)}, ErrClosed},
		"an end with data":             {[][]byte{data(yamuxframe.FIN, 3, "last")}, ErrClosed},
		"a reset of the first":         {[][]byte{window(yamuxframe.RST, 1, 0)}, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			r := openRig(t, false, nil)
			r.write(row.frames...)
			r.ends(row.want)
		})
	}
	t.Run("credited by itself", func(t *testing.T) {
		r := openRig(t, false, nil)
		for range 20 {
			r.write(data(0, 3, big))
		}
		r.alive()
	})
	t.Run("credited by hand", func(t *testing.T) {
		r := newRig(t, false, func(r *rig, cfg *Config) {
			cfg.Accept = func(s *Stream) (Handler, error) {
				s.CreditByHand()
				return r.lane(s), nil
			}
		})
		r.c.Move(Open)
		r.c.Start()
		r.write(window(yamuxframe.SYN, 1, 0), window(yamuxframe.SYN, 3, 0), data(0, 3, big), data(0, 3, big))
		r.alive()
		hand := r.laneOf(3).st
		hand.Credit(128 << 10)
		hand.Credit(128 << 10) // half the window: it is said now
		for granted := uint32(0); granted != 256<<10; {
			h, _, err := r.frame()
			if err != nil {
				t.Fatal(err)
			}
			if h.Kind == yamuxframe.Window && h.Stream == 3 && h.Flags == 0 {
				granted += h.Length
			}
		}
		for range 4 {
			r.write(data(0, 3, big))
		}
		r.alive()
		r.write(data(0, 3, "x"))
		r.ends(ErrProtocol)
	})
}

// TestRefusedStreamsAreForgotten once the peer has closed them too.
func TestRefusedStreamsAreForgotten(t *testing.T) {
	r := openRig(t, false, func(r *rig, cfg *Config) {
		cfg.Accept = func(s *Stream) (Handler, error) {
			tb := r.lane(s)
			tb.deny = s.ID() > 3
			return tb, nil
		}
	})
	for id := uint32(5); id < 105; id += 2 {
		r.write(window(yamuxframe.SYN, id, 0), data(0, id, "what is this"), data(0, id, "and this"))
		for {
			h, _, err := r.frame()
			if err != nil {
				t.Fatal(err)
			}
			if h.Stream == id && h.Has(yamuxframe.FIN) {
				break
			}
		}
		r.write(data(yamuxframe.FIN, id, "and the last"))
	}
	// One whose end comes together with its beginning is closed from this side too.
	r.write(slices.Concat(
		window(yamuxframe.SYN, 105, 0), data(0, 105, "all at once"), window(yamuxframe.FIN, 105, 0)))
	for {
		h, _, err := r.frame()
		if err != nil {
			t.Fatal(err)
		}
		if h.Stream == 105 && h.Has(yamuxframe.FIN) {
			break
		}
	}
	r.alive()
	if n := len(*r.c.streams.Load()); n != 2 {
		t.Fatalf("%d streams are remembered", n)
	}
	if r.laneOf(5).heard() != "" {
		t.Fatal("a refused stream was heard")
	}
}

// TestStreamsAreOpenedInTheOrderOfTheirNumbers, whoever's turn it is to write.
func TestStreamsAreOpenedInTheOrderOfTheirNumbers(t *testing.T) {
	for turn := range 6 {
		r := newRig(t, true, nil)
		r.c.turn = turn
		for id := uint32(3); id < 11; id += 2 {
			st := r.c.NewStream(id, 512<<10)
			r.c.Open(st, r.lane(st))
		}
		r.c.Start()
		for want := uint32(1); want < 11; {
			h, _, err := r.frame()
			if err != nil {
				t.Fatal(err)
			}
			if h.Has(yamuxframe.SYN) {
				if h.Stream != want {
					t.Fatalf("stream %d is opened before %d", h.Stream, want)
				}
				want += 2
			}
		}
	}
}

// writes records what reaches a connection.
type writes struct {
	net.Conn
	mu  sync.Mutex
	got [][]byte
}

func (w *writes) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, bytes.Clone(b))
	return w.Conn.Write(b)
}

// TestNoWriteIsLargerThanTheLimit, though streams, the pipe and pings have more to say.
func TestNoWriteIsLargerThanTheLimit(t *testing.T) {
	a, b := socketpair(t)
	rec := &writes{Conn: a} // without a descriptor, so that each write is seen
	c := NewConn(rec, Config{
		Client: true, WriteTimeout: 10 * time.Second, Tick: time.Minute, Alone: func() bool { return false },
		OnPanic: func(any) {},
	})
	var tubes []*tube
	const total = 200_000
	for id := uint32(1); id < 9; id += 2 {
		st := c.NewStream(id, yamuxframe.InitialWindow)
		tubes = append(tubes, &tube{st: st})
		c.Open(st, tubes[len(tubes)-1])
	}
	c.Start()
	pipe := c.Pipe()
	var wg sync.WaitGroup
	for _, tb := range tubes {
		wg.Go(func() { tb.say(make([]byte, total)) })
	}
	wg.Go(func() {
		head := yamuxframe.Append(nil, yamuxframe.Header{Flags: yamuxframe.SYN, Stream: 2, Length: total})
		for _, b := range [][]byte{head, make([]byte, total), window(yamuxframe.FIN, 2, 0)} {
			if n, err := pipe.Write(b); n != len(b) || err != nil {
				t.Error(n, err)
			}
		}
	})
	got := map[uint32]int{}
	var flags yamuxframe.Flags // that the library's stream was said with
	peer := &rig{tb: t, c: c, peer: b}
	for whole := 0; whole < len(tubes)+1; {
		h, body, err := peer.frame()
		if err != nil {
			t.Fatal(err)
		}
		got[h.Stream] += len(body)
		if h.Stream == 2 {
			if h.Has(yamuxframe.SYN) != (flags == 0) || h.Has(yamuxframe.SYN) && got[2] == 0 {
				t.Fatal("a stream is opened by each part of its first frame")
			}
			if flags |= h.Flags; h.Has(yamuxframe.FIN) {
				whole++
			}
		} else if got[h.Stream] == total && len(body) > 0 {
			whole++
		}
	}
	wg.Wait()
	c.Close()
	_ = b.Close()
	if got[2] != total {
		t.Errorf("%d bytes of the library's", got[2])
	}
	longest := 0
	for _, w := range rec.got {
		longest = max(longest, len(w))
	}
	if longest > MaxWrite || longest < MaxWrite-3*yamuxframe.HeaderSize {
		t.Errorf("longest write %d", longest)
	}
}
