package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/wire"
	"redoubt/wire/kit/test/proctest"
)

// tap connects two ends by unix sockets that keep the boundaries of writes, and reports the longest write.
func tap(tb testing.TB) (a, b net.Conn, longest *atomic.Int64) {
	tb.Helper()
	packets := func() (net.Conn, net.Conn) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			tb.Fatal(err)
		}
		var cs [2]net.Conn
		for i, fd := range fds {
			f := os.NewFile(uintptr(fd), "packets")
			if cs[i], err = net.FileConn(f); err != nil {
				tb.Fatal(err)
			}
			_ = f.Close()
		}
		return cs[0], cs[1]
	}
	a, x := packets()
	b, y := packets()
	longest = new(atomic.Int64)
	relay := func(dst, src net.Conn) {
		defer func() { _, _ = dst.Close(), src.Close() }()
		buf := make([]byte, 1<<20)
		for {
			n, err := src.Read(buf)
			if n == 0 || err != nil {
				return
			}
			for old := longest.Load(); int64(n) > old && !longest.CompareAndSwap(old, int64(n)); old = longest.Load() {
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go relay(x, y)
	go relay(y, x)
	return a, b, longest
}

// hidden hides the descriptor of a connection, so that it is written to the plain way.
type hidden struct{ net.Conn }

// TestNoWriteExceeds31KiB is SECURITY.md, check 15, with large and small requests, answers and egress at once.
func TestNoWriteExceeds31KiB(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"descriptor": func(c net.Conn) net.Conn { return c },
		"plain":      func(c net.Conn) net.Conn { return hidden{c} },
	} {
		t.Run(name, func(t *testing.T) {
			a, b, longest := tap(t)
			up, far := net.Pipe()
			go func() { _, _ = bytes.NewBuffer(nil).ReadFrom(far) }()
			c, s := pairOver(t, wrap(a), wrap(b), ClientConfig{
				OnEgress: func(context.Context, string) (net.Conn, error) { return up, nil },
			}, ServerConfig{})
			egress, err := s.OpenEgress(t.Context(), "kms.example:443")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = egress.Write(make([]byte, 1<<20)) })
			for g := range 8 {
				wg.Go(func() {
					for i := range 20 {
						size := []int{10, 400, 16384, 70_000, 500_000}[(g+i)%5]
						checkRoundTrip(t, c, size, uint64(g*100+i))
					}
				})
			}
			wg.Wait()
			_, _ = egress.Close(), far.Close()
			if n := longest.Load(); n > wire.MaxWrite || n < 20_000 {
				t.Fatalf("longest write %d", n)
			}
		})
	}
}

// checkRoundTrip sends size random bytes and compares a hash of what comes back.
func checkRoundTrip(t *testing.T, c *Client, size int, seed uint64) {
	t.Helper()
	call := c.NewCall()
	defer call.Release()
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(size)
	call.Body = append(call.Body, make([]byte, size)...)
	_, _ = rand.NewChaCha8(key).Read(call.Body)
	want := sha256.Sum256(call.Body)
	if err := c.Do(t.Context(), call); err != nil {
		t.Errorf("%d bytes: %v", size, err)
		return
	}
	if len(call.Answer) != size || sha256.Sum256(call.Answer) != want {
		t.Errorf("%d bytes came back as %d others", size, len(call.Answer))
	}
}

// TestLargeBodiesRoundTripWithHash is SECURITY.md, check 15.
func TestLargeBodiesRoundTripWithHash(t *testing.T) {
	c, _ := pair(t, ClientConfig{}, ServerConfig{})
	for _, size := range []int{
		0, 1, wire.MaxChunk - 1, wire.MaxChunk, wire.MaxChunk + 1, wire.MaxChunk + wire.MinChunk - 1, 2 * wire.MaxChunk,
		64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, wire.MaxBody - 1, wire.MaxBody,
	} {
		checkRoundTrip(t, c, size, 1)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5 {
				checkRoundTrip(t, c, 64<<10<<(g%4), uint64(g*10+i))
				checkRoundTrip(t, c, 400, uint64(g*10+i))
			}
		})
	}
	wg.Wait()
}

