package session

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"redoubt/wire"
)

const benchBody = 400

// inFlights are the numbers of concurrent callers that are measured.
var inFlights = []struct {
	name string
	n    int
}{{"1", 1}, {"16", 16}, {"64", 64}, {"128", 128}}

// rig makes a caller: a function that does one round trip of benchBody bytes each way.
type rig func(tb testing.TB) (caller func() func() error)

// sessionRig is a session.
func sessionRig(tb testing.TB) func() func() error {
	c, _ := pair(tb, ClientConfig{}, ServerConfig{})
	payload := make([]byte, benchBody)
	return func() func() error {
		call := c.NewCall()
		return func() error {
			call.Body = append(call.Body[:0], payload...)
			return c.Do(context.Background(), call)
		}
	}
}

// streamRig is what a session is measured against: a yamux stream for each request.
func streamRig(tb testing.TB) func() func() error {
	x, y := socketpair(tb)
	cfg := yamux.DefaultConfig()
	cfg.LogOutput = io.Discard
	cfg.EnableKeepAlive = false
	cs, err := yamux.Client(x, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ss, err := yamux.Server(y, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = cs.Close(), ss.Close() })
	go func() {
		for {
			st, err := ss.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = st.Close() }()
				_, _ = io.CopyN(st, st, wire.HeaderSize+benchBody)
			}()
		}
	}()
	return func() func() error {
		buf := make([]byte, wire.HeaderSize+benchBody)
		return func() error {
			st, err := cs.Open()
			if err != nil {
				return err
			}
			defer func() { _ = st.Close() }()
			if _, err := st.Write(buf); err != nil {
				return err
			}
			_, err = io.ReadFull(st, buf)
			return err
		}
	}
}

// bareRig is the floor, bareFrames.
func bareRig(tb testing.TB) func() func() error { return bareRigWith(tb, false) }

// yieldingRig is the floor with the same step back before writing as a session.
func yieldingRig(tb testing.TB) func() func() error { return bareRigWith(tb, true) }

func bareRigWith(tb testing.TB, yield bool) func() func() error {
	x, y := socketpair(tb)
	cf, sf := newBareFrames(x, yield), newBareFrames(y, yield)
	tb.Cleanup(func() {
		_, _ = x.Close(), y.Close()
		close(cf.stop)
		close(sf.stop)
	})
	go sf.read(sf.push)
	type waiter struct {
		done chan struct{}
		buf  []byte
	}
	waiters := make([]waiter, 1024)
	go cf.read(func(id uint64, body []byte) {
		w := &waiters[id]
		w.buf = append(w.buf[:0], body...)
		w.done <- struct{}{}
	})
	var next uint64
	payload := make([]byte, benchBody)
	return func() func() error {
		id := next
		next++
		waiters[id].done = make(chan struct{}, 1)
		return func() error {
			cf.push(id, payload)
			<-waiters[id].done
			return nil
		}
	}
}

// trips does total round trips from the callers given, and returns the time they took and the CPU time of the process.
func trips(tb testing.TB, callers []func() error, total int) (elapsed, cpu time.Duration) {
	tb.Helper()
	var left atomic.Int64
	left.Store(int64(total))
	var wg sync.WaitGroup
	before, start := cpuTime(tb), time.Now()
	for _, trip := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := trip(); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start), cpuTime(tb) - before
}

func cpuTime(tb testing.TB) time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// callersOf makes n callers of a rig and lets each warm up.
func callersOf(tb testing.TB, r rig, n int) []func() error {
	caller := r(tb)
	callers := make([]func() error, n)
	for i := range callers {
		callers[i] = caller()
	}
	trips(tb, callers, 20*n+1000)
	return callers
}

