package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/pool"
	"redoubt/wire"
	"redoubt/wire/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is an Observer that counts.
type counter struct {
	opened, lost, dialFailed, retried, notRetried, pushed, pushFailed atomic.Int64
	handedOver, handOverFailed, notKept                               atomic.Int64
}

func (c *counter) SessionOpened() { c.opened.Add(1) }
func (c *counter) SessionLost()   { c.lost.Add(1) }
func (c *counter) DialFailed()    { c.dialFailed.Add(1) }
func (*counter) SessionPanicked() {}
func (c *counter) Retried()       { c.retried.Add(1) }
func (c *counter) NotRetried()    { c.notRetried.Add(1) }
func (c *counter) DomainNotKept() { c.notKept.Add(1) }
func (c *counter) DomainHandedOver(ok bool) {
	if ok {
		c.handedOver.Add(1)
	} else {
		c.handOverFailed.Add(1)
	}
}

func (c *counter) CredentialsPushed(ok bool) {
	if ok {
		c.pushed.Add(1)
	} else {
		c.pushFailed.Add(1)
	}
}
func (c *counter) PingTook(time.Duration) {}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, o pool.Options, enclaves ...*fakeenclave.Enclave) (*pool.Pool, *counter) {
	t.Helper()
	c := &counter{}
	o.Observer, o.Log = c, quiet()
	if o.Sessions == 0 {
		o.Sessions = 2
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 100
	}
	if o.PingEvery == 0 {
		o.PingEvery = 5 * time.Second // a test machine may stall for a while, which must cost no session
	}
	if o.RetryMax == 0 {
		o.RetryMax = 100 * time.Millisecond
	}
	p := pool.New(o)
	var urls []string
	for _, e := range enclaves {
		urls = append(urls, e.URL)
	}
	if err := p.Set(urls); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if len(enclaves) > 0 {
		fakeenclave.Wait(t, "all sessions", func() bool {
			for _, s := range p.Enclaves() {
				if s.Sessions < o.Sessions {
					return false
				}
			}
			return true
		})
	}
	return p, c
}

func request(value string) *wire.DecryptRequest {
	m := &wire.DecryptRequest{VaultID: []byte("v"), Region: []byte("r"), Suite: 2, Encoding: 2}
	m.AddField([]byte("f"), []byte(value))
	return m
}

func ask(p *pool.Pool, value string, limit time.Duration) (string, error) {
	call, err := p.Do(context.Background(), pool.Ask{Deadline: time.Now().Add(limit)}, request(value))
	if err != nil {
		return "", err
	}
	defer call.Release()
	var resp wire.DecryptResponse
	if err := resp.Decode(call.Answer); err != nil {
		return "", err
	}
	return string(resp.Results[0].Value), nil
}

func TestEmptyPoolKnowsNoEnclave(t *testing.T) {
	p, _ := start(t, pool.Options{})
	if _, err := ask(p, "x", time.Second); !errors.Is(err, pool.ErrNoEnclave) {
		t.Errorf("%v", err)
	}
	if p.Ready() || p.Known() != 0 {
		t.Error("ready without an enclave")
	}
}

func TestRequestIsAnsweredAndEnclaveDescribed(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p, _ := start(t, pool.Options{}, e)
	got, err := ask(p, "value", time.Second)
	if err != nil || got != "value" {
		t.Fatalf("%q %v", got, err)
	}
	s := p.Enclaves()[0]
	if s.Lanes != 4 || s.Restarts != 0 {
		t.Errorf("%d lanes in %d sessions, %d restarts", s.Lanes, s.Sessions, s.Restarts)
	}
	if s.ID != "i-fake" || s.Build != "fake" || len(s.PCRs) != 1 || s.Ready != 2 || s.Health&wire.HealthReady == 0 {
		t.Errorf("%+v", s)
	}
	doc, id, err := p.Attest(context.Background(), []byte("12345678"))
	if err != nil || string(doc) != "document over 12345678" || id != "i-fake" {
		t.Errorf("%s %s %v", doc, id, err)
	}
	var m wire.Stats
	if err := p.Stats(context.Background(), e.URL, &m); err != nil {
		t.Error(err)
	}
	if n, ok := m.Value(wire.StatRequests); !ok || n != 1 {
		t.Errorf("requests %d %v", n, ok)
	}
}

