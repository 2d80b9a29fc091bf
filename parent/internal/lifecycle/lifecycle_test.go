package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/parent/internal/pool"
)

// fakePool remembers what it was told and says what the test wants.
type fakePool struct {
	mu     sync.Mutex
	urls   []string
	silent map[string]time.Duration // without an entry an enclave answers
}

func (p *fakePool) Set(urls []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urls = slices.Clone(urls)
	return nil
}

func (p *fakePool) Enclaves() (out []pool.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.urls {
		s := pool.Status{URL: u, Sessions: 2, Silent: p.silent[u]}
		if s.Silent > 0 {
			s.Sessions = 0
		}
		out = append(out, s)
	}
	return out
}

func (p *fakePool) now() []string { p.mu.Lock(); defer p.mu.Unlock(); return p.urls }

func (p *fakePool) hush(url string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = map[string]time.Duration{url: d}
}

type counts struct {
	mu                            sync.Mutex
	launched, launchFailed, ended int
	failed                        map[string]int
}

func (c *counts) Launched(ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.launched++
	} else {
		c.launchFailed++
	}
}
func (c *counts) Terminated() { c.mu.Lock(); defer c.mu.Unlock(); c.ended++ }
func (c *counts) CommandFailed(command string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string]int{}
	}
	c.failed[command]++
}

func manager(cli CLI, change func(*Options)) (*Manager, *fakePool, *counts, *bytes.Buffer) {
	p, c, log := &fakePool{}, &counts{}, &bytes.Buffer{}
	o := Options{
		CLI: cli, Pool: p, Image: "/images/vault.eif", CPUs: 2, MemoryMiB: 1024, Name: "enclave-vault", Port: 5050, Wanted: 1,
		Every: 10 * time.Second, Observer: c, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&o)
	}
	return New(o), p, c, log
}

func enclave(cid uint64, name string) Enclave {
	return Enclave{Name: name, ID: name + "-id", CID: cid, State: running, Flags: "NONE", Measurements: map[string]string{"PCR0": "AB01"}}
}

func TestMissingEnclaveIsStartedAndUsed(t *testing.T) {
	s := newScript(t)
	m, p, c, _ := manager(s.cli(), nil)
	if wait := m.look(context.Background()); wait != 0 {
		t.Errorf("waits %v after a start", wait)
	}
	want := []string{"run-enclave --eif-path /images/vault.eif --enclave-name enclave-vault --cpu-count 2 --memory 1024"}
	if got := s.calls(); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	if wait := m.look(context.Background()); wait != 10*time.Second {
		t.Errorf("waits %v while all is well", wait)
	}
	if got := p.now(); !slices.Equal(got, []string{"vsock://17:5050"}) {
		t.Errorf("%q", got)
	}
	if c.launched != 1 || len(s.calls()) != 1 {
		t.Errorf("%d started, %q", c.launched, s.calls())
	}
	if e := m.Enclaves(); len(e) != 1 || e[0].ProcessID != 7077 || e[0].Measurements["PCR0"] != "ab01" {
		t.Errorf("%+v", e)
	}
	if got := string(AppendJSON(nil, m.Enclaves())); !strings.Contains(got, `"EnclaveCID":17`) || !strings.HasPrefix(got, `[{"EnclaveName":"enclave-vault"`) {
		t.Errorf("%s", got)
	}
}

func TestRunningEnclaveIsAdopted(t *testing.T) {
	s := newScript(t)
	s.write("list.json", "["+described+"]")
	m, p, c, _ := manager(s.cli(), nil)
	m.look(context.Background())
	if c.launched != 0 || !slices.Equal(p.now(), []string{"vsock://17:5050"}) {
		t.Errorf("%d started, %q", c.launched, p.now())
	}
}

