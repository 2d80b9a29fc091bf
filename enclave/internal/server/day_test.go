package server

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/session"
)

// pipes is a listener whose connections are pipes, so that time can be simulated around them.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial() (*session.Client, error) {
	near, far := net.Pipe()
	p.conns <- far
	return session.NewClient(context.Background(), near, session.ClientConfig{})
}

// dayKMS opens keys as long as its credentials are valid, it is up, and the key has not been revoked.
type dayKMS struct {
	fakeKMS
	keys    map[string][]byte
	down    bool
	revoked string
	asked   int
	late    int // asked with credentials that had ended
}

func (k *dayKMS) Unwrap(_ context.Context, r keys.Request) (*secret.Buffer, error) {
	_, valid := k.CredentialsValid()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	switch {
	case !valid:
		k.late++
		return nil, &wire.Error{Code: wire.KMSUnavailable}
	case k.down:
		return nil, &wire.Error{Code: wire.KMSUnavailable}
	case string(r.Wrapped) == k.revoked || k.keys[string(r.Wrapped)] == nil:
		return nil, &wire.Error{Code: wire.KeyDenied}
	}
	return secret.NewFrom(append([]byte(nil), k.keys[string(r.Wrapped)]...))
}

// counts is how often KMS was asked, and how often of that too late.
func (k *dayKMS) counts() (asked, late int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked, k.late
}

// day is a server in simulated time, with vaults that are read all day.
type day struct {
	t      *testing.T
	kms    *dayKMS
	cache  *keys.Cache
	server *Server
	pipes  *pipes
	client *session.Client
	bodies [][]byte
	codes  map[wire.Code]int
}

const vaults = 12

func newDay(t *testing.T) (*day, func()) {
	d := &day{t: t, kms: &dayKMS{keys: map[string][]byte{}}, pipes: newPipes(), codes: map[wire.Code]int{}}
	pool := workers.New(workers.Config{Workers: 2, Cost: engine.Costs()})
	var err error
	if d.cache, err = keys.New(context.Background(), keys.Config{MaxKeys: 64, MaxContexts: 128}, d.kms); err != nil {
		t.Fatal(err)
	}
	evaluator, err := expr.New(expr.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Config{
		Keys: d.cache, Expressions: evaluator, Workers: pool, KeyARNs: map[string]string{region: keyARN},
		MaxWaiting: 1000, MaxWaitingBytes: 64 << 20,
	})
	d.server = New(Config{
		Engine: e, Keys: d.cache, KMS: d.kms, Module: &fakeModule{}, Egress: &Egress{}, Logs: NewLogs(10, nil),
		Identity: func() Identity { return &fakeIdentity{kms: d.kms} },
		Regions:  []string{region}, MaxSessions: 8, DrainTimeout: time.Second,
	})
	d.server.health.run = func() error { return nil } // the self-test has a test of its own; 17,000 of them take a minute
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(ctx, d.pipes) }()
	d.seal()
	return d, func() {
		_ = d.client.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		d.cache.Close()
		pool.Close()
	}
}

// seal makes the vaults' keys and the bodies of requests for them.
func (d *day) seal() {
	for i := range vaults {
		k, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			d.t.Fatal(err)
		}
		id, wrapped := fmt.Sprint("v_", i), fmt.Sprint("wrapped ", i)
		if d.kms.keys[wrapped], err = x509.MarshalPKCS8PrivateKey(k); err != nil {
			d.t.Fatal(err)
		}
		spki, err := x509.MarshalPKIXPublicKey(k.PublicKey())
		if err != nil {
			d.t.Fatal(err)
		}
		pub, err := sealed.ParsePublicKey(sealed.P256, spki)
		if err != nil {
			d.t.Fatal(err)
		}
		blobs, err := sealed.SealRecord(sealed.P256, pub, id, map[string][]byte{"f": []byte("value")})
		if err != nil {
			d.t.Fatal(err)
		}
		q := wire.DecryptRequest{
			VaultID: []byte(id), Region: []byte(region), Suite: uint8(sealed.P256), Encoding: 3, WrappedKey: []byte(wrapped),
		}
		q.AddField([]byte("f"), blobs["f"])
		d.bodies = append(d.bodies, q.Append(nil))
	}
}

