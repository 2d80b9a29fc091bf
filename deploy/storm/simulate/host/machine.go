package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// epoch is when every run begins, in nanoseconds since 1970.
const epoch = 1_764_370_000_000_000_000

// Limits of a run, in the host's time. A run that takes longer goes round without sleeping. It is ended when it next
// looks at the clock; one that never looks ends the program. (A runtime that can stop the guest anywhere asks at every
// loop whether it should: that takes as long as all else that a run does.)
const (
	limit = 2 * time.Minute
	grace = time.Minute
)

// machine runs the guest: a program whose random numbers, clock and sleep are its host's.
type machine struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

// newMachine compiles the guest, or takes it from the cache.
func newMachine(ctx context.Context, code []byte, cache string) (*machine, error) {
	kept, err := wazero.NewCompilationCacheWithDir(cache)
	if err != nil {
		return nil, err
	}
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(kept))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		return nil, err
	}
	jump := func(ctx context.Context, ns int64) { clockOf(ctx).jumped += ns }
	if _, err := rt.NewHostModuleBuilder("redoubt").NewFunctionBuilder().WithFunc(jump).Export("jump").
		Instantiate(ctx); err != nil {
		return nil, err
	}
	module, err := rt.CompileModule(ctx, code)
	if err != nil {
		return nil, err
	}
	return &machine{rt, module}, nil
}

// clock is a run's time. Each look takes 100 ns, so that a program that waits for time to pass sees it pass.
type clock struct {
	now    int64 // nanoseconds since 1970, without jumps
	jumped int64
	looks  uint
	end    time.Time // of the host's patience
}

// look is the time at which the guest looks at the clock. It ends a run that takes too long.
func (c *clock) look() int64 {
	c.now += 100
	if c.looks++; c.looks%4096 == 0 && time.Now().After(c.end) {
		panic(sys.NewExitError(exitLate)) // so wazero ends a guest
	}
	return c.now
}

// exitLate is the status of a run that took too long. No guest has it of its own.
const exitLate = 0x7a7e

type clockKey struct{}

func clockOf(ctx context.Context) *clock {
	c, ok := ctx.Value(clockKey{}).(*clock)
	if !ok {
		panic("a run without a clock")
	}
	return c
}

// outcome is what a run prints. Its names are those of the guest's Result.
type outcome struct {
	Plan     plan           `json:"plan"`
	Findings []finding      `json:"findings"`
	Kinds    map[string]int `json:"kinds"`
	Answers  map[string]int `json:"answers"`
	Moved    []string       `json:"moved"`
	Trace    string         `json:"trace"`
	TookMS   int64          `json:"took_ms"`

	log []byte
}

type finding struct {
	Invariant string `json:"invariant"`
	Text      string `json:"text"`
	AtMS      int64  `json:"at_ms"`
}

// plan is a run's plan. The host leaves events out, and looks into none.
type plan struct {
	Seed     uint64            `json:"seed"`
	Workload string            `json:"workload"`
	Events   []json.RawMessage `json:"events"`
}

// A start says what is run: a seed of a workload (of that whose turn it is, without one), or a plan.
type start struct {
	workload string
	seed     uint64
	plan     *plan
}

// String is the guest's argument.
func (s start) String() string {
	switch {
	case s.plan != nil:
		data, err := json.Marshal(s.plan)
		if err != nil {
			panic(err)
		}
		return string(data)
	case s.workload != "":
		return s.workload + ":" + strconv.FormatUint(s.seed, 10)
	}
	return strconv.FormatUint(s.seed, 10)
}

func startOf(p plan) start { return start{p.Workload, p.Seed, &p} }

// run makes one run. The same start gives the same outcome, for one build of the guest.
func (m *machine) run(ctx context.Context, asked start, withLog bool) (*outcome, error) {
	root, err := os.MkdirTemp("", "redoubt-simulate-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(root) }()
	for _, dir := range []string{"state", "dev", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(root, os.DevNull), nil, 0o600); err != nil {
		return nil, err
	}
	c := &clock{now: epoch, end: time.Now().Add(limit)}
	var out, log bytes.Buffer
	config := wazero.NewModuleConfig().WithName("").WithStdout(&out).WithStderr(&log).WithArgs("guest", asked.String()).
		WithFSConfig(wazero.NewFSConfig().WithDirMount(root, "/")).
		WithRandSource(rand.New(rand.NewSource(int64(asked.seed)))).
		WithWalltime(func() (int64, int32) {
			at := c.look() + c.jumped
			return at / 1e9, int32(at % 1e9)
		}, sys.ClockResolution(1)).
		WithNanotime(c.look, sys.ClockResolution(1)).
		WithNanosleep(func(ns int64) { c.now += ns }).WithOsyield(func() {}).
		WithEnv("GOGC", "400") // memory is cheaper than time
	if withLog {
		config = config.WithEnv("SIMULATE_LOG", "1")
	}
	watchdog := time.AfterFunc(limit+grace, func() {
		fmt.Printf("seed %d (%s): process: it neither sleeps nor looks at the clock\n", asked.seed,
			cmp.Or(asked.workload, "any"))
		os.Exit(1)
	})
	defer watchdog.Stop()
	_, err = m.runtime.InstantiateModule(context.WithValue(ctx, clockKey{}, c), m.module, config)
	var exit *sys.ExitError
	switch {
	case !errors.As(err, &exit):
	case exit.ExitCode() == 0:
		err = nil
	case exit.ExitCode() == exitLate:
		err = fmt.Errorf("it goes round without sleeping: %v of the host's time, %v of its own", limit,
			time.Duration(c.now-epoch))
	}
	o := &outcome{log: log.Bytes(), Plan: plan{Seed: asked.seed, Workload: asked.workload}}
	if asked.plan != nil {
		o.Plan = *asked.plan
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), o)
	}
	if err != nil { // a guest that dies, or does not end, is a finding like another
		o.Findings = []finding{{Invariant: "process", Text: fmt.Sprintf("%v\n%.4000s", err, log.String())}}
	}
	return o, nil
}
