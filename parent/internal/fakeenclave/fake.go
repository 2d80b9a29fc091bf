// Package fakeenclave is an enclave for tests of the parent: it has a true session, and a function in place of
// cryptography. Production code does not import it.
package fakeenclave

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
	"redoubt/wire/transport"
)

// Answer decides the response to a request. It may block; each request has a goroutine of its own.
type Answer func(req *wire.DecryptRequest, resp *wire.DecryptResponse)

// Enclave listens on a unix socket and answers.
type Enclave struct {
	URL string

	answer atomic.Pointer[Answer]
	health atomic.Uint32
	creds  atomic.Int64
	key    atomic.Pointer[string]
	stuck  atomic.Bool
	purged atomic.Pointer[string]
	lacks  atomic.Uint64
	odd    oddSession
	domain atomic.Pointer[func(record []byte) error]
	write  atomic.Pointer[Write]

	mu       sync.Mutex
	ln       *transport.Listener
	sessions map[*session.Server]bool
	started  int64 // Unix milliseconds, another at each Up
	wg       sync.WaitGroup

	// Requests counts the requests that arrived, Sessions the sessions that were opened.
	Requests, Sessions atomic.Int64
}

// Start makes an enclave on a fresh socket; it ends with the test.
func Start(t testing.TB, answer Answer) *Enclave { return StartOlder(t, answer, 0) }

// StartOlder is Start for an enclave that lacks features.
func StartOlder(t testing.TB, answer Answer, lacks wire.Features) *Enclave {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd") // not t.TempDir: the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e := New("unix://"+filepath.Join(dir, "e.sock"), answer)
	e.Lack(lacks)
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Down)
	return e
}

// New makes an enclave that does not listen yet: see Up.
func New(url string, answer Answer) *Enclave {
	e := &Enclave{URL: url}
	e.SetAnswer(answer)
	e.SetHealth(wire.HealthReady | wire.HealthKMS)
	return e
}

// SetAnswer changes how requests are answered; nil means Echo.
func (e *Enclave) SetAnswer(a Answer) {
	if a == nil {
		a = Echo
	}
	e.answer.Store(&a)
}

// SetHealth changes what pongs say.
func (e *Enclave) SetHealth(h wire.Health) { e.health.Store(uint32(h)) }

// Stall makes the enclave stop answering pings (so that it looks dead) without closing anything.
func (e *Enclave) Stall(on bool) { e.stuck.Store(on) }

// Lack removes features from what sessions announce, from the next Up on, as in an enclave of an earlier release.
func (e *Enclave) Lack(f wire.Features) { e.lacks.Store(uint64(f)) }

// Write decides the answer to a request of domains: its kind is the request's and one more. A code other than wire.OK
// is the answer instead.
type Write func(kind wire.Kind, body []byte) (answer []byte, code wire.Code)

// OnWrite decides how requests of domains are answered. Without it they are refused.
func (e *Enclave) OnWrite(w Write) { e.write.Store(&w) }

// OnDomain decides what becomes of the records of domains that are handed over. Each is taken before.
func (e *Enclave) OnDomain(open func(record []byte) error) { e.domain.Store(&open) }

// Credentials is how often credentials arrived; AccessKey is the last one's id.
func (e *Enclave) Credentials() (n int64, accessKey string) {
	if k := e.key.Load(); k != nil {
		accessKey = *k
	}
	return e.creds.Load(), accessKey
}

// Purged is the vault of the last purge (empty for all), and whether there was one.
func (e *Enclave) Purged() (vault string, ok bool) {
	if v := e.purged.Load(); v != nil {
		return *v, true
	}
	return "", false
}

// Up starts listening, at first or after a Down.
func (e *Enclave) Up() error {
	ln, err := transport.Listen(e.URL, transport.ListenConfig{})
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.ln, e.sessions = ln, map[*session.Server]bool{}
	e.started = max(e.started+1, time.Now().UnixMilli())
	e.mu.Unlock()
	e.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			e.wg.Go(func() { e.serve(c) })
		}
	})
	return nil
}

// Down ends everything at once, as kill -9 would.
func (e *Enclave) Down() {
	e.mu.Lock()
	ln, sessions := e.ln, e.sessions
	e.ln, e.sessions = nil, nil
	e.mu.Unlock()
	if ln == nil {
		return
	}
	_ = ln.Close()
	for s := range sessions {
		_ = s.Close()
	}
	e.wg.Wait()
}

// Each calls f for every open session.
func (e *Enclave) Each(f func(s *session.Server)) {
	e.mu.Lock()
	var all []*session.Server
	for s := range e.sessions {
		all = append(all, s)
	}
	e.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}

func (e *Enclave) serve(c net.Conn) {
	e.mu.Lock()
	started := e.started
	e.mu.Unlock()
	s, err := session.NewServer(context.Background(), c, session.ServerConfig{
		Config: session.Config{Hello: wire.Hello{
			Features: wire.AllFeatures() &^ wire.Features(e.lacks.Load()),
			StartMS:  started, BuildID: []byte("fake"), EnclaveID: []byte("i-fake"),
			PCRs: []wire.PCR{{Index: 0, Value: make([]byte, 48)}},
		}},
		Handler: handler{e, e.odd.isNext()},
	})
	if err != nil {
		return
	}
	e.Sessions.Add(1)
	e.mu.Lock()
	if e.sessions == nil {
		e.mu.Unlock()
		_ = s.Close()
		return
	}
	e.sessions[s] = true
	e.mu.Unlock()
	<-s.Done()
	e.mu.Lock()
	delete(e.sessions, s)
	e.mu.Unlock()
}