func benchRig(b *testing.B, r rig) {
	for _, f := range inFlights {
		b.Run(f.name, func(b *testing.B) {
			callers := callersOf(b, r, f.n)
			b.ReportAllocs()
			b.ResetTimer()
			_, cpu := trips(b, callers, b.N)
			b.StopTimer()
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkSession is a session's round trip, 400 bytes each way.
func BenchmarkSession(b *testing.B) { benchRig(b, sessionRig) }

// BenchmarkStreamPerRequest is the same by a yamux stream for each request.
func BenchmarkStreamPerRequest(b *testing.B) { benchRig(b, streamRig) }

// BenchmarkBareFrames is the same by frames on the socket itself.
func BenchmarkBareFrames(b *testing.B) { benchRig(b, bareRig) }

// BenchmarkRatio compares them in turns of a few milliseconds each, so that what else the machine does hits all
// alike: of-bare is a session's speed as a part of bare frames', x-stream as a multiple of a stream per request's;
// of-yielding compares with bare frames that step back before they write. With cpu- it is CPU time.
func BenchmarkRatio(b *testing.B) {
	for _, f := range inFlights {
		b.Run(f.name, func(b *testing.B) {
			rigs := [...][]func() error{
				callersOf(b, sessionRig, f.n), callersOf(b, bareRig, f.n), callersOf(b, streamRig, f.n),
				callersOf(b, yieldingRig, f.n),
			}
			sizes := [...]int{4000, 4000, 400, 4000}
			var elapsed, cpu [len(rigs)]float64
			b.ResetTimer()
			for range b.N {
				for i, callers := range rigs {
					e, c := trips(b, callers, sizes[i])
					elapsed[i] += float64(e) / float64(sizes[i])
					cpu[i] += float64(c) / float64(sizes[i])
				}
			}
			b.ReportMetric(elapsed[1]/elapsed[0], "of-bare")
			b.ReportMetric(cpu[1]/cpu[0], "cpu-of-bare")
			b.ReportMetric(elapsed[2]/elapsed[0], "x-stream")
			b.ReportMetric(cpu[2]/cpu[0], "cpu-x-stream")
			b.ReportMetric(elapsed[3]/elapsed[0], "of-yielding")
			b.ReportMetric(cpu[3]/cpu[0], "cpu-of-yielding")
		})
	}
}

// bareFrames is the floor: length, id and body on the socket itself; callers' frames and answers are grouped into one
// write, as a session does, and there is nothing else: no streams, limits, deadlines or wiping.
type bareFrames struct {
	conn  net.Conn
	mu    sync.Mutex
	buf   []byte
	spare []byte
	busy  bool
	wake  chan struct{}
	stop  chan struct{}
	yield bool // step back before writing, as a session's queue does
}

func newBareFrames(c net.Conn, yield bool) *bareFrames {
	f := &bareFrames{conn: c, wake: make(chan struct{}, 1), stop: make(chan struct{}), busy: true, yield: yield}
	go f.run()
	return f
}

func (f *bareFrames) push(id uint64, body []byte) {
	f.mu.Lock()
	f.buf = binary.LittleEndian.AppendUint32(f.buf, uint32(len(body)))
	f.buf = binary.LittleEndian.AppendUint64(f.buf, id)
	f.buf = append(f.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	f.buf = append(f.buf, body...)
	wake := !f.busy
	f.busy = true
	f.mu.Unlock()
	if wake {
		f.wake <- struct{}{}
	}
}

func (f *bareFrames) run() {
	for {
		f.mu.Lock()
		for len(f.buf) == 0 {
			f.busy = false
			f.mu.Unlock()
			select {
			case <-f.wake:
			case <-f.stop:
				return
			}
			if f.yield {
				runtime.Gosched()
			}
			f.mu.Lock()
		}
		b := f.buf
		f.buf, f.spare = f.spare[:0], nil
		f.mu.Unlock()
		if _, err := f.conn.Write(b); err != nil {
			return
		}
		f.mu.Lock()
		f.spare = b
		f.mu.Unlock()
	}
}

func (f *bareFrames) read(each func(id uint64, body []byte)) {
	r := bufio.NewReaderSize(f.conn, 64<<10)
	body := make([]byte, benchBody)
	var h [wire.HeaderSize]byte
	for {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return
		}
		n := binary.LittleEndian.Uint32(h[:])
		if _, err := io.ReadFull(r, body[:n]); err != nil {
			return
		}
		each(binary.LittleEndian.Uint64(h[4:]), body[:n])
	}
}
