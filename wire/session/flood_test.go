package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

const (
	// flood is how many bytes of one kind of frame a peer sends without reading what comes back.
	flood = 4800 << 10
	// grownHeap and grownGoroutines are what it may cost: at most 9 MiB were measured, and 15 goroutines.
	grownHeap       = 24 << 20
	grownGoroutines = 80 // an egress stream has one
)

// floods are frames that a peer sends again and again. ends says by what a session that is open ends; nil: it goes on.
var floods = []struct {
	name  string
	side  string // "": both
	first []byte
	frame []byte
	ends  error
}{
	{"pings", "", nil, muxFrame(framePing, flagSYN, 0, 7), session.ErrOverflow},
	{"answers to pings", "", nil, muxFrame(framePing, flagACK, 0, 7), nil},
	{"go-aways", "", nil, muxFrame(frameGoAway, 0, 0, 0), nil},
	{"frames of no kind", "", nil, muxFrame(9, 0, 0, 0), session.ErrProtocol},
	{"windows of the control stream", "", nil, muxFrame(frameWindow, 0, 1, 0), nil},
	{"windows of no stream", "", nil, muxFrame(frameWindow, 0, 1000, 1), nil},
	{"resets of no stream", "", nil, muxFrame(frameWindow, flagRST, 1000, 0), nil},
	{"ends of no stream", "", nil, muxFrame(frameWindow, flagFIN, 1000, 0), nil},
	{"data of no stream", "", nil, muxBytes(0, 1000, make([]byte, 4096)...), nil},
	{"data of the control stream", "", nil, muxBytes(0, 1, make([]byte, 4096)...), session.ErrProtocol},
	{"unknown control messages", "", nil, muxBytes(0, 1, message(99, 0, 1, nil)...), session.ErrProtocol},
	{
		"half control messages", "", nil, muxBytes(0, 1, message(99, wire.FlagMore, 1, make([]byte, wire.MaxChunk))...),
		session.ErrProtocol,
	},
	{"the control stream again", "", nil, muxFrame(frameWindow, flagSYN, 1, 0), session.ErrProtocol},
	{"an egress stream of the parent's", "enclave", nil, muxBytes(flagSYN, 2, 1), session.ErrProtocol},
	{"a lane of the enclave's", "parent", nil, muxBytes(flagSYN, 7, 1), session.ErrProtocol},
	{"windows of a lane", "enclave", lane3, muxFrame(frameWindow, 0, 3, 0), nil},
	{"windows of a lane", "parent", nil, muxFrame(frameWindow, 0, 3, 0), nil},
	{
		"requests", "enclave", lane3, muxBytes(0, 3, message(wire.KindDecrypt, 0, 1, make([]byte, 64))...),
		session.ErrWriteTimeout,
	},
	{"unknown requests", "enclave", lane3, muxBytes(0, 3, message(99, 0, 1, nil)...), session.ErrProtocol},
	{"half requests", "enclave", lane3, muxBytes(0, 3, message(wire.KindDecrypt, wire.FlagMore, 1,
		make([]byte, wire.MaxChunk))...), session.ErrProtocol},
	{"stats asked for", "enclave", nil, muxBytes(0, 1, message(wire.KindStatsRequest, 0, 1, nil)...), session.ErrProtocol},
	{"lanes", "enclave", nil, numbered(3, preambleOf(2)), session.ErrProtocol},
	{"streams of no kind", "enclave", nil, numbered(3, preambleOf(9)), session.ErrProtocol},
	{"egress streams", "parent", nil, numbered(2, append(preambleOf(4), make([]byte, 4<<10)...)), errStuck},
	{"egress streams that say nothing", "parent", nil, numbered(2, nil), errStuck},
}

// errStuck: the peer broke the protocol, or took no answers until the time for it was up; whichever is first.
var errStuck = errors.Join(session.ErrProtocol, session.ErrWriteTimeout)

// numbered opens more streams than are borne of unknown kinds, of odd or even number, each with body.
func numbered(first uint32, body []byte) (b []byte) {
	for i := range uint32(1100) {
		b = append(b, muxBytes(flagSYN, first+2*i, body...)...)
	}
	return b
}