// renew gives the enclave credentials for an hour and a quarter.
func (d *day) renew() {
	m := wire.Credentials{
		AccessKeyID: []byte("id"), Secret: []byte("secret"), ExpiresMS: time.Now().Add(75 * time.Minute).UnixMilli(),
	}
	if err := d.client.SetCredentials(context.Background(), &m); err != nil {
		d.t.Fatal(err)
	}
}

// reconnect replaces the session, as a parent that restarts does.
func (d *day) reconnect() {
	if d.client != nil {
		_ = d.client.Close()
	}
	var err error
	if d.client, err = d.pipes.dial(); err != nil {
		d.t.Fatal(err)
	}
	d.renew()
}

// read reads every vault but one, and counts how that ends.
func (d *day) read(but int) {
	for i, body := range d.bodies {
		if i == but {
			continue
		}
		err := do(d.client, body)
		var we *wire.Error
		switch {
		case err == nil:
			d.codes[wire.OK]++
		case errors.As(err, &we):
			d.codes[we.Code]++
		default:
			d.t.Fatal(err)
		}
	}
}

// TestADayOfRotation runs a day in simulated time: credentials that change every hour, a parent that reconnects, keys
// that expire and are asked for again, an outage of KMS that most keys outlive, a key that is revoked.
func TestADayOfRotation(t *testing.T) {
	if os.Getenv(alone) == "" {
		cmd := proctest.Command(t, os.Args[0], "-test.v", "-test.run=^TestADayOfRotation$", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), alone+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	synctest.Test(t, func(t *testing.T) {
		d, end := newDay(t)
		defer end()
		d.reconnect()
		d.read(-1)
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		start := time.Now()
		for step := 2; step <= 24*60; step += 2 {
			time.Sleep(2 * time.Minute)
			if step%60 == 0 {
				d.renew()
			}
			if step%(5*60) == 0 {
				d.reconnect()
			}
			outage := step >= 420 && step < 424
			d.kms.set(func(*fakeKMS) { d.kms.down = outage })
			if step == 600 {
				d.kms.set(func(*fakeKMS) { d.kms.revoked = "wrapped 3" })
			}
			but := -1
			if step >= 600 {
				but = 3
			}
			d.read(but)
			if step == 422 { // the outage's last minute: keys that could not be refreshed and whose time is over
				if n := d.codes[wire.KMSUnavailable]; n > 3*vaults/2 {
					t.Errorf("%d of %d answers in an outage of four minutes: keys did not bridge it", n, 2*vaults)
				}
				delete(d.codes, wire.KMSUnavailable)
			}
			if step == 606 { // five minutes later at most the revoked key is gone
				if err := do(d.client, d.bodies[3]); !errors.Is(err, &wire.Error{Code: wire.KeyDenied}) {
					t.Errorf("the revoked key: %v", err)
				}
			}
		}
		if got := time.Since(start); got < 24*time.Hour {
			t.Errorf("only %v passed", got)
		}
		if len(d.codes) != 1 {
			t.Errorf("outcomes %v, want ok alone", d.codes)
		}
		synctest.Wait()
		asked, late := d.kms.counts()
		if late != 0 {
			t.Errorf("KMS was asked %d times with credentials that had ended", late)
		}
		// Each key is asked for again once per life, perhaps twice where a refresh is tried and repeated.
		if most := vaults * 24 * 60 / 5 * 5 / 2; asked > most {
			t.Errorf("KMS was asked %d times, more than %d", asked, most)
		}
		if n := runtime.NumGoroutine(); n > goroutines+8 {
			t.Errorf("%d goroutines, %d at the start", n, goroutines)
		}
		if s := d.cache.Stats(); s.Keys > vaults || s.Contexts > 128 {
			t.Errorf("cached: %d keys, %d contexts", s.Keys, s.Contexts)
		}
		t.Logf("%d requests, KMS asked %d times", d.codes[wire.OK], asked)
	})
}

// alone marks the process in which the day runs by itself. yamux keeps timers in a pool of the process; a timer of
// simulated time that a stream of another test is given from it, seconds after that test, ends the process.
const alone = "REDOUBT_TEST_ALONE"
