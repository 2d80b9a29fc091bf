package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

type runCmd struct {
	common

	Seeds   int           `help:"How many seeds." default:"100"`
	From    uint64        `help:"The first." default:"1"`
	Workers int           `help:"How many at a time; 0: one for each CPU."`
	Within  time.Duration `help:"Begin no seed after that time; 0: no limit."`
	Keep    bool          `help:"Go on after a finding."`
}

// totals are what the seeds of one call showed.
type totals struct {
	seeds   int
	counts  map[string]int
	answers map[string]int
	found   []*outcome
}

// Run runs seeds until one has a finding, which it shrinks.
func (cmd *runCmd) Run(ctx context.Context) error {
	m, err := cmd.machine(ctx)
	if err != nil {
		return err
	}
	began, before := time.Now(), spent()
	t, err := cmd.seeds(ctx, m)
	if err != nil {
		return err
	}
	took, cpu := time.Since(began), spent()-before
	if err := cmd.repeats(ctx, m); err != nil {
		return err
	}
	fmt.Printf("%s\n%d seeds in %.1f s, each %.2f s of CPU\n", version(cmd.Dir), t.seeds, took.Seconds(),
		cpu.Seconds()/float64(max(t.seeds, 1)))
	show("faults", t.counts)
	show("answers", t.answers)
	for _, o := range t.found {
		m.explain(ctx, o)
	}
	if len(t.found) > 0 {
		return errFindings
	}
	return nil
}

// repeats runs the first seed twice more: what is not exact could not be replayed.
func (cmd *runCmd) repeats(ctx context.Context, m *machine) error {
	a, err := m.run(ctx, cmd.From, nil, false)
	if err != nil {
		return err
	}
	b, err := m.run(ctx, cmd.From, nil, false)
	if err != nil {
		return err
	}
	if a.Trace == "" || a.Trace != b.Trace {
		return fmt.Errorf("seed %d does not repeat: trace %q, then %q", cmd.From, a.Trace, b.Trace)
	}
	fmt.Printf("seed %d repeats: trace %s\n", cmd.From, a.Trace)
	return nil
}

func show(what string, counts map[string]int) {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", name, counts[name]))
	}
	fmt.Printf("%s: %s\n", what, strings.Join(all, ", "))
}

// seeds runs them side by side. Each is a process of its own, so their order changes none.
func (cmd *runCmd) seeds(ctx context.Context, m *machine) (*totals, error) {
	if cmd.Workers == 0 {
		cmd.Workers = runtime.GOMAXPROCS(0)
	}
	t := &totals{counts: map[string]int{}, answers: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	next, began := cmd.From, time.Now()
	take := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		late := cmd.Within > 0 && time.Since(began) > cmd.Within
		if ctx.Err() != nil || failed != nil || late || next >= cmd.From+uint64(cmd.Seeds) || len(t.found) > 0 && !cmd.Keep {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range cmd.Workers {
		wg.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				o, err := m.run(ctx, seed, nil, false)
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					t.add(o)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return t, failed
}

func (t *totals) add(o *outcome) {
	t.seeds++
	for k, n := range o.Counts {
		t.counts[k] += n
	}
	for k, n := range o.Answers {
		t.answers[k] += n
	}
	if len(o.Findings) > 0 {
		t.found = append(t.found, o)
		f := o.Findings[0]
		fmt.Printf("seed %d (%s): %s: %.300s\n", o.Plan.Seed, o.Plan.Workload, f.Invariant, f.Text)
	}
}