func TestBodiesBeyondTheLimitAreNotSent(t *testing.T) {
	h := &handler{request: func(r *Request) {
		if err := r.Responder.Send(wire.KindDecrypted, make([]byte, wire.MaxBody+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("an answer beyond the limit: %v", err)
		}
		if err := r.Responder.Fail(wire.Internal, 0); err != nil {
			t.Errorf("the request was not open any more: %v", err)
		}
	}}
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: h})
	call := c.NewCall()
	defer call.Release()
	call.Body = make([]byte, wire.MaxBody+1)
	if err := c.Do(t.Context(), call); !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrNotSent) {
		t.Fatal(err)
	}
	call.Body = call.Body[:10]
	var we *wire.Error
	if err := c.Do(t.Context(), call); !errors.As(err, &we) || we.Code != wire.Internal {
		t.Fatal(err)
	}
}

// TestBlockedWriteHangsNobody is SECURITY.md, check 17 and yamux's GHSA-29qp-crvh-w22m: the enclave stops reading;
// calls end at their deadlines though writes are blocked, and the session ends by its own write deadline.
func TestBlockedWriteHangsNobody(t *testing.T) {
	a, b := socketpair(t)
	gate := newGated(b)
	// Liveness must not come first: here the writes shall tell.
	c, s := pairOver(t, a, gate, ClientConfig{
		Config: Config{WriteTimeout: 4 * time.Second}, PingInterval: time.Minute, PingTimeout: time.Minute,
	}, ServerConfig{})
	gate.stopReading()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			call := c.NewCall()
			defer call.Release()
			call.Body = append(call.Body, make([]byte, 400_000)...)
			call.Deadline = time.Now().Add(200 * time.Millisecond)
			within(t, 3*time.Second, "a call with 200 ms to live", func() {
				if err := c.Do(context.Background(), call); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("blocked call: %v", err)
				}
			})
		})
	}
	wg.Wait()
	within(t, 10*time.Second, "the end of the session", func() { ends(t, c, ErrWriteTimeout) })
	_ = s.Close()
}

// TestClientThatDoesNotReadItsAnswersEndsTheSession is the deadlock of two full windows, ended by the bounded queue:
// when it holds neither another answer nor another error.
func TestClientThatDoesNotReadItsAnswersEndsTheSession(t *testing.T) {
	some := make([]byte, 4<<10)
	h := &handler{request: func(r *Request) {
		_ = r.Responder.Send(wire.KindDecrypted, append(r.Responder.Buffer(len(some)), some...))
	}}
	s, p := rawClient(t, ServerConfig{Handler: h, Config: Config{
		WriteTimeout: 20 * time.Second, QueueBytes: wire.MaxBody, Hello: wire.Hello{MaxInFlight: 10},
	}})
	go func() {
		for id := range uint64(10_000) { // far more than fill the queue and the sockets
			p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypt, ID: id}, nil))
		}
	}()
	ends(t, s, ErrOverflow)
}

