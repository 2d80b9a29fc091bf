package server

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return c
}

func TestTheHelloSaysWhoTheEnclaveIs(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Session.Hello.EnclaveID = []byte("i-test")
		c.Session.Hello.PCRs = []wire.PCR{{Index: 0, Value: bytes.Repeat([]byte{1}, 48)}}
	})
	p := w.dial().Peer()
	if string(p.BuildID) != "test" || string(p.EnclaveID) != "i-test" || len(p.PCRs) != 1 || p.MaxInFlight == 0 {
		t.Errorf("hello %+v", p)
	}
}

func TestCredentialsReachKMSAndShowInTheHealth(t *testing.T) {
	renewed := make(chan struct{}, 10)
	w := newWorld(t, func(c *Config) { c.Renew = func() { renewed <- struct{}{} } })
	c := w.dial()
	pong, err := c.Ping(ctx(t))
	if err != nil || pong.Health.Has(wire.HealthCredentials) || pong.Health.Has(wire.HealthKMS) {
		t.Fatalf("health %b before credentials, error %v", pong.Health, err)
	}
	m := wire.Credentials{
		AccessKeyID: []byte("id"), Secret: []byte("secret"), Token: []byte("token"),
		ExpiresMS: time.Now().Add(time.Hour).UnixMilli(),
	}
	if err := c.SetCredentials(ctx(t), &m); err != nil {
		t.Fatal(err)
	}
	<-renewed
	w.kms.mu.Lock()
	got := w.kms.creds
	w.kms.mu.Unlock()
	if string(got.SecretAccessKey) != "secret" || got.Expiry.IsZero() {
		t.Error("the credentials are not those that were sent")
	}
	eventually(t, "readiness", func() bool {
		pong, err := c.Ping(ctx(t))
		return err == nil && pong.Health.Has(wire.HealthReady|wire.HealthKMS)
	})
	w.kms.set(func(f *fakeKMS) { f.creds.Expiry = time.Now().Add(-time.Second) })
	if pong, err := c.Ping(ctx(t)); err != nil || pong.Health.Has(wire.HealthCredentials) {
		t.Errorf("health %b with expired credentials, error %v", pong.Health, err)
	}
}

func TestRefusedCredentialsAreAnErrorOfTheParent(t *testing.T) {
	w := newWorld(t)
	w.kms.refuse = errors.New("no")
	m := wire.Credentials{AccessKeyID: []byte("id"), Secret: []byte("secret")}
	if err := w.dial().SetCredentials(ctx(t), &m); !errors.Is(err, &wire.Error{Code: wire.BadRequest}) {
		t.Errorf("error %v", err)
	}
}

func TestAPurgeForgetsKeysAndTellsTheRest(t *testing.T) {
	forgot := make(chan struct{}, 10)
	w := newWorld(t, func(c *Config) { c.Forget = func() { forgot <- struct{}{} } })
	c := w.dial()
	body := w.request()
	if err := do(c, body); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Purge(ctx(t), &wire.Purge{VaultID: []byte("v_other")}); err != nil || p.Keys != 0 {
		t.Errorf("another vault: %+v, %v", p, err)
	}
	if p, err := c.Purge(ctx(t), &wire.Purge{VaultID: []byte("v_1")}); err != nil || p.Keys != 1 {
		t.Errorf("the vault: %+v, %v", p, err)
	}
	if err := do(c, body); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Purge(ctx(t), &wire.Purge{}); err != nil || p.Keys != 1 {
		t.Errorf("all: %+v, %v", p, err)
	}
	if len(forgot) != 1 {
		t.Errorf("told %d times of a purge of all", len(forgot))
	}
	if s := w.cache.Stats(); s.Keys != 0 || s.Contexts != 0 {
		t.Errorf("left: %d keys, %d contexts", s.Keys, s.Contexts)
	}
}

func TestADocumentForACallerHasTheNonceTheCommitmentAndNoKey(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	doc, err := c.Attest(ctx(t), []byte("a nonce of a caller"), nil)
	if err != nil || string(doc) != "commitment|a nonce of a caller|" {
		t.Errorf("document %q, error %v", doc, err)
	}
	w.module.mu.Lock()
	defer w.module.mu.Unlock()
	for _, k := range w.module.keys {
		if k != nil {
			t.Error("a document with a public key was made for a caller")
		}
	}
}

