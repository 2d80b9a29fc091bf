package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"redoubt/parent/internal/pool"
)

// Pool is told where the enclaves are, and knows how they are doing.
type Pool interface {
	Set(urls []string) error
	Enclaves() []pool.Status
}

// Observer is told of the manager's actions.
type Observer interface {
	Launched(ok bool)
	Terminated()
	CommandFailed(command string)
}

// Options of a Manager. Pool, CLI, Observer and Log MUST NOT be nil.
type Options struct {
	CLI  CLI
	Pool Pool
	// Image, CPUs and MemoryMiB of the enclaves that are started.
	Image           string
	CPUs, MemoryMiB int
	// Name is the beginning of our enclaves' names.
	Name string
	// Measurements that an enclave must have to be used, PCR name to hex. If empty, any will do.
	Measurements map[string]string
	// Port that enclaves listen on.
	Port uint32
	// Wanted is how many enclaves should run.
	Wanted int
	// Passive managers use what runs, but neither start nor end anything.
	Passive bool
	// Every is the time between two rounds while all is well.
	Every    time.Duration
	Observer Observer
	Log      *slog.Logger
}

// The pace of the manager.
const (
	// hurry is the time between two rounds while an enclave is missing.
	hurry = time.Second
	// WedgedAfter is how long an enclave may leave pings unanswered. It covers the boot of a large enclave.
	WedgedAfter = 2 * time.Minute
	// lasting is how long all enclaves must have run before the pace falls back.
	lasting = 2 * time.Minute
	// firstGap and lastGap bound the time between two starts.
	firstGap = 5 * time.Second
	lastGap  = 5 * time.Minute
	// reapGap is the least time between two terminations. It doubles to lastGap as they follow one another.
	reapGap = 30 * time.Second
)

// Manager keeps the enclaves of this host running. Make one with New.
type Manager struct {
	o           Options
	pace, reaps pace // for starts and for terminations; only Run uses them

	mu      sync.Mutex
	list    []Enclave // our enclaves, as last described
	failing bool
	strange int // enclaves of ours that cannot be used, as last logged
}

// New makes a manager; Run starts it.
func New(o Options) *Manager {
	return &Manager{o: o, pace: pace{burst: o.Wanted, first: firstGap}, reaps: pace{burst: 1, first: reapGap}}
}

// Enclaves are our enclaves as last described, whatever their state.
func (m *Manager) Enclaves() []Enclave {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// Run looks after the enclaves until ctx ends. It leaves them running then, and the next parent adopts them.
func (m *Manager) Run(ctx context.Context) {
	for {
		wait := m.look(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// look does one round and returns the time until the next.
func (m *Manager) look(ctx context.Context) time.Duration {
	all, err := m.o.CLI.Describe(ctx)
	if err != nil {
		m.failed(ctx, cmdDescribe, err)
		return m.o.Every
	}
	m.recovered()
	ours := slices.DeleteFunc(all, func(e Enclave) bool { return !e.ours(m.o.Name) })
	slices.SortFunc(ours, func(a, b Enclave) int { return int(int64(a.CID) - int64(b.CID)) })
	var usable []Enclave
	var urls []string
	for _, e := range ours {
		if e.usable(m.o.Name, m.o.Measurements) {
			usable = append(usable, e)
			urls = append(urls, m.url(e))
		}
	}
	m.remember(ours, len(usable))
	if err := m.o.Pool.Set(urls); err != nil {
		m.o.Log.Error("cannot use enclaves", slog.String("cause", err.Error()))
	}
	if m.o.Passive {
		return m.o.Every
	}
	if m.launch(ctx, ours, len(usable)) || m.reap(ctx, ours) {
		return 0
	}
	if len(usable) < m.o.Wanted || m.silent() {
		return min(hurry, m.o.Every)
	}
	return m.o.Every
}

func (m *Manager) url(e Enclave) string {
	return "vsock://" + strconv.FormatUint(e.CID, 10) + ":" + strconv.FormatUint(uint64(m.o.Port), 10)
}

func (m *Manager) remember(ours []Enclave, usable int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = ours
	if strange := len(ours) - usable; strange != m.strange {
		m.strange = strange
		if strange > 0 {
			m.o.Log.Warn("enclaves of ours cannot be used: not running, in debug mode, or other measurements",
				slog.Int("count", strange))
		}
	}
}

// launch starts one enclave if one is missing and the pace allows it. It reports whether it did. An unfit enclave
// takes a place until it is ended. Otherwise the wrong image would be started until the host is full.
func (m *Manager) launch(ctx context.Context, ours []Enclave, usable int) bool {
	now := time.Now()
	starting, unfit := 0, 0
	for _, e := range ours {
		switch {
		case e.unfit(m.o.Name, m.o.Measurements):
			unfit++
		case e.State != running && e.State != "TERMINATING":
			starting++
		}
	}
	if usable+starting >= m.o.Wanted {
		m.pace.well(now)
		return false
	}
	if usable+starting+unfit >= m.o.Wanted {
		m.pace.ill()
		return false
	}
	if !m.pace.take(now) {
		return false
	}
	spec := RunSpec{
		Image: m.o.Image, Name: freeName(m.o.Name, ours), CPUs: m.o.CPUs, MemoryMiB: m.o.MemoryMiB,
	}
	err := m.o.CLI.Run(ctx, spec)
	m.o.Observer.Launched(err == nil)
	if err != nil {
		m.failed(ctx, cmdRun, err)
		return false
	}
	m.o.Log.Info("enclave started", slog.String("name", spec.Name))
	return true
}

// freeName is prefix, or prefix and a number: the first name that none of the enclaves has.
func freeName(prefix string, ours []Enclave) string {
	name := prefix
	for n := 2; slices.ContainsFunc(ours, func(e Enclave) bool { return e.Name == name }); n++ {
		name = prefix + "-" + strconv.Itoa(n)
	}
	return name
}

// silent reports whether an enclave has no session at present.
func (m *Manager) silent() bool {
	return slices.ContainsFunc(m.o.Pool.Enclaves(), func(s pool.Status) bool { return s.Sessions == 0 })
}

func (m *Manager) failed(ctx context.Context, command string, err error) {
	if ctx.Err() != nil {
		return
	}
	m.o.Observer.CommandFailed(command)
	m.mu.Lock()
	defer m.mu.Unlock()
	if command == cmdDescribe && m.failing {
		return // logged already
	}
	m.failing = m.failing || command == cmdDescribe
	m.o.Log.Warn("nitro-cli failed", slog.String("command", command), slog.String("cause", cause(err)))
}

func (m *Manager) recovered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing = false
}

func cause(err error) string {
	for _, known := range []error{ErrExec, ErrFailed, ErrOutput, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "unknown"
}