// TestAnswersWithoutRoomAreOverloadedAndNobodyElseNotices: many large answers at once cost those that have no room, not
// the session and with it the requests of all others.
func TestAnswersWithoutRoomAreOverloadedAndNobodyElseNotices(t *testing.T) {
	const calls = 20
	big := make([]byte, 1<<20)
	sent := make(chan error, calls+1)
	h := &handler{request: func(r *Request) {
		sent <- r.Responder.Send(wire.KindDecrypted, append(r.Responder.Buffer(len(big)), big...))
	}}
	a, b := socketpair(t)
	gate := newGated(a)
	quiet := Config{WriteTimeout: time.Minute, FrameTimeout: time.Minute}
	serving := quiet
	serving.QueueBytes = wire.MaxBody
	c, _ := pairOver(t, gate, b, ClientConfig{Config: quiet, PingInterval: time.Minute, PingTimeout: time.Minute},
		ServerConfig{Handler: h, Config: serving, IdleTimeout: 5 * time.Minute})
	gate.stopReading()
	done := make(chan *Call, calls)
	for range calls {
		if err := c.Start(c.NewCall(), done); err != nil {
			t.Fatal(err)
		}
	}
	full := 0
	for range calls {
		if err := <-sent; errors.Is(err, ErrQueueFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	gate.goOnReading()
	overloaded := 0
	for range calls {
		call := <-done
		var refused *wire.Error
		switch err := call.Err(); {
		case errors.As(err, &refused) && refused.Code == wire.Overloaded && refused.RetryAfterMS > 0:
			overloaded++
		case err != nil || len(call.Answer) != len(big):
			t.Fatal("an answer that had room is lost", err)
		}
		call.Release()
	}
	if overloaded != full || full == 0 || full == calls {
		t.Errorf("%d refused to the handler, %d to callers, of %d", full, overloaded, calls)
	}
	call := c.NewCall()
	if err := c.Do(t.Context(), call); err != nil {
		t.Errorf("the session has ended: %v", err)
	}
	call.Release()
}

// TestLaneWithoutProgressEndsTheSession: the peer's session lives and answers pings, but its lane is never read.
func TestLaneWithoutProgressEndsTheSession(t *testing.T) {
	c, p := rawServer(t, ClientConfig{Config: Config{WriteTimeout: 500 * time.Millisecond}, MaxInFlight: 100})
	go func() {
		for {
			h, _, err := p.readFrame(p.control)
			if err != nil {
				return
			}
			p.write(p.control, frame(wire.Header{Kind: wire.KindPong, ID: h.ID}, (&wire.Pong{}).Append(nil)))
		}
	}()
	done := make(chan *Call, 10)
	for range 4 {
		call := c.NewCall()
		call.Body = append(call.Body, make([]byte, 1<<20)...)
		if err := c.Start(call, done); err != nil {
			t.Fatal(err)
		}
	}
	ends(t, c, ErrWriteTimeout)
	for range 4 {
		call := <-done
		if err := call.Err(); !errors.Is(err, ErrWriteTimeout) {
			t.Error(err)
		}
		call.Release()
	}
}

// TestManyRequestsLeaveNothingBehind is SECURITY.md, check 18.
func TestManyRequestsLeaveNothingBehind(t *testing.T) {
	c, _ := pair(t, ClientConfig{Lanes: 2}, ServerConfig{})
	run := func(total int) {
		var left atomic.Int64
		left.Store(int64(total))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				call := c.NewCall()
				defer call.Release()
				for left.Add(-1) >= 0 {
					call.Body = append(call.Body[:0], "0123456789"...)
					if err := c.Do(context.Background(), call); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	measure := func() (goroutines, fds int, heap uint64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(entries), m.HeapAlloc
	}
	total := 100_000
	if proctest.Race {
		total = 20_000
	}
	run(5_000)
	g0, f0, h0 := measure()
	run(total)
	g1, f1, h1 := measure()
	if g1 > g0+2 || f1 > f0+2 || h1 > h0+1<<20 {
		t.Fatalf("goroutines %d, then %d; descriptors %d, then %d; heap %d, then %d", g0, g1, f0, f1, h0, h1)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if proctest.Race {
		t.Log("the race detector allocates; sizes are checked without it")
		return
	}
	c, _ := pair(t, ClientConfig{PingInterval: time.Minute}, ServerConfig{})
	call := c.NewCall()
	defer call.Release()
	n := testing.AllocsPerRun(2000, func() {
		call.Body = append(call.Body[:0], "0123456789"...)
		call.Deadline = time.Now().Add(time.Minute)
		if err := c.Do(context.Background(), call); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 {
		t.Fatalf("%v allocations in a round trip, both ends", n)
	}
}