type handler struct {
	e   *Enclave
	odd bool
}

func (h handler) Request(r *session.Request) {
	h.e.Requests.Add(1)
	if h.odd {
		h.e.odd.requests.Add(1)
	}
	body, kind := r.Own(), r.Kind
	re := r.Responder
	go func() {
		if kind != wire.KindDecrypt {
			h.e.answerWrite(kind, body, re)
			return
		}
		var req wire.DecryptRequest
		if req.Decode(body) != nil {
			_ = re.Fail(wire.BadRequest, 0)
			return
		}
		var resp wire.DecryptResponse
		(*h.e.answer.Load())(&req, &resp)
		if resp.Code != wire.OK {
			_ = re.Fail(resp.Code, time.Duration(resp.RetryAfterMS)*time.Millisecond)
			return
		}
		_ = re.Send(wire.KindDecrypted, resp.Append(re.Buffer(256)))
	}()
}

func (e *Enclave) answerWrite(kind wire.Kind, body []byte, re session.Responder) {
	w := e.write.Load()
	if w == nil {
		_ = re.Fail(wire.KeyDenied, 0)
		return
	}
	answer, code := (*w)(kind, body)
	if code != wire.OK {
		_ = re.Fail(code, 0)
		return
	}
	_ = re.Send(kind+1, append(re.Buffer(len(answer)), answer...))
}

func (h handler) Credentials(m *wire.Credentials) error {
	key := string(m.AccessKeyID)
	h.e.key.Store(&key)
	h.e.creds.Add(1)
	return nil
}

func (h handler) Purge(m *wire.Purge) (wire.Purged, error) {
	vault := string(m.VaultID)
	h.e.purged.Store(&vault)
	return wire.Purged{Keys: 2, Contexts: 3}, nil
}

func (h handler) Pong() wire.Pong {
	for h.e.stuck.Load() {
		<-time.After(10 * time.Millisecond)
	}
	health := wire.Health(h.e.health.Load())
	if h.odd {
		health &^= wire.Health(h.e.odd.lacks.Load())
	}
	return wire.Pong{Health: health, ClockMS: time.Now().UnixMilli()}
}

func (h handler) Stats(m *wire.Stats) {
	m.Add(wire.StatRequests, h.e.Requests.Load())
	m.Add(wire.StatKMSDenied, 3)
	m.Add(wire.StatGaugeKeys, 7)
	m.AddHistogram(wire.StageTotal, 1500, wire.Buckets)[3] = 2
}

func (handler) Attest(_ context.Context, nonce []byte) ([]byte, error) {
	return append([]byte("document over "), nonce...), nil
}

func (h handler) OpenDomain(_ context.Context, record []byte) error {
	if open := h.e.domain.Load(); open != nil {
		return (*open)(record)
	}
	return nil
}

func (handler) Panicked(any) {}

// Wait polls until ok returns true, and fails the test if that takes longer than a generous limit.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(fmt.Sprint("timed out waiting for ", what))
		}
	}
}

// Echo answers each wanted field with its blob as a string, and each expression with its source as JSON.
func Echo(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
	for i := range req.Fields {
		wanted := req.Compat || req.IncludeMode == wire.IncludeListed && req.Fields[i].Include ||
			req.IncludeMode == wire.IncludeDefault && len(req.Expressions) == 0
		if !wanted {
			continue
		}
		kind := wire.ValueString
		if len(req.ReplyKey) > 0 {
			kind = wire.ValueSealed
		}
		resp.Add(wire.Result{
			Kind: wire.ResultField, Index: uint16(i), ValueKind: kind, Value: req.Fields[i].Blob,
		})
	}
	for i := range req.Expressions {
		kind := wire.ValueJSON
		if len(req.ReplyKey) > 0 {
			kind = wire.ValueSealed
		}
		resp.Add(wire.Result{
			Kind: wire.ResultExpression, Index: uint16(i), ValueKind: kind, Value: req.Expressions[i].Source,
		})
	}
}

// Refuse answers everything with a code.
func Refuse(c wire.Code) Answer {
	return func(_ *wire.DecryptRequest, resp *wire.DecryptResponse) { resp.Code = c }
}

// oddSession is the first session of an enclave, if it must say other things of the enclave than later sessions.
type oddSession struct {
	lacks    atomic.Uint32
	opened   atomic.Bool
	requests atomic.Int64
}

// isNext reports whether the session that is being opened is the first.
func (o *oddSession) isNext() bool { return o.opened.CompareAndSwap(false, true) }

// FirstLacks removes bits from the pongs of the enclave's first session alone, as if KMS refused that session's
// credentials.
func (e *Enclave) FirstLacks(h wire.Health) { e.odd.lacks.Store(uint32(h)) }

// FirstRequests is how many requests came over the first session.
func (e *Enclave) FirstRequests() int64 { return e.odd.requests.Load() }