func TestEnclaveThatIsNotReadyGetsNoRequests(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p, _ := start(t, pool.Options{PingEvery: 50 * time.Millisecond}, e)
	whole := wire.HealthReady | wire.HealthKMS
	for _, tc := range []struct {
		name           string
		missing        wire.Health
		ready, answers bool
	}{
		{"its self-test failed", wire.HealthSelfTest, false, false},
		{"its clock is not trusted", wire.HealthClock, false, false},
		{"its random numbers are not trusted", wire.HealthEntropy, false, false},
		{"it drains", wire.HealthAccepting, false, false},
		{"without credentials it can answer from its cache", wire.HealthCredentials, false, true},
		{"without KMS it can answer from its cache", wire.HealthKMS, true, true},
		{"whole again", 0, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e.SetHealth(whole &^ tc.missing)
			fakeenclave.Wait(t, "the pool to know", func() bool {
				return p.Ready() == tc.ready && p.Any(whole) == (tc.missing == 0)
			})
			fakeenclave.Wait(t, "every session to know", func() bool {
				_, err := ask(p, "x", time.Second)
				return tc.answers && err == nil || !tc.answers && errors.Is(err, pool.ErrNoneReady)
			})
		})
	}
}

// KMS may refuse one session's credentials and take those of another: readiness is each session's own.
func TestASessionThatIsNotReadyIsPassedOverAndTheOthersCount(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	e.FirstLacks(wire.HealthCredentials)
	p, _ := start(t, pool.Options{PingEvery: 50 * time.Millisecond}, e)
	ready := func(n int) func() bool {
		return func() bool { s := p.Enclaves(); return s[0].Sessions == 2 && s[0].Ready == n }
	}
	fakeenclave.Wait(t, "one of two sessions", ready(1))
	if !p.Ready() {
		t.Error("not ready, although a session is")
	}
	for range 20 {
		if _, err := ask(p, "x", time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if n := e.FirstRequests(); n != 0 {
		t.Errorf("%d of 20 requests went by the session that is not ready", n)
	}
	e.SetHealth((wire.HealthReady | wire.HealthKMS) &^ wire.HealthCredentials)
	fakeenclave.Wait(t, "no session", ready(0))
	if p.Ready() {
		t.Error("ready, although no session is")
	}
	e.FirstLacks(0)
	e.SetHealth(wire.HealthReady | wire.HealthKMS)
	fakeenclave.Wait(t, "both sessions", ready(2))
}

func TestOverloadIsRefusedAtOnce(t *testing.T) {
	block := make(chan struct{})
	e := fakeenclave.Start(t, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		<-block
		fakeenclave.Echo(req, resp)
	})
	p, _ := start(t, pool.Options{MaxInFlight: 4}, e)
	var wg sync.WaitGroup
	var good, refused atomic.Int64
	for range 40 {
		wg.Go(func() {
			_, err := ask(p, "x", 20*time.Second)
			var we *wire.Error
			switch {
			case err == nil:
				good.Add(1)
			case errors.As(err, &we) && we.Code == wire.Overloaded:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	fakeenclave.Wait(t, "32 refusals while the rest waits", func() bool { return refused.Load() == 32 })
	if n := p.InFlight(); n != 8 {
		t.Errorf("%d in flight", n)
	}
	close(block)
	wg.Wait()
	if n := p.InFlight(); n != 0 {
		t.Errorf("%d in flight after the last answer", n)
	}
	if good.Load() != 8 {
		t.Errorf("%d answered", good.Load())
	}
}

func TestLoadIsSpreadOverSessionsAndEnclaves(t *testing.T) {
	block := make(chan struct{})
	slow := func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		<-block
		fakeenclave.Echo(req, resp)
	}
	a, b := fakeenclave.Start(t, slow), fakeenclave.Start(t, slow)
	p, _ := start(t, pool.Options{MaxInFlight: 10}, a, b)
	var wg sync.WaitGroup
	for n := range int64(40) { // exactly what fits when it is spread evenly
		wg.Go(func() {
			if _, err := ask(p, "x", 20*time.Second); err != nil {
				t.Error(err)
			}
		})
		fakeenclave.Wait(t, "the request to arrive", func() bool { return a.Requests.Load()+b.Requests.Load() == n+1 })
	}
	close(block)
	wg.Wait()
	if n := a.Requests.Load(); n != 20 {
		t.Errorf("%d and %d", n, b.Requests.Load())
	}
}

func TestDeadlineEndsAWaitingRequest(t *testing.T) {
	block := make(chan struct{})
	e := fakeenclave.Start(t, func(*wire.DecryptRequest, *wire.DecryptResponse) { <-block })
	t.Cleanup(func() { close(block) })
	p, _ := start(t, pool.Options{}, e)
	_, err := ask(p, "x", 50*time.Millisecond)
	var we *wire.Error
	if !errors.As(err, &we) || we.Code != wire.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

func TestErrorOfTheEnclaveIsPassedOn(t *testing.T) {
	for c := wire.BadRequest; int(c) < wire.Codes; c++ {
		e := fakeenclave.Start(t, fakeenclave.Refuse(c))
		p, counts := start(t, pool.Options{Sessions: 1}, e)
		_, err := ask(p, "x", time.Second)
		var we *wire.Error
		if !errors.As(err, &we) && (c != wire.ShuttingDown || !errors.Is(err, pool.ErrNoneReady)) {
			t.Errorf("%v: %v", c, err)
		} else if we != nil && we.Code != c {
			t.Errorf("%v became %v", c, we.Code)
		}
		if retried := counts.retried.Load() > 0; retried != (c == wire.ShuttingDown) {
			t.Errorf("%v: retried %v", c, retried)
		}
	}
}

func TestDeadEnclaveIsLeftForAnotherWithoutAFailedRequest(t *testing.T) {
	a, b := fakeenclave.Start(t, nil), fakeenclave.Start(t, nil)
	p, _ := start(t, pool.Options{}, a, b)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var n atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := ask(p, "x", 5*time.Second); err != nil {
					t.Errorf("request failed: %v", err)
					return
				}
				n.Add(1)
			}
		})
	}
	fakeenclave.Wait(t, "load", func() bool { return n.Load() > 200 })
	a.Down()
	had := n.Load()
	fakeenclave.Wait(t, "load without the enclave", func() bool { return n.Load() > had+500 })
	close(stop)
	wg.Wait()
}

func TestServiceIsBackWithinTwoSecondsOfItsEnclave(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p, counts := start(t, pool.Options{RetryMax: time.Second}, e)
	e.Down()
	fakeenclave.Wait(t, "the loss to be seen", func() bool { return !p.Ready() })
	if _, err := ask(p, "x", time.Second); !errors.Is(err, pool.ErrNoneReady) {
		t.Errorf("without its enclave: %v", err)
	}
	fakeenclave.Wait(t, "backoff to have grown", func() bool { return counts.dialFailed.Load() >= 10 })
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	fakeenclave.Wait(t, "an answer", func() bool { _, err := ask(p, "x", time.Second); return err == nil })
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	fakeenclave.Wait(t, "all sessions", func() bool { return p.Enclaves()[0].Sessions == 2 })
	if n := p.Enclaves()[0].Restarts; n != 1 {
		t.Errorf("%d restarts", n)
	}
}

func TestStalledSessionIsReplaced(t *testing.T) {
	const every, limit, margin = 100 * time.Millisecond, 4 * 100 * time.Millisecond, 3 * time.Second
	e := fakeenclave.Start(t, nil)
	p, counts := start(t, pool.Options{Sessions: 1, PingEvery: every}, e)
	e.Stall(true)
	began := time.Now()
	fakeenclave.Wait(t, "the session to be given up", func() bool { return counts.lost.Load() > 0 })
	if took := time.Since(began); took > limit+margin {
		t.Errorf("given up after %v: the next ping and the wait for three make %v", took, limit)
	}
	e.Stall(false)
	fakeenclave.Wait(t, "an answer", func() bool { _, err := ask(p, "x", time.Second); return err == nil })
	if n := p.Enclaves()[0].Restarts; n != 0 {
		t.Errorf("%d restarts of an enclave that only stalled", n)
	}
}

func TestEnclavesComeAndGo(t *testing.T) {
	a, b := fakeenclave.Start(t, nil), fakeenclave.Start(t, nil)
	p, counts := start(t, pool.Options{}, a)
	if err := p.Set([]string{a.URL, b.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "sessions to both", func() bool { return counts.opened.Load() == 4 })
	if counts.lost.Load() != 0 {
		t.Error("sessions of an enclave that stayed were ended")
	}
	if err := p.Set([]string{b.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "sessions to end", func() bool { return counts.lost.Load() == 2 })
	fakeenclave.Wait(t, "the other to be ready", func() bool { _, err := ask(p, "x", time.Second); return err == nil })
	before := a.Requests.Load()
	for range 10 {
		if _, err := ask(p, "x", time.Second); err != nil {
			t.Error(err)
		}
	}
	if a.Requests.Load() != before {
		t.Error("an enclave that was taken out got requests")
	}
	if err := p.Set([]string{"nonsense://x"}); err == nil || p.Known() != 1 {
		t.Errorf("malformed url: %v, %d known", err, p.Known())
	}
}

// creds is a Credentials that the test changes.
type creds struct {
	mu      sync.Mutex
	key     string
	changed chan struct{}
}

func (c *creds) set(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = key
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *creds) With(use func(*wire.Credentials) error) error {
	c.mu.Lock()
	key := c.key
	c.mu.Unlock()
	if key == "" {
		return nil
	}
	return use(&wire.Credentials{AccessKeyID: []byte(key), Secret: []byte("s")})
}

func (c *creds) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func TestCredentialsReachEverySessionAndEveryChange(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	c := &creds{changed: make(chan struct{})}
	p, counts := start(t, pool.Options{Credentials: c}, e)
	if n, _ := e.Credentials(); n != 0 {
		t.Errorf("%d pushed before there are any", n)
	}
	c.set("one")
	fakeenclave.Wait(t, "the first", func() bool { n, key := e.Credentials(); return n == 2 && key == "one" })
	c.set("two")
	fakeenclave.Wait(t, "the second", func() bool { n, key := e.Credentials(); return n == 4 && key == "two" })
	e.Down()
	fakeenclave.Wait(t, "the loss", func() bool { return !p.Ready() })
	if err := e.Up(); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "new sessions to have them", func() bool { n, key := e.Credentials(); return n == 6 && key == "two" })
	fakeenclave.Wait(t, "counts", func() bool { return counts.pushed.Load() == 6 })
}

func TestDrainingEnclaveIsLeftWithoutAFailedRequest(t *testing.T) {
	a, b := fakeenclave.Start(t, nil), fakeenclave.Start(t, nil)
	p, _ := start(t, pool.Options{}, a, b)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := ask(p, "x", 5*time.Second); err != nil {
					t.Errorf("request failed: %v", err)
					return
				}
			}
		})
	}
	a.Each(func(s *session.Server) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	close(stop)
	wg.Wait()
}

