package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type runCmd struct {
	common

	Seeds    int           `help:"How many seeds." default:"100"`
	From     uint64        `help:"The first." default:"1"`
	Workload string        `help:"The workload of all seeds; without it, each takes the next one."`
	Kept     string        `help:"Runs the seeds of this file first: a workload and a seed a line." type:"existingfile"`
	Workers  int           `help:"How many at a time; 0: one for each CPU."`
	Within   time.Duration `help:"Begin no seed after that time; 0: no limit."`
	Keep     bool          `help:"Go on after a finding."`
	Bare     bool          `help:"Only look for findings: no second run that must be the same, no shrinking, no demand on kinds."`
}

// totals are what the seeds of one call showed.
type totals struct {
	seeds   int
	kinds   map[string]int
	answers map[string]int
	moved   map[string]bool
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
	fmt.Printf("%s\n%d seeds in %.1f s, each %.2f s of CPU\n", version(cmd.Dir), t.seeds, took.Seconds(),
		cpu.Seconds()/float64(max(t.seeds, 1)))
	show("kinds", t.kinds)
	show("answers", t.answers)
	if cmd.Bare {
		return t.verdict()
	}
	if err := cmd.repeats(ctx, m); err != nil {
		return err
	}
	for _, o := range t.found {
		m.explain(ctx, o)
	}
	if cmd.Workload == "" && len(t.found) == 0 {
		if err := t.complete(cmd.Dir); err != nil {
			return err
		}
	}
	return t.verdict()
}

func (t *totals) verdict() error {
	if len(t.found) > 0 {
		return errFindings
	}
	return nil
}

// enough is the number of seeds among which every kind of fault and request must have happened.
const enough = 70

// complete reports kinds that never happened, and metrics of failures that never moved though no test is known to move
// them: what a set of seeds does not do it cannot find.
func (t *totals) complete(dir string) error {
	never, err := t.unmoved(dir)
	if err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		if t.kinds[kind] == 0 {
			never = append(never, kind)
		}
	}
	switch {
	case len(never) == 0:
		fmt.Println("every kind of fault and of request happened, and every metric of a failure moved, here or in its test")
		return nil
	case t.seeds < enough:
		fmt.Printf("in so few seeds these never happened: %s\n", strings.Join(never, ", "))
		return nil
	}
	return fmt.Errorf("%w: %s", errNever, strings.Join(never, ", "))
}

var errNever = errors.New("never happened, so that nothing is shown of it")

// repeats runs the first seed twice more: what is not exact could not be replayed.
func (cmd *runCmd) repeats(ctx context.Context, m *machine) error {
	first := start{workload: cmd.Workload, seed: cmd.From}
	a, err := m.run(ctx, first, false)
	if err != nil {
		return err
	}
	b, err := m.run(ctx, first, false)
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
	t := &totals{kinds: map[string]int{}, answers: map[string]int{}, moved: map[string]bool{}}
	starts, err := cmd.starts()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	next, began := 0, time.Now()
	take := func() (s start, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		late := cmd.Within > 0 && time.Since(began) > cmd.Within
		if ctx.Err() != nil || failed != nil || late || next == len(starts) || len(t.found) > 0 && !cmd.Keep {
			return start{}, false
		}
		next++
		return starts[next-1], true
	}
	for range cmd.Workers {
		wg.Go(func() {
			for s, ok := take(); ok; s, ok = take() {
				o, err := m.run(ctx, s, false)
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

// starts are the seeds that are kept, and then as many as are asked for.
func (cmd *runCmd) starts() (all []start, err error) {
	if cmd.Kept != "" {
		text, err := os.ReadFile(cmd.Kept)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			if len(fields) != 2 {
				return nil, fmt.Errorf("%w: %q", errKept, line)
			}
			seed, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%w: %q", errKept, line)
			}
			all = append(all, start{workload: fields[0], seed: seed})
		}
	}
	for i := range cmd.Seeds {
		all = append(all, start{workload: cmd.Workload, seed: cmd.From + uint64(i)})
	}
	return all, nil
}

var errKept = errors.New("a line of the kept seeds is not a workload and a seed")

func (t *totals) add(o *outcome) {
	t.seeds++
	for k, n := range o.Kinds {
		t.kinds[k] += n
	}
	for _, m := range o.Moved {
		t.moved[m] = true
	}
	for k, n := range o.Answers {
		t.answers[k] += n
	}
	if len(o.Findings) > 0 {
		t.found = append(t.found, o)
		var kinds []string
		for _, f := range o.Findings {
			if !slices.Contains(kinds, f.Invariant) {
				kinds = append(kinds, f.Invariant)
			}
		}
		fmt.Printf("seed %d (%s): %s: %.300s\n", o.Plan.Seed, o.Plan.Workload, strings.Join(kinds, ", "), o.Findings[0].Text)
	}
}