func TestAFailingModuleIsATypedError(t *testing.T) {
	w := newWorld(t)
	w.module.err = errors.New("broken")
	if _, err := w.dial().Attest(ctx(t), []byte("12345678"), nil); !errors.Is(err, &wire.Error{Code: wire.Internal}) {
		t.Errorf("error %v", err)
	}
}

func TestDocumentsAreRationed(t *testing.T) {
	w := newWorld(t)
	if limit := w.server.attests.Limit(); limit != attestsPerSecond {
		t.Errorf("%v documents a second", limit)
	}
	w.server.attests.SetLimit(0) // however long the machine takes, no second brings more
	c := w.dial()
	made := 0
	for range 2 * attestsPerSecond {
		_, err := c.Attest(ctx(t), []byte("12345678"), nil)
		if err == nil {
			made++
		} else if !errors.Is(err, &wire.Error{Code: wire.Overloaded}) {
			t.Fatal(err)
		}
	}
	if made != attestsPerSecond {
		t.Errorf("%d documents at once, want %d", made, attestsPerSecond)
	}
}

func TestStatisticsAreComplete(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Gauges = func(m *wire.Stats) { m.Add(wire.StatKMSOK, 7) }
	})
	c := w.dial()
	if err := do(c, w.request()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Purge(ctx(t), &wire.Purge{}); err != nil {
		t.Fatal(err)
	}
	var m wire.Stats
	seen := map[wire.Stage]uint64{}
	eventually(t, "the whole request, part of which is observed after its answer", func() bool {
		m = wire.Stats{}
		if err := c.Stats(ctx(t), &m); err != nil {
			t.Fatal(err)
		}
		clear(seen)
		for _, h := range m.Histograms {
			for _, n := range h.Counts {
				seen[h.Stage] += n
			}
		}
		inFlight, _ := m.Value(wire.StatGaugeInFlight)
		return seen[wire.StageTotal] > 0 && inFlight == 0
	})
	for id, want := range map[wire.StatID]int64{
		wire.StatRequests: 1, wire.StatFieldsOpened: 1, wire.StatKeyMisses: 1, wire.StatPurges: 1, wire.StatKMSOK: 7,
		wire.StatGaugeSessions: 1, wire.StatGaugeInFlight: 0, wire.StatPanics: 0,
	} {
		if got, ok := m.Value(id); !ok || got != want {
			t.Errorf("%v is %d (%t), want %d", id, got, ok, want)
		}
	}
	if heap, _ := m.Value(wire.StatGaugeHeapBytes); heap == 0 {
		t.Error("no heap")
	}
	for _, stage := range []wire.Stage{wire.StageQueue, wire.StageKey, wire.StageOpen, wire.StageEncode, wire.StageTotal} {
		if seen[stage] != 1 {
			t.Errorf("stage %v was observed %d times", stage, seen[stage])
		}
	}
}

func TestLogsAreStaticTextsAndNumbersAndBounded(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var got []string
	w.dial(func(c *session.ClientConfig) {
		c.OnLog = func(m *wire.Log) {
			mu.Lock()
			defer mu.Unlock()
			line := string(m.Text)
			for _, n := range m.Numbers {
				line += " " + string(n.Key)
			}
			got = append(got, line)
		}
	})
	eventually(t, "the session", func() bool { return w.server.Sessions() == 1 })
	l := w.logs.Logger()
	number := "4111111111111111"
	l.Warn("something", "count", 3, "secret", number, "error", errors.New(number), "took", time.Second)
	eventually(t, "the entry", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) > 0 })
	mu.Lock()
	if got[0] != "something count took_ms" {
		t.Errorf("entry %q", got[0])
	}
	mu.Unlock()
	for range 10_000 {
		l.Info("flood")
	}
	if w.logs.Dropped() < 5000 {
		t.Errorf("%d dropped of a flood of 10,000", w.logs.Dropped())
	}
}

func TestTheConsoleGetsNoMoreThanTheParents(t *testing.T) {
	var console bytes.Buffer
	l := NewLogs(10, &console)
	l.Logger().With("a", 1, "b", "text").WithGroup("g").Error("entry", "c", true, "d", uint64(2))
	if s := console.String(); !strings.Contains(s, `"level":"ERROR","msg":"entry","a":1,"c":1,"d":2}`) || strings.Contains(s, "text") {
		t.Errorf("console %q", s)
	}
	l.Logger().Debug("hidden")
	if strings.Contains(console.String(), "hidden") {
		t.Error("debug entries are shown")
	}
}