// During a roll an enclave of a version without attestation is not asked for a document; with no other, none is ready.
func TestADocumentIsAskedOfEnclavesThatAttestAlone(t *testing.T) {
	older := fakeenclave.StartOlder(t, nil, wire.FeatureAttest)
	p, _ := start(t, pool.Options{}, older)
	nonce := []byte("12345678")
	if _, _, err := p.Attest(t.Context(), nonce); !errors.Is(err, pool.ErrNoneReady) {
		t.Errorf("%v, want ErrNoneReady", err)
	}
	newer := fakeenclave.Start(t, nil)
	if err := p.Set([]string{older.URL, newer.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the new enclave", func() bool { return p.Enclaves()[1].Ready == 2 })
	for range 20 {
		if _, _, err := p.Attest(t.Context(), nonce); err != nil {
			t.Error(err)
		}
	}
}

// TestAReplyKeyGoesToEnclavesThatPadAlone: during a roll to those of the new version; with none, nobody is asked.
func TestAReplyKeyGoesToEnclavesThatPadAlone(t *testing.T) {
	older := fakeenclave.StartOlder(t, nil, wire.FeaturePaddedReply)
	p, _ := start(t, pool.Options{}, older)
	sealed := request("value")
	sealed.ReplySuite, sealed.ReplyKey = 1, []byte("key")
	do := func(m *wire.DecryptRequest) error {
		call, err := p.Do(t.Context(), pool.Ask{Deadline: time.Now().Add(time.Minute)}, m)
		if err == nil {
			call.Release()
		}
		return err
	}
	if err := do(sealed); !errors.Is(err, pool.ErrNoPaddedReply) {
		t.Errorf("%v, want ErrNoPaddedReply", err)
	}
	if n := older.Requests.Load(); n != 0 {
		t.Errorf("%d requests went to an enclave that does not pad", n)
	}
	if err := do(request("value")); err != nil || older.Requests.Load() != 1 {
		t.Errorf("without a reply key: %v", err)
	}
	newer := fakeenclave.Start(t, nil)
	if err := p.Set([]string{older.URL, newer.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the new enclave", func() bool { return p.Enclaves()[1].Ready == 2 })
	for range 20 {
		if err := do(sealed); err != nil {
			t.Error(err)
		}
	}
	if older.Requests.Load() != 1 || newer.Requests.Load() != 20 {
		t.Errorf("%d and %d requests, want 1 and 20", older.Requests.Load(), newer.Requests.Load())
	}
	if err := p.Set(nil); err != nil {
		t.Fatal(err)
	}
	if err := do(sealed); !errors.Is(err, pool.ErrNoEnclave) {
		t.Errorf("%v, want ErrNoEnclave", err)
	}
}
