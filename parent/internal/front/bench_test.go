package front_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/metrics"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/session"
	"redoubt/wire/transport"
)

// childVariable makes this test binary one of the processes that a measurement needs: an echoing enclave at the URL
// after "enclave ", a parent of the enclave at the URL after "parent ", or a "static" server.
const childVariable = "RD_TEST_CHILD"

// beChild is the child's main. Servers tell their address on standard output. It ends with its parent.
func beChild(role string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	what, url, _ := strings.Cut(role, " ")
	var err error
	switch what {
	case "enclave":
		err = serveEnclave(url)
	case "parent":
		err = serveParent(url)
	case "static":
		err = serveStatic()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// echoServer answers on the lane's reader, as an enclave answers what is hot: no goroutine of its own per request.
type echoServer struct{}

func (*echoServer) Request(r *session.Request) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if s.req.Decode(r.Body) != nil {
		_ = r.Responder.Fail(wire.BadRequest, 0)
		return
	}
	s.resp.Reset()
	fakeenclave.Echo(&s.req, &s.resp)
	_ = r.Responder.Send(wire.KindDecrypted, s.resp.Append(r.Responder.Buffer(512)))
}
func (*echoServer) Credentials(*wire.Credentials) error            { return nil }
func (*echoServer) Purge(*wire.Purge) (wire.Purged, error)         { return wire.Purged{}, nil }
func (*echoServer) Pong() wire.Pong                                { return wire.Pong{Health: wire.HealthReady} }
func (*echoServer) Stats(*wire.Stats)                              {}
func (*echoServer) OpenDomain(context.Context, []byte) error       { return nil }
func (*echoServer) Attest(context.Context, []byte) ([]byte, error) { return nil, nil }
func (*echoServer) Panicked(any)                                   {}

type scratch struct {
	req  wire.DecryptRequest
	resp wire.DecryptResponse
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func serveEnclave(url string) error {
	ln, err := transport.Listen(url, transport.ListenConfig{})
	if err != nil {
		return err
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			s, err := session.NewServer(context.Background(), c, session.ServerConfig{Handler: &echoServer{}})
			if err == nil {
				<-s.Done()
			}
		}()
	}
}

// newPool is a pool of the enclave at url, once it is ready.
func newPool(url string, m *metrics.Metrics) (*pool.Pool, error) {
	p := pool.New(pool.Options{
		Sessions: 2, MaxInFlight: 1000, PingEvery: time.Second, RetryMax: 50 * time.Millisecond,
		Observer: m, Log: slog.New(slog.DiscardHandler),
	})
	if err := p.Set([]string{url}); err != nil {
		return nil, err
	}
	for !p.Ready() {
		<-time.After(time.Millisecond)
	}
	return p, nil
}

func serveParent(url string) error {
	m := metrics.New("test")
	p, err := newPool(url, m)
	if err != nil {
		return err
	}
	o := options()
	o.Upstream, o.Observer, o.Log = p, m, slog.New(slog.DiscardHandler)
	return announced(front.New(o).Serve)
}

// announced serves on a free port, and says which.
func announced(serve func(net.Listener) error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return serve(ln)
}

// child starts this binary in a role and returns the address that it tells; an enclave tells none.
func child(t testing.TB, role string) string {
	t.Helper()
	cmd := proctest.Command(t, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if strings.HasPrefix(role, "enclave ") {
		return ""
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// enclaveChild starts an echoing enclave in a process of its own and returns its URL.
func enclaveChild(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	url := "unix://" + filepath.Join(dir, "e.sock")
	child(t, "enclave "+url)
	return url
}

// hot is a stack in this process whose enclave is another, and whose metrics are the true ones.
func hot(t testing.TB, more ...func(*front.Options)) string {
	t.Helper()
	m := metrics.New("test")
	p, err := newPool(enclaveChild(t), m)
	if err != nil {
		t.Fatal(err)
	}
	s := startStack(t, options(), nil, append(more, func(o *front.Options) { o.Upstream, o.Observer = p, m })...)
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return s.addr
}

// wireRequest is a hot request of one field as it is sent.
func wireRequest(path string) []byte {
	b := encode(doc(obj{
		"fields":                obj{"ssn": b64(strings.Repeat("c", 97+16+11))},
		"encrypted_private_key": b64(strings.Repeat("k", 350)),
	}))
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: vault\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, len(b), b)
}

// caller sends one request again and again over one connection, allocating nothing.
type caller struct {
	c       net.Conn
	br      *bufio.Reader
	request []byte
	body    []byte
}

func newCaller(t testing.TB, addr string, request []byte) *caller {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &caller{c: c, br: bufio.NewReaderSize(c, 16<<10), request: request, body: make([]byte, 16<<10)}
}

var (
	okLine   = []byte("HTTP/1.1 200 OK\r\n")
	lengthIs = []byte("Content-Length: ")
)

// call sends the request and reads the answer.
func (c *caller) call() error {
	if _, err := c.c.Write(c.request); err != nil {
		return err
	}
	n := -1
	for first := true; ; first = false {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.Equal(line, okLine) {
			return fmt.Errorf("answered %q", line)
		}
		if len(line) == 2 {
			break
		}
		if bytes.HasPrefix(line, lengthIs) {
			n = 0
			for _, d := range line[len(lengthIs) : len(line)-2] {
				n = n*10 + int(d-'0')
			}
		}
	}
	if n < 0 || n > len(c.body) {
		return fmt.Errorf("length %d", n)
	}
	_, err := io.ReadFull(c.br, c.body[:n])
	return err
}

// TestHotRequestAllocatesNothingOfOurs counts every allocation of the process during hot requests. What is left is
// yamux's, two for a request that is alone (requests in flight together share its frames), and one of fasthttp's, which
// makes sure that a streamed body was read to its end. Under load that keeps the design's two a request.
func TestHotRequestAllocatesNothingOfOurs(t *testing.T) { checkAllocations(t) }

func checkAllocations(t *testing.T, more ...func(*front.Options)) {
	t.Helper()
	if proctest.Race {
		t.Skip("the race detector makes sync.Pool drop at random")
	}
	rate := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate = rate }()
	for _, path := range []string{"/decrypt", "/v1/decrypt"} {
		addr := hot(t, more...)
		for inFlight, most := range map[int]float64{1: 3.1, 64: 2} {
			ours, theirs := allocations(t, addr, path, inFlight)
			t.Logf("%s, %d in flight: %.2f allocations of ours a request, %.2f of libraries", path, inFlight, ours, theirs)
			if ours > 0.2 { // pings, timers, and what sync.Pool gives up to the collector
				t.Errorf("%s, %d in flight: %.2f allocations of ours a request", path, inFlight, ours)
			}
			if ours+theirs > most {
				t.Errorf("%s, %d in flight: %.2f allocations a request", path, inFlight, ours+theirs)
			}
		}
	}
}

// theirs are the allocations that are known not to be ours, by the function that makes them.
var theirs = []string{"hashicorp/yamux.", "fasthttp.(*requestStream).discard"}

// allocations are the means per request with a number of callers at once.
func allocations(t *testing.T, addr, path string, callers int) (ours, libraries float64) {
	t.Helper()
	each := max(4000, 400*callers) // so that the pools, emptied by the collector before, count for little
	all := make([]*caller, callers)
	for i := range all {
		all[i] = newCaller(t, addr, wireRequest(path))
	}
	run := func(n int) {
		var wg sync.WaitGroup
		for _, c := range all {
			wg.Go(func() {
				for range n {
					if err := c.call(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run(max(20, 2000/callers))
	records := make([]runtime.MemProfileRecord, 1<<16)
	oursBefore, theirsBefore := profile(t, records)
	run(each / callers)
	oursAfter, theirsAfter := profile(t, records)
	n := float64(callers * (each / callers))
	return float64(oursAfter-oursBefore) / n, float64(theirsAfter-theirsBefore) / n
}

// profile counts the allocations so far. It leaves out its own.
func profile(t *testing.T, records []runtime.MemProfileRecord) (ours, libraries int64) {
	t.Helper()
	runtime.GC() // publishes what the profile has gathered
	runtime.GC()
	n, ok := runtime.MemProfile(records, true)
	if !ok {
		t.Fatal("the profile does not fit")
	}
	for _, r := range records[:n] {
		of := &ours
	stack:
		for frames := runtime.CallersFrames(r.Stack()); ; {
			f, more := frames.Next()
			for _, name := range theirs {
				if strings.Contains(f.Function, name) {
					of = &libraries
					break stack
				}
			}
			if strings.HasSuffix(f.Function, "front_test.profile") {
				of = new(int64)
				break stack
			}
			if !more {
				break
			}
		}
		*of += r.AllocObjects
	}
	return ours, libraries
}

// serveStatic answers the bytes that the stack would, by itself: the measure of the design's targets.
func serveStatic() error {
	answer := []byte(`{"fields":{"ssn":"` + strings.Repeat("c", 97+16+11) + `"},"errors":{}}`)
	s := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("application/json")
			ctx.Response.Header.Set("Cache-Control", "no-store")
			ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
			ctx.Response.Header.Set("X-Request-Id", "0123456789abcdef0123456789abcdef")
			ctx.SetBody(answer)
		},
	}
	return announced(s.Serve)
}

// BenchmarkHot compares a hot request through a parent and a session to an echoing enclave (three processes, with the
// caller) with a server that answers the same bytes itself (two), by turns in one run. "ratio" is p50 over p50 at one
// in flight.
func BenchmarkHot(b *testing.B) {
	through := newCaller(b, child(b, "parent "+enclaveChild(b)), wireRequest("/v1/decrypt"))
	direct := newCaller(b, child(b, "static"), wireRequest("/v1/decrypt"))
	var times [2][]time.Duration
	for b.Loop() {
		for i, c := range [...]*caller{through, direct} {
			for range 20 {
				began := time.Now()
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
				times[i] = append(times[i], time.Since(began))
			}
		}
	}
	var p50 [2]float64
	for i := range times {
		slices.Sort(times[i])
		p50[i] = float64(times[i][len(times[i])/2].Nanoseconds())
	}
	b.ReportMetric(p50[0]/1000, "p50-us")
	b.ReportMetric(p50[1]/1000, "static-p50-us")
	b.ReportMetric(p50[0]/p50[1], "ratio")
	b.ReportMetric(float64(times[0][len(times[0])*99/100].Microseconds()), "p99-us")
}

// BenchmarkThroughput is hot requests with 64 in flight; "req/s" is what both processes and the callers reach together.
func BenchmarkThroughput(b *testing.B) {
	addr := child(b, "parent "+enclaveChild(b))
	const callers = 64
	var all [callers]*caller
	for i := range all {
		all[i] = newCaller(b, addr, wireRequest("/v1/decrypt"))
	}
	b.ResetTimer()
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := c.call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "req/s")
}

// TestMemoryIsFlat is check 18 for this tier, shortened: RD_SOAK=1000000 runs it in full.
func TestMemoryIsFlat(t *testing.T) {
	n := 20000
	if s := os.Getenv("RD_SOAK"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	addr := hot(t)
	var all [8]*caller
	for i := range all {
		all[i] = newCaller(t, addr, wireRequest([]string{"/decrypt", "/v1/decrypt"}[i%2]))
	}
	run := func(n int) {
		var wg sync.WaitGroup
		for _, c := range all {
			wg.Go(func() {
				for range n / len(all) {
					if err := c.call(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	measure := func() (heap uint64, goroutines, files int) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return m.HeapAlloc, runtime.NumGoroutine(), len(fds)
	}
	run(n / 4)
	heap, goroutines, files := measure()
	run(n)
	heap2, goroutines2, files2 := measure()
	t.Logf("%d requests: heap %d -> %d, goroutines %d -> %d, files %d -> %d", n, heap, heap2, goroutines, goroutines2, files, files2)
	if heap2 > heap+1<<20 || goroutines2 > goroutines+4 || files2 > files+2 {
		t.Errorf("not flat: heap %d -> %d, goroutines %d -> %d, files %d -> %d", heap, heap2, goroutines, goroutines2, files, files2)
	}
}
