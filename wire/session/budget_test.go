package session_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

// large answers each request, however short, with 64 KiB.
type large struct {
	handles
	handled *atomic.Int64
}

func (l large) Request(r *session.Request) {
	defer l.handled.Add(1)
	b := r.Responder.Buffer(64 << 10)
	_ = r.Responder.Send(wire.KindDecrypted, b[:64<<10])
}

// TestEveryBoundOfEverySessionAtOnce: each of the sessions has all its lanes half full of long messages, answers that
// are not read, a control stream half full and frames half sent, and the heap stays below the sum of the bounds.
func TestEveryBoundOfEverySessionAtOnce(t *testing.T) {
	const (
		sessions = 8
		shared   = 16 << 20
		lanes    = 4
	)
	budget := session.NewBudget(shared)
	var handled atomic.Int64
	cfg := session.ServerConfig{Handler: large{handled: &handled}, IdleTimeout: time.Minute, Config: session.Config{
		HelloTimeout: time.Minute, WriteTimeout: time.Minute, FrameTimeout: time.Minute, Budget: budget,
		Hello: wire.Hello{MaxLanes: lanes, MaxInFlight: 256},
	}}
	before := heapNow()
	var open []*session.Server
	for range sessions {
		own, peer := unixPair(t)
		go func() { _, _ = peer.Write(parentHello()) }()
		s, err := session.NewServer(t.Context(), own, cfg)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
		overfill(t, peer, lanes)
	}
	// A lane's last request comes behind its long messages: once it is handled, so are they.
	for end := time.Now().Add(20 * time.Second); handled.Load() < sessions*lanes*requests; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d requests were handled", handled.Load(), sessions*lanes*requests)
		}
	}
	grown := heapNow() - before
	bound := sessions*cfg.Cost() + shared
	t.Logf("%d KiB of heap, bound %d KiB, %d KiB of the budget", grown>>10, bound>>10, budget.Used()>>10)
	if grown > bound {
		t.Errorf("%d KiB of heap, bound %d KiB", grown>>10, bound>>10)
	}
	if used := budget.Used(); used < shared/2 || used > shared {
		t.Errorf("%d bytes of the budget of %d are used", used, shared)
	}
	for _, s := range open {
		if err := s.Err(); err != nil && !errors.Is(err, session.ErrOverflow) {
			t.Errorf("a session ended by %v", err)
		}
		_ = s.Close()
		<-s.Done()
	}
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}

// requests of overfill on each lane.
const requests = 20

// overfill sends on each lane requests whose answers it does not read, long messages without their end, and half a
// frame.
func overfill(t *testing.T, peer net.Conn, lanes int) {
	t.Helper()
	_ = peer.SetWriteDeadline(time.Now().Add(5 * time.Second))
	long := message(wire.KindDecrypt, wire.FlagMore, 0, make([]byte, wire.MaxChunk))
	for i := range lanes {
		id := uint32(3 + 2*i)
		_, err := peer.Write(muxBytes(flagSYN, id, preambleOf(2)...))
		for n := range uint64(requests - 1) { // within the window of a lane
			if err == nil {
				_, err = peer.Write(muxBytes(0, id, message(wire.KindDecrypt, 0, n+1, nil)...))
			}
		}
		for n := range 20 {
			if err == nil {
				long[8] = byte(100 + n%4)
				_, err = peer.Write(muxBytes(0, id, long...))
			}
		}
		if err == nil {
			_, err = peer.Write(muxBytes(0, id, message(wire.KindDecrypt, 0, requests, nil)...))
		}
		if err == nil {
			_, err = peer.Write(muxBytes(0, id, long[:1000]...))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := peer.Write(muxBytes(0, 1, message(99, wire.FlagMore, 1, make([]byte, wire.MaxChunk))...)); err != nil {
		t.Fatal(err)
	}
}

func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestALongRequestWithoutRoomIsOverloadedAndNoOtherNotices: the budget is taken by one session; another's long request
// is answered, its short ones are served, and the long one too once there is room.
func TestALongRequestWithoutRoomIsOverloadedAndNoOtherNotices(t *testing.T) {
	budget := session.NewBudget(128 << 10)
	cfg := session.ServerConfig{Handler: handles{}, Config: session.Config{Budget: budget, FrameTimeout: time.Minute}}
	one, hog := unixPair(t)
	go func() {
		_, _ = hog.Write(parentHello())
		_, _ = hog.Write(lane3)
		for range 4 {
			_, _ = hog.Write(muxBytes(0, 3, message(wire.KindDecrypt, wire.FlagMore, 1, make([]byte, wire.MaxChunk))...))
		}
		_, _ = io.Copy(io.Discard, hog)
	}()
	first, err := session.NewServer(t.Context(), one, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); budget.Used() != 64<<10; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("nothing is held")
		}
	}
	two, other := unixPair(t)
	made := make(chan *session.Server, 1)
	go func() {
		s, err := session.NewServer(t.Context(), two, cfg)
		if err != nil {
			t.Error(err)
		}
		made <- s
	}()
	c, err := session.NewClient(t.Context(), other, session.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(size int) error {
		call := c.NewCall()
		defer call.Release()
		call.Body = append(call.Body, make([]byte, size)...)
		return c.Do(t.Context(), call)
	}
	var we *wire.Error
	if err := ask(60 << 10); !errors.As(err, &we) || we.Code != wire.Overloaded {
		t.Errorf("a long request: %v", err)
	}
	if err := ask(100); err != nil {
		t.Errorf("a short one: %v", err)
	}
	_ = first.Close()
	if err := ask(60 << 10); err != nil {
		t.Errorf("a long one, with room: %v", err)
	}
	_ = c.Close()
	_ = (<-made).Close()
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}
