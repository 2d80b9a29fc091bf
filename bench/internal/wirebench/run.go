package wirebench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"redoubt/bench/internal/measure"
)

// Options of Run.
type Options struct {
	InFlight []int
	Rounds   int           // turns of each mode; odd numbers have a true median
	Turn     time.Duration // length of one turn
}

// total is what the turns of one mode came to.
type total struct {
	rates          []float64
	hist           *measure.Hist
	client, server measure.Usage
}

// Run measures all modes and gives the lines to sink.
func Run(ctx context.Context, o Options, sink *measure.Sink) (err error) {
	all, stop, err := rigs(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, n := range o.InFlight {
		sink.Progress("wire: %d in flight, %d turns of %v of each of %d ways", n, o.Rounds, o.Turn, len(all))
		totals, err := inTurns(ctx, all, n, &o)
		if err != nil {
			return err
		}
		for _, mode := range Modes() {
			report(sink, mode, n, totals[mode])
		}
		ratios(sink, n, totals)
		sink.Table(fmt.Sprintf("wire: round trips of %d bytes each way, two processes, unix socket, %d in flight", Body, n))
	}
	return nil
}

func inTurns(ctx context.Context, all []*rig, inFlight int, o *Options) (map[string]*total, error) {
	totals := make(map[string]*total)
	trips := make(map[string][]measure.Trip)
	for _, r := range all {
		totals[r.mode] = &total{hist: measure.NewHist()}
		for range inFlight {
			trips[r.mode] = append(trips[r.mode], r.caller())
		}
		if _, err := measure.ClosedFor(trips[r.mode], o.Turn/4); err != nil { // warm up
			return nil, fmt.Errorf("%s: %w", r.mode, err)
		}
	}
	for range o.Rounds {
		for _, r := range all {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err := turn(r, trips[r.mode], o.Turn, totals[r.mode]); err != nil {
				return nil, fmt.Errorf("%s: %w", r.mode, err)
			}
		}
	}
	return totals, nil
}

func turn(r *rig, trips []measure.Trip, d time.Duration, t *total) error {
	serverBefore, err := r.server.Usage()
	if err != nil {
		return err
	}
	before, err := measure.OwnUsage()
	if err != nil {
		return err
	}
	run, err := measure.ClosedFor(trips, d)
	if err != nil {
		return err
	}
	after, err := measure.OwnUsage()
	if err != nil {
		return err
	}
	serverAfter, err := r.server.Usage()
	if err != nil {
		return err
	}
	t.rates = append(t.rates, run.Rate())
	t.hist.Merge(run.Hist)
	t.client.CPU += after.Sub(before).CPU
	t.client.Mallocs += after.Sub(before).Mallocs
	t.server.CPU += serverAfter.Sub(serverBefore).CPU
	t.server.Mallocs += serverAfter.Sub(serverBefore).Mallocs
	return nil
}

func report(sink *measure.Sink, mode string, inFlight int, t *total) {
	n := t.hist.N()
	at := func(what string) string { return fmt.Sprintf("wire/%s/%d/%s", mode, inFlight, what) }
	sink.Add(measure.Value(at("rate"), measure.Median(t.rates), "req/s", n).With(t.rates))
	p50 := measure.Value(at("p50"), t.hist.Quantile(0.5), "us", n)
	p50.Curve = t.hist.Curve()
	sink.Add(p50)
	sink.Add(measure.Value(at("p99"), t.hist.Quantile(0.99), "us", n))
	sink.Add(measure.Value(at("p99.9"), t.hist.Quantile(0.999), "us", n))
	each := func(v float64) float64 { return v / float64(n) }
	sink.Add(measure.Value(at("cpu-client"), each(float64(t.client.CPU.Nanoseconds())/1000), "us/req", n))
	sink.Add(measure.Value(at("cpu-server"), each(float64(t.server.CPU.Nanoseconds())/1000), "us/req", n))
	sink.Add(measure.Value(at("allocs-client"), each(float64(t.client.Mallocs)), "allocs/req", n))
	sink.Add(measure.Value(at("allocs-server"), each(float64(t.server.Mallocs)), "allocs/req", n))
}

// The design's targets hold at this number in flight.
const targetInFlight = 128

func ratios(sink *measure.Sink, inFlight int, totals map[string]*total) {
	ours := totals[Ours]
	for _, c := range []struct {
		against string
		target  *measure.Target
	}{{Bare, measure.AtLeast(0.6)}, {Stream, measure.AtLeast(12)}, {Conn, nil}} {
		if inFlight != targetInFlight {
			c.target = nil
		}
		other := totals[c.against]
		var each []float64
		for i := range ours.rates {
			each = append(each, ours.rates[i]/other.rates[i])
		}
		name := fmt.Sprintf("wire/ours-of-%s/%d/rate", c.against, inFlight)
		sink.Add(measure.Ratio(name, measure.Median(each), ours.hist.N(), c.against, c.target).With(each))
	}
}