func TestOnlyEnclavesThatMayBeTrustedAreUsed(t *testing.T) {
	for name, change := range map[string]func(*Enclave){
		"another name":        func(e *Enclave) { e.Name = "acm-enclave" },
		"no name":             func(e *Enclave) { e.Name = "" },
		"terminating":         func(e *Enclave) { e.State = "TERMINATING" },
		"debug mode":          func(e *Enclave) { e.Flags = "DEBUG_MODE" },
		"other measurement":   func(e *Enclave) { e.Measurements = map[string]string{"PCR0": "ff"} },
		"without measurement": func(e *Enclave) { e.Measurements = nil },
		"host's cid":          func(e *Enclave) { e.CID = 2 },
		"any cid":             func(e *Enclave) { e.CID = 1<<32 - 1 },
		"impossible cid":      func(e *Enclave) { e.CID = 1 << 40 },
	} {
		s := newScript(t)
		e := enclave(20, "enclave-vault-a")
		change(&e)
		s.write("list.json", list(e, enclave(21, "enclave-vault-b")))
		m, p, _, _ := manager(s.cli(), func(o *Options) { o.Measurements = map[string]string{"PCR0": "ab01"}; o.Passive = true })
		m.look(context.Background())
		if !slices.Equal(p.now(), []string{"vsock://21:5050"}) {
			t.Errorf("%s: %q", name, p.now())
		}
	}
}

func TestPassiveManagerStartsAndEndsNothing(t *testing.T) {
	s := newScript(t)
	m, p, _, _ := manager(s.cli(), func(o *Options) { o.Passive = true })
	m.look(context.Background())
	s.write("list.json", list(enclave(20, "enclave-vault")))
	m.look(context.Background())
	p.hush("vsock://20:5050", time.Hour)
	m.look(context.Background())
	if len(s.calls()) != 0 {
		t.Errorf("%q", s.calls())
	}
}

func TestFailuresOfTheToolKeepWhatWasKnownAndSayNothingOfTheHost(t *testing.T) {
	s := newScript(t)
	s.write("list.json", list(enclave(20, "enclave-vault")))
	m, p, c, log := manager(s.cli(), nil)
	m.look(context.Background())
	for _, name := range []string{"fail-" + cmdDescribe, "list.json"} {
		s.write(name, "nonsense")
		for range 3 {
			if wait := m.look(context.Background()); wait != 10*time.Second {
				t.Errorf("waits %v", wait)
			}
		}
		if name != "list.json" {
			s.remove(name)
		}
	}
	if !slices.Equal(p.now(), []string{"vsock://20:5050"}) || c.failed[cmdDescribe] != 6 {
		t.Errorf("%q, %v", p.now(), c.failed)
	}
	if strings.Contains(log.String(), "S3NTINEL") || strings.Count(log.String(), "msg=") != 1 {
		t.Errorf("log: %s", log)
	}
	if _, err := (NitroCLI{Path: "/no/such/program"}).Describe(context.Background()); !errors.Is(err, ErrExec) {
		t.Errorf("%v", err)
	}
	s.write("list.json", "["+strings.Repeat(" ", maxOutput)+"]")
	if _, err := s.cli().Describe(context.Background()); !errors.Is(err, ErrOutput) {
		t.Errorf("endless output: %v", err)
	}
}

