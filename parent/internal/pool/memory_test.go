package pool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
)

// halves is an enclave, in bytes on the socket, that sends of each answer all but the end.
type halves struct {
	url      string
	wg       sync.WaitGroup
	sent     atomic.Int64  // answers of which half was sent
	finish   chan struct{} // closed: send what is missing
	sessions atomic.Int64
}

const halfChunks = 100 // of 16 KiB: 1.6 MiB an answer

func startHalves(t *testing.T) *halves {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd") // not t.TempDir: the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &halves{url: "unix://" + filepath.Join(dir, "s"), finish: make(chan struct{})}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	h.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.sessions.Add(1)
			h.wg.Go(func() { h.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); h.wg.Wait() })
	return h
}

func muxData(flags uint16, stream uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, 0}, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

func frame(kind wire.Kind, flags wire.Flags, id uint64, body []byte) []byte {
	h := wire.Header{Length: uint32(len(body)), Kind: kind, Flags: flags, ID: id}
	return append(wire.AppendHeader(nil, h), body...)
}

// serve speaks yamux as far as a parent needs it: it reads data frames, and cuts messages of their streams.
func (h *halves) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var mu sync.Mutex // of writes
	write := func(b []byte) { mu.Lock(); defer mu.Unlock(); _, _ = conn.Write(b) }
	hello := wire.Hello{
		MinVersion: 1, MaxVersion: 1, MaxInFlight: 1000, MaxLanes: 4, MaxBody: wire.MaxBody, StartMS: 1,
	}
	streams := map[uint32][]byte{}
	var head [12]byte
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		id, n := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
		if head[1] != 0 {
			continue // windows and pings
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(conn, data); err != nil {
			return
		}
		const preamble = 4
		if _, ok := streams[id]; !ok && len(data) >= preamble {
			data = data[preamble:]
		}
		streams[id] = append(streams[id], data...)
		for {
			m, err := wire.ParseHeader(streams[id])
			if err != nil || len(streams[id]) < wire.HeaderSize+int(m.Length) {
				break
			}
			streams[id] = streams[id][wire.HeaderSize+int(m.Length):]
			switch m.Kind {
			case wire.KindHello:
				write(muxData(2, id, frame(wire.KindHello, 0, 0, hello.Append(nil))))
			case wire.KindPing:
				pong := wire.Pong{Health: wire.HealthReady, ClockMS: 1}
				write(muxData(0, id, frame(wire.KindPong, 0, m.ID, pong.Append(nil))))
			case wire.KindDecrypt:
				h.wg.Go(func() { h.answer(write, id, m.ID) })
			}
		}
	}
}

func (h *halves) answer(write func([]byte), stream uint32, id uint64) {
	chunk := make([]byte, wire.MaxChunk)
	for range halfChunks {
		write(muxData(0, stream, frame(wire.KindDecrypted, wire.FlagMore, id, chunk)))
	}
	h.sent.Add(1)
	<-h.finish
	write(muxData(0, stream, frame(wire.KindDecrypted, 0, id, nil)))
}

// TestHalfAnswersOfAllSessionsHoldNoMoreThanTheirBound: enclaves send half an answer to each of many requests on all
// sessions. The parent's heap stays below the bound; when the answers end, those that had room reach their callers, the
// others are overloaded, and no session has ended. What callers hold counts until they release it.
func TestHalfAnswersOfAllSessionsHoldNoMoreThanTheirBound(t *testing.T) {
	const (
		bound    = 16 << 20
		sessions = 4
		calls    = 64
		slack    = 12 << 20 // sessions, requests and goroutines of both ends
	)
	h := startHalves(t)
	p, counts := start(t, pool.Options{Sessions: sessions, Memory: bound})
	if err := p.Set([]string{h.url}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "all sessions", func() bool { return p.Enclaves()[0].Ready == sessions })
	before := heapNow()
	var wg sync.WaitGroup
	var whole, refused atomic.Int64
	release := make(chan struct{})
	ask := func() {
		wg.Go(func() {
			call, err := p.Do(context.Background(), pool.Ask{Deadline: time.Now().Add(time.Minute)}, request("x"))
			var we *wire.Error
			switch {
			case err == nil && len(call.Answer) == halfChunks*wire.MaxChunk:
				whole.Add(1)
				<-release
				call.Release()
			case errors.As(err, &we) && we.Code == wire.Overloaded:
				refused.Add(1)
			default:
				t.Errorf("an answer of another length, or error %v", err)
			}
		})
	}
	for range calls {
		ask()
	}
	fakeenclave.Wait(t, "half of each answer", func() bool { return h.sent.Load() == calls })
	grown := heapNow() - before
	t.Logf("%d KiB of heap for %d answers of which half has come", grown>>10, calls)
	if grown > bound+slack {
		t.Errorf("%d KiB of heap, bound %d KiB", grown>>10, (bound+slack)>>10)
	}
	close(h.finish)
	fakeenclave.Wait(t, "all answers", func() bool { return whole.Load()+refused.Load() == calls })
	for range calls {
		ask()
	}
	fakeenclave.Wait(t, "more answers", func() bool { return whole.Load()+refused.Load() == 2*calls })
	const answer = halfChunks * wire.MaxChunk
	if n := whole.Load(); n < 4 || n*answer > bound+sessions*answer { // one on its way for each session
		t.Errorf("%d answers had room, %d had none", n, refused.Load())
	}
	if counts.lost.Load() != 0 || h.sessions.Load() != sessions {
		t.Errorf("%d sessions ended", counts.lost.Load())
	}
	close(release)
	wg.Wait()
}

func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
