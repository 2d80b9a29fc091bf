package httpload

import (
	"context"
	"fmt"
	"time"

	"redoubt/bench/internal/measure"
)

// Setup is what a measurement's callers are made of.
type Setup struct {
	Target *Target
	Source *Source
	Name   string // of the lines, before their last part
	Seed   uint64
	// CPU is the CPU time that each process of the measured has taken, by name; nil: not known.
	CPU func() (map[string]time.Duration, error)
}

func (s *Setup) load(callers int) *Load {
	return NewLoad(s.Target, s.Source, callers, s.Seed)
}

// Latency gives the lines of a distribution.
func Latency(sink *measure.Sink, name string, h *measure.Hist) {
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}} {
		l := measure.Value(name+"/"+q.name, h.Quantile(q.at), "us", h.N())
		if q.name == "p50" {
			l.Curve = h.Curve()
		}
		sink.Add(l)
	}
	if h.N() > 0 {
		sink.Add(measure.Value(name+"/max", h.Max(), "us", h.N()))
	}
}

// Closed runs a closed loop in slices, and returns the median of their rates. Only what was answered counts; the part
// that was refused has a line of its own.
func Closed(ctx context.Context, s *Setup, inFlight int, d time.Duration, sink *measure.Sink) (float64, error) {
	l := s.load(inFlight)
	defer l.Close()
	if _, err := l.Closed(ctx, d/10); err != nil { // warm up
		return 0, err
	}
	const slices = 5
	all, rates, refused := measure.NewHist(), []float64(nil), int64(0)
	spent := watchCPU(s)
	for range slices {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		r, err := l.Closed(ctx, d/slices)
		if err != nil {
			return 0, err
		}
		all.Merge(r.Hist)
		refused += r.Refused
		rates = append(rates, r.Rate())
	}
	name := fmt.Sprintf("%s/closed-%d", s.Name, inFlight)
	rate := measure.Median(rates)
	sink.Add(measure.Value(name+"/rate", rate, "req/s", all.N()).With(rates))
	Latency(sink, name, all)
	if refused > 0 {
		sink.Add(measure.Value(name+"/refused", float64(refused)/float64(refused+all.N()), "part", refused))
	}
	spent(sink, name, all.N())
	return rate, nil
}

// Peak is the highest rate that closed loops of growing numbers of callers reach.
func Peak(ctx context.Context, s *Setup, d time.Duration, sink *measure.Sink) (float64, error) {
	var peak float64
	for _, n := range []int{8, 16, 32, 64, 128, 256} {
		sink.Progress("%s: closed loop, %d in flight, %v", s.Name, n, d)
		rate, err := Closed(ctx, s, n, d, sink)
		if err != nil {
			return 0, err
		}
		if rate < 0.9*peak {
			break
		}
		peak = max(peak, rate)
	}
	if peak == 0 {
		return 0, fmt.Errorf("%s: every request was refused", s.Name)
	}
	sink.Add(measure.Value(s.Name+"/peak", peak, "req/s", 0))
	return peak, nil
}

// OpenOptions of Open.
type OpenOptions struct {
	Rate     float64
	Callers  int
	Duration time.Duration
	Even     bool
}

// Open runs an open loop and gives its lines.
func Open(ctx context.Context, s *Setup, o OpenOptions, sink *measure.Sink) (*measure.OpenRun, error) {
	l := s.load(o.Callers)
	defer l.Close()
	sink.Progress("%s: open loop, %.0f requests a second for %v", s.Name, o.Rate, o.Duration)
	stolen, spent := watchStolen(), watchCPU(s)
	r, err := l.Open(ctx, measure.OpenOptions{
		Schedule: measure.Schedule{Rate: o.Rate, Even: o.Even, Seed: s.Seed}, Duration: o.Duration,
	})
	if err != nil {
		return nil, err
	}
	sink.Add(measure.Value(s.Name+"/offered", float64(r.Offered)/o.Duration.Seconds(), "req/s", r.Offered))
	sink.Add(measure.Value(s.Name+"/rate", r.Rate(measure.OK), "req/s", r.By[measure.OK].N()))
	Latency(sink, s.Name, r.By[measure.OK])
	sink.Add(measure.Value(s.Name+"/late-p50", r.Late.Quantile(0.5), "us", r.Late.N()))
	stolen(sink, s.Name)
	spent(sink, s.Name, r.Offered)
	if n := r.By[measure.Refused].N() + r.By[measure.Expired].N(); n > 0 {
		sink.Add(measure.Value(s.Name+"/refused", float64(n)/float64(r.Offered), "part", n))
		Latency(sink, s.Name+"/refused", r.By[measure.Refused])
	}
	return r, nil
}

// Overload offers factor times the peak and reports the result: goodput in relation to the peak, and how fast the
// rest was refused.
func Overload(ctx context.Context, s *Setup, peak, factor float64, d time.Duration, sink *measure.Sink) error {
	o := OpenOptions{Rate: peak * factor, Callers: OverloadCallers, Duration: d}
	r, err := Open(ctx, s, o, sink)
	if err != nil {
		return err
	}
	good := r.By[measure.OK].N()
	sink.Add(measure.Ratio(s.Name+"/goodput", r.Rate(measure.OK)/peak, good, "peak", measure.AtLeast(0.9)))
	rest := r.By[measure.Refused]
	sink.Add(measure.Value(s.Name+"/refused-within", rest.Quantile(0.99), "us", rest.N()).Held(measure.AtMost(5000)))
	return nil
}

// OverloadCallers is how many requests may be in flight under overload.
const OverloadCallers = 1500