var lane3 = muxBytes(flagSYN, 3, preambleOf(2)...)

// TestFloodsCostNoMemory sends megabytes of each kind of frame, before the hello and after it.
func TestFloodsCostNoMemory(t *testing.T) {
	for _, f := range floods {
		for side, begin := range sides {
			if f.side != "" && f.side != side {
				continue
			}
			t.Run(side+"/"+f.name+"/before the hello", func(t *testing.T) {
				own, peer := unixPair(t)
				ctx, cancel := context.WithCancel(t.Context())
				made := make(chan error, 1)
				go func() {
					e, err := begin(ctx, own, func() { t.Error("a panic") })
					if err == nil {
						_ = e.Close()
					}
					made <- err
				}()
				pour(t, peer, f.first, f.frame)
				cancel()
				if err := <-made; err == nil {
					t.Error("a session without a hello")
				}
			})
			t.Run(side+"/"+f.name, func(t *testing.T) {
				e, peer := met(t, side, begin)
				pour(t, peer, f.first, f.frame)
				if f.ends == nil {
					alive(t, side, e, peer)
					_ = e.Close()
				}
				over(t, e)
				either := f.ends == errStuck && (errors.Is(e.Err(), session.ErrProtocol) || //nolint:errorlint // this value
					errors.Is(e.Err(), session.ErrWriteTimeout))
				if err := e.Err(); f.ends != nil && !errors.Is(err, f.ends) && !either {
					t.Errorf("ended by %v", err)
				}
			})
		}
	}
}

// met is a session after the hellos, whose peer reads no more.
func met(t *testing.T, side string, begin beginner) (end, net.Conn) {
	t.Helper()
	own, peer := unixPair(t)
	go func() {
		if side == "parent" {
			asked(t, peer)
			_, _ = peer.Write(enclaveHello())
			return
		}
		_, _ = peer.Write(parentHello())
	}()
	e, err := begin(t.Context(), own, func() { t.Error("a panic") })
	if err != nil {
		t.Fatal(err)
	}
	return e, peer
}

// pour sends first and then a flood of frame, until all is sent or the connection ends, and measures.
func pour(t *testing.T, peer net.Conn, first, frame []byte) {
	t.Helper()
	block := bytes.Repeat(frame, 1+64<<10/len(frame))
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	heap, goroutines := m.HeapAlloc, runtime.NumGoroutine()
	var moreHeap uint64
	var moreGoroutines int
	_, _ = peer.Write(first)
	_ = peer.SetWriteDeadline(time.Now().Add(10 * time.Second))
	for sent, i := 0, 0; sent < flood; i++ {
		n, err := peer.Write(block)
		sent += n
		if i%8 == 0 {
			runtime.ReadMemStats(&m)
			moreHeap = max(moreHeap, m.HeapAlloc-min(heap, m.HeapAlloc))
		}
		moreGoroutines = max(moreGoroutines, runtime.NumGoroutine()-goroutines)
		if err != nil {
			break
		}
	}
	if moreHeap > grownHeap || moreGoroutines > grownGoroutines {
		t.Errorf("%d KiB of heap and %d goroutines more", moreHeap>>10, moreGoroutines)
	}
	t.Logf("%d KiB of heap and %d goroutines more", moreHeap>>10, moreGoroutines)
}

// alive shows that the session has handled the flood, and goes on.
func alive(t *testing.T, side string, e end, peer net.Conn) {
	t.Helper()
	if side == "enclave" {
		ping := muxBytes(0, 1, message(wire.KindPing, 0, 1<<40, (&wire.Ping{}).Append(nil))...)
		if _, err := peer.Write(ping); err != nil {
			t.Fatal(err)
		}
		pong := message(wire.KindPong, 0, 1<<40, nil)[4:16] // without its length
		_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		var all []byte
		for b := make([]byte, 4096); !bytes.Contains(all, pong); {
			n, err := peer.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b[:n]...)
		}
		return
	}
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
}
