package wirebench

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"redoubt/bench/internal/measure"
)

// bareHeader is length (u32) and id (u64).
const bareHeader = 12

// maxCallers bounds the callers that one rig makes in its life.
const maxCallers = 16 << 10

// bare is the ceiling: frames of length, id and body on the socket itself. Frames of concurrent callers are grouped
// into one write, as a session does. There are no streams, limits, deadlines or wiping.
type bare struct {
	conn net.Conn

	mu         sync.Mutex
	buf, spare []byte
	idle       bool
	wake       chan struct{}
}

func newBare(c net.Conn) *bare {
	b := &bare{conn: c, wake: make(chan struct{}, 1)}
	go b.write()
	return b
}

func (b *bare) push(id uint64, body []byte) {
	b.mu.Lock()
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(len(body)))
	b.buf = binary.LittleEndian.AppendUint64(b.buf, id)
	b.buf = append(b.buf, body...)
	wake := b.idle
	b.idle = false
	b.mu.Unlock()
	if wake {
		b.wake <- struct{}{}
	}
}

func (b *bare) write() {
	for {
		b.mu.Lock()
		for len(b.buf) == 0 {
			b.idle = true
			b.mu.Unlock()
			<-b.wake
			b.mu.Lock()
		}
		b.mu.Unlock()
		runtime.Gosched() // others that are ready to push come along, as in a session
		b.mu.Lock()
		out := b.buf
		b.buf = b.spare[:0]
		b.mu.Unlock()
		if _, err := b.conn.Write(out); err != nil {
			return
		}
		b.mu.Lock()
		b.spare = out
		b.mu.Unlock()
	}
}

// read gives each frame to the function until the connection ends.
func (b *bare) read(each func(id uint64, body []byte)) {
	r := bufio.NewReaderSize(b.conn, 64<<10)
	body := make([]byte, Body)
	var h [bareHeader]byte
	for {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return
		}
		n := binary.LittleEndian.Uint32(h[:])
		if n > Body {
			return
		}
		if _, err := io.ReadFull(r, body[:n]); err != nil {
			return
		}
		each(binary.LittleEndian.Uint64(h[4:]), body[:n])
	}
}

func serveBare(ln net.Listener) {
	acceptAll(ln, func(c net.Conn) {
		b := newBare(c)
		b.read(b.push)
	})
}

func dialBare(ctx context.Context, socket string) (func() measure.Trip, func(), error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	b := newBare(conn)
	var waiting [maxCallers]chan int
	var callers atomic.Uint64
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.read(func(id uint64, body []byte) { waiting[id%maxCallers] <- len(body) })
	}()
	payload := make([]byte, Body)
	caller := func() measure.Trip {
		w := make(chan int, 1)
		id := callers.Add(1)
		waiting[id%maxCallers] = w // before its first frame is sent
		return func() error {
			b.push(id, payload)
			select {
			case n := <-w:
				return check(payload[:n])
			case <-gone:
				return io.ErrUnexpectedEOF
			}
		}
	}
	return caller, func() { _ = conn.Close() }, nil
}
