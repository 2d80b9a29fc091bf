package enclaved

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/nsm"
	"redoubt/wire"
	"redoubt/wire/kit/attest"
	"redoubt/wire/session"
	"redoubt/wire/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const region = "us-east-1"

// module is a security module that makes no real documents: the KMS of these tests is out of reach anyway.
type module struct{ nsm.Module }

func (module) Attest(userData, nonce, publicKey []byte) ([]byte, error) {
	return bytes.Join([][]byte{userData, nonce, publicKey}, nil), nil
}

func (module) Describe() (nsm.Description, error) { return nsm.Description{ModuleID: "i-test"}, nil }

func (module) PCR(i int) (attest.Measurement, bool, error) {
	return attest.Measurement{byte(i)}, true, nil
}
func (module) Random(p []byte) error { clear(p); return nil }

func testConfig(t *testing.T) *config.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := config.Parse([]byte("listen: unix://" + filepath.Join(dir, "s") + `
keys: {us-east-1: arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000}
memory: {allow_unlocked: true}
hmac_key: AAECAwQFBgcICQ==
drain_timeout: 2s
`))
	if err != nil {
		t.Fatal(err)
	}
	Tune(c)
	return c
}

// lines collects what goes to the console.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// dial opens a session once the enclave listens.
func dial(t *testing.T, url string) *session.Client {
	t.Helper()
	d, err := transport.NewDialer(url)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		conn, err := d.Dial(t.Context())
		if err != nil {
			continue
		}
		c, err := session.NewClient(t.Context(), conn, session.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Fatal("the enclave does not listen")
	return nil
}

func TestTheAssembledEnclaveServesAndEndsInOrder(t *testing.T) {
	cfg := testConfig(t)
	var console lines
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg, Environment{Module: module{}, Build: "test", Console: &console}) }()
	c := dial(t, cfg.Listen)
	if p := c.Peer(); string(p.EnclaveID) != "i-test" || len(p.PCRs) != 5 || string(p.BuildID) != "test" {
		t.Errorf("hello %+v", p)
	}
	if c.Features() != wire.AllFeatures() {
		t.Errorf("the session has %s", c.Features())
	}
	pong, err := c.Ping(t.Context())
	if err != nil || !pong.Health.Has(wire.HealthSelfTest|wire.HealthAccepting) ||
		pong.Health.Has(wire.HealthCredentials) {
		t.Errorf("health %b, error %v", pong.Health, err)
	}
	doc, err := c.Attest(t.Context(), []byte("12345678"), nil)
	if err != nil || !bytes.HasPrefix(doc, cfg.Commitment(nil)) {
		t.Errorf("document %q, error %v", doc, err)
	}
	q := wire.DecryptRequest{
		VaultID: []byte("v_1"), Region: []byte(region), Suite: 1, Encoding: 3, WrappedKey: []byte("w"),
	}
	call := c.NewCall()
	call.Deadline = time.Now().Add(2 * time.Second)
	call.Body = q.Append(call.Body)
	if err := c.Do(t.Context(), call); err == nil {
		t.Error("a key without credentials")
	}
	call.Release()
	var stats wire.Stats
	if err := c.Stats(t.Context(), &stats); err != nil {
		t.Error(err)
	}
	if n, ok := stats.Value(wire.StatRequests); !ok || n != 1 {
		t.Errorf("%d requests counted", n)
	}
	stop()
	if err := c.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := console.String(); !strings.Contains(s, `"msg":"serving"`) || !strings.Contains(s, `"msg":"draining"`) {
		t.Errorf("console %q", s)
	}
	if _, err := os.Stat(strings.TrimPrefix(cfg.Listen, "unix://")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestAnEnclaveThatCannotBeAssembledDoesNotStart(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"no trust root":          func(c *config.Config) { c.KMS.CAFile = "/nonexistent/ca.pem" },
		"no address":             func(c *config.Config) { c.Listen = "unix:///nonexistent/folder/s" },
		"no memory for sessions": func(c *config.Config) { c.Memory.LimitMiB, c.Sessions.Max = 384, 1024 },
		"no memory":              func(c *config.Config) { c.Memory.LimitMiB, c.Cache.Keys = 64, 1_000_000 },
		"no such key":            func(c *config.Config) { c.Keys = map[string]string{region: "alias/x"} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			change(cfg)
			ctx, stop := context.WithTimeout(t.Context(), time.Minute) // for one that does start
			defer stop()
			if err := Run(ctx, cfg, Environment{Module: module{}, Console: io.Discard}); err == nil {
				t.Error("it started")
			}
		})
	}
}

func TestTheDefaultsFitIntoTheSmallestEnclave(t *testing.T) {
	cfg := testConfig(t)
	cfg.Memory.LimitMiB = 512 / 4 * 3 // what is taken of an enclave of 512 MiB
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := Run(ctx, cfg, Environment{Module: module{}, Console: io.Discard}); err != nil {
		t.Error(err)
	}
}

// TestBoundsThatDoNotFitTheMemoryAreRefusedByName: the defaults fit an enclave of 512 MiB, and each bound counts.
func TestBoundsThatDoNotFitTheMemoryAreRefusedByName(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"":                    func(*config.Config) {},
		"cache.keys":          func(c *config.Config) { c.Cache.Keys *= 3 },
		"cache.contexts":      func(c *config.Config) { c.Cache.Contexts *= 4 },
		"work.queue_mib":      func(c *config.Config) { c.Work.QueueMiB *= 4 },
		"sessions.max":        func(c *config.Config) { c.Sessions.Max *= 8 },
		"sessions.memory_mib": func(c *config.Config) { c.Sessions.MemoryMiB *= 8 },
	} {
		cfg := testConfig(t)
		cfg.Work.Workers = 2
		cfg.Memory.LimitMiB = 480 / 4 * 3 // of 512 MiB, what the kernel leaves
		change(cfg)
		ctx, stop := context.WithCancel(t.Context())
		stop() // one that starts ends at once
		err := Run(ctx, cfg, Environment{Module: module{}, Console: io.Discard})
		if name == "" && err != nil {
			t.Errorf("the defaults: %v", err)
		}
		if name != "" && (!errors.Is(err, errMemory) || !strings.Contains(err.Error(), name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