func TestHangingToolIsCutOff(t *testing.T) {
	s := newScript(t)
	s.write("slow-"+cmdDescribe, "")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.cli().Describe(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestWedgedEnclaveIsEndedAndReplaced(t *testing.T) {
	s := newScript(t)
	s.write("list.json", list(enclave(20, "enclave-vault")))
	m, p, c, _ := manager(s.cli(), nil)
	m.look(context.Background())
	p.hush("vsock://20:5050", WedgedAfter-time.Second)
	if wait := m.look(context.Background()); len(s.calls()) != 0 || wait != hurry {
		t.Errorf("too early: %q, waits %v", s.calls(), wait)
	}
	p.hush("vsock://20:5050", WedgedAfter)
	m.look(context.Background())
	m.look(context.Background())
	m.look(context.Background())
	want := []string{"terminate-enclave --enclave-id enclave-vault-id", "run-enclave --eif-path /images/vault.eif --enclave-name enclave-vault --cpu-count 2 --memory 1024"}
	if got := s.calls(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if c.ended != 1 || !slices.Equal(p.now(), []string{"vsock://17:5050"}) {
		t.Errorf("%d ended, %q", c.ended, p.now())
	}
}

func TestSecondEnclaveGetsANameOfItsOwn(t *testing.T) {
	for want, ours := range map[string][]Enclave{
		"v":   nil,
		"v-2": {{Name: "v"}},
		"v-3": {{Name: "v-2"}, {Name: "v"}},
	} {
		if got := freeName("v", ours); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// unit is a host in simulated time: enclaves that are started live for a while.
type unit struct {
	mu    sync.Mutex
	next  uint64
	alive map[uint64]time.Time // CID to its end
	life  time.Duration
	slow  time.Duration
	fail  bool
	runs  []time.Time
}

func (u *unit) Describe(context.Context) (out []Enclave, _ error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for cid, end := range u.alive {
		if time.Now().Before(end) {
			out = append(out, enclave(cid, "enclave-vault"))
		}
	}
	return out, nil
}

func (u *unit) Run(ctx context.Context, _ RunSpec) error {
	u.mu.Lock()
	u.runs = append(u.runs, time.Now())
	fail, slow := u.fail, u.slow
	u.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(slow):
	}
	if fail {
		return ErrFailed
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next++
	u.alive[15+u.next] = time.Now().Add(u.life)
	return nil
}

func (*unit) Terminate(context.Context, string) error { return nil }

func (u *unit) started() int { u.mu.Lock(); defer u.mu.Unlock(); return len(u.runs) }

func simulate(t *testing.T, u *unit, wanted int) *Manager {
	t.Helper()
	u.alive = map[uint64]time.Time{}
	m, _, _, _ := manager(u, func(o *Options) { o.Wanted = wanted })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

func TestCrashLoopIsNoLaunchStorm(t *testing.T) {
	for name, u := range map[string]*unit{
		"dies after 3 s": {life: 3 * time.Second}, "dies at once": {}, "does not start": {fail: true},
		"takes long to fail": {fail: true, slow: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			simulate(t, u, 2)
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := u.started(); n < 12 || n > 22 {
				t.Errorf("%s: %d starts in an hour", name, n)
			}
			u.mu.Lock()
			defer u.mu.Unlock()
			for i := 3; i < len(u.runs); i++ {
				if gap := u.runs[i].Sub(u.runs[i-1]); gap < firstGap {
					t.Errorf("%s: start %d came after %v", name, i, gap)
				}
			}
		})
	}
}

func TestEnclaveThatDiesAfterADayIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unit{life: 24 * time.Hour, slow: 5 * time.Second}
		m := simulate(t, u, 2)
		time.Sleep(time.Minute)
		if u.started() != 2 || len(m.Enclaves()) != 2 {
			t.Fatalf("%d started", u.started())
		}
		time.Sleep(24*time.Hour - time.Minute)
		if u.started() != 2 {
			t.Errorf("%d started in a day", u.started())
		}
		time.Sleep(30 * time.Second)
		if u.started() != 4 || len(m.Enclaves()) != 2 {
			t.Errorf("%d started, %d there", u.started(), len(m.Enclaves()))
		}
	})
}

func TestRecoversWhenStartsSucceedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unit{life: 24 * time.Hour, fail: true}
		m := simulate(t, u, 1)
		time.Sleep(20 * time.Minute)
		u.mu.Lock()
		u.fail = false
		u.mu.Unlock()
		time.Sleep(lastGap + 10*time.Second)
		if len(m.Enclaves()) != 1 {
			t.Error("not recovered")
		}
	})
}
