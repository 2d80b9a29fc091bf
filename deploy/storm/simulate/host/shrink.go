package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// explain shrinks a finding's plan, and prints how to run it again.
func (m *machine) explain(ctx context.Context, o *outcome) {
	again, err := m.run(ctx, startOf(o.Plan), false)
	if err != nil {
		fmt.Println("the finding cannot be run again:", err)
		return
	}
	fmt.Printf("seed %d: %d findings, trace %s, again %s\n", o.Plan.Seed, len(o.Findings), o.Trace, again.Trace)
	small, runs := m.shrink(ctx, o)
	data, err := json.Marshal(small.Plan)
	if err != nil {
		panic(err)
	}
	fmt.Printf("shrunk from %d events to %d in %d runs. To run it again, in a file PLAN:\n%s\n", len(o.Plan.Events),
		len(small.Plan.Events), runs, data)
	for _, f := range small.Findings {
		fmt.Printf("%6d ms %s: %.500s\n", f.AtMS, f.Invariant, f.Text)
	}
}

// maxShrinking bounds the runs of shrinking a plan.
const maxShrinking = 120

// shrink leaves out events as long as the first invariant that did not hold still does not (Zeller and Hildebrandt,
// Simplifying and Isolating Failure-Inducing Input, 2002).
func (m *machine) shrink(ctx context.Context, o *outcome) (smallest *outcome, runs int) {
	smallest = o
	fails := func(events []json.RawMessage) bool {
		if runs == maxShrinking {
			return false
		}
		runs++
		p := plan{Seed: o.Plan.Seed, Workload: o.Plan.Workload, Events: events}
		got, err := m.run(ctx, startOf(p), false)
		if err != nil || len(got.Findings) == 0 || got.Findings[0].Invariant != o.Findings[0].Invariant {
			return false
		}
		smallest = got
		return true
	}
	events := minimal(o.Plan.Events, fails)
	smallest.Plan.Events = events
	return smallest, runs
}

// minimal returns the shortest list that it finds for which fails holds, by leaving out ever smaller parts of it.
func minimal[E any](list []E, fails func([]E) bool) []E {
	for part := (len(list) + 1) / 2; part >= 1; {
		removed := false
		for from := 0; from < len(list); {
			to := min(from+part, len(list))
			rest := append(append([]E{}, list[:from]...), list[to:]...)
			if fails(rest) {
				list, removed = rest, true
				continue
			}
			from = to
		}
		if part == 1 && !removed {
			break
		}
		if part > 1 {
			part = (part + 1) / 2
		}
	}
	return list
}
