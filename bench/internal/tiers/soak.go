package tiers

import (
	"context"
	"errors"
	"fmt"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/measure"
)

// SoakOptions are those of Soak.
type SoakOptions struct {
	Bin      string
	Requests int64
	InFlight int
}

// readings is how many a run takes.
const readings = 30

// judged is the number of requests from which a run fails by its growth. Caches and pools of a shorter one still find
// their size.
const judged = 100_000

// Growth that still counts as flat.
const (
	maxMemory     = 4 // MiB; a leak of 13 bytes for each of a million requests
	maxGoroutines = 8
	maxFiles      = 4
)

// series are the readings of one tier.
type series struct{ memory, goroutines, files []float64 }

// Soak sends many requests through a local stack of its own and shows whether memory, goroutines and descriptors stay
// flat.
//
// In each thirtieth of the run, the parent's and the enclave's resident memory, goroutines and descriptors are read.
// The median of the last third of these readings is compared with that of the third before it. In the first third,
// caches, pools and the garbage collector find their size.
func Soak(ctx context.Context, o SoakOptions, sink *measure.Sink) (err error) {
	if o.Requests < readings {
		return fmt.Errorf("soak: at least %d requests are needed", readings)
	}
	b, err := StartStack(ctx, StackOptions{Bin: o.Bin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	c, err := b.Corpus(ctx, corpus.Options{Vaults: 200, Fields: 2, Writes: 1}, nil)
	if err != nil {
		return err
	}
	t, err := b.Target()
	if err != nil {
		return err
	}
	s, err := httpload.NewSource(t, c, httpload.MixOptions{Mix: httpload.WithCEL, Fields: 2, Zipf: 1.1})
	if err != nil {
		return err
	}
	l := httpload.NewLoad(t, s, o.InFlight, 1)
	defer l.Close()
	if err := l.Warm(); err != nil {
		return err
	}
	return soak(ctx, b, l, &o, sink)
}

func soak(ctx context.Context, b *Stack, l *httpload.Load, o *SoakOptions, sink *measure.Sink) error {
	tiers := map[string]*series{Parent: {}, Enclave: {}}
	all := measure.NewHist()
	for i := range readings {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := l.ClosedCount(ctx, o.Requests/readings)
		if err != nil {
			return err
		}
		all.Merge(r.Hist)
		if err := read(ctx, b, tiers); err != nil {
			return err
		}
		if i%3 == 2 {
			sink.Progress("soak: %d of %d requests, %.0f a second", all.N(), o.Requests, r.Rate())
		}
	}
	httpload.Latency(sink, "soak", all)
	for _, tier := range []string{Parent, Enclave} {
		tiers[tier].report(sink, tier, all.N())
	}
	if o.Requests < judged {
		return nil
	}
	return missed(sink)
}

func read(ctx context.Context, b *Stack, tiers map[string]*series) error {
	metrics, err := b.Metrics(ctx)
	if err != nil {
		return err
	}
	for tier, metric := range map[string]string{
		Parent: "go_goroutines", Enclave: "redoubt_enclave_goroutines",
	} {
		p, err := b.Process(tier)
		if err != nil {
			return err
		}
		goroutines, ok := Sum(metrics, metric)
		if !ok {
			return errors.New("soak: no metric " + metric)
		}
		s := tiers[tier]
		s.memory = append(s.memory, float64(p.RSS)/(1<<20))
		s.goroutines = append(s.goroutines, goroutines)
		s.files = append(s.files, float64(p.Files))
	}
	return nil
}

// thirds are the medians of the middle and the last third.
func thirds(readings []float64) (middle, last float64) {
	n := len(readings)
	return measure.Median(readings[n/3 : 2*n/3]), measure.Median(readings[2*n/3:])
}

func (s *series) report(sink *measure.Sink, tier string, n int64) {
	middle, last := thirds(s.memory)
	name := "soak/" + tier
	sink.Add(measure.Value(name+"/memory", last, "MiB", n).With(s.memory))
	sink.Add(measure.Value(name+"/memory-growth", last-middle, "MiB", n).Held(measure.AtMost(maxMemory)))
	middle, last = thirds(s.goroutines)
	sink.Add(measure.Value(name+"/goroutines-growth", last-middle, "goroutines", n).Held(measure.AtMost(maxGoroutines)))
	middle, last = thirds(s.files)
	sink.Add(measure.Value(name+"/descriptors-growth", last-middle, "descriptors", n).Held(measure.AtMost(maxFiles)))
}
