// Package soak sends many requests through a local stack and shows whether memory, goroutines and descriptors stay
// flat.
//
// Each tenth of the run, the parent's and the enclave's resident memory, goroutines and descriptors are read. What is
// compared is the median of the last third of these readings with that of the third before it: the first third is for
// caches, pools and the garbage collector to find their size.
package soak

import (
	"context"
	"errors"
	"fmt"

	"redoubt/bench/internal/bed"
	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/hist"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/loadrun"
	"redoubt/bench/internal/out"
)

// Options of Run.
type Options struct {
	Bin      string
	Requests int64
	InFlight int
}

// readings is how many a run takes.
const readings = 30

// Growth that still counts as flat.
const (
	maxMemory     = 4 // MiB; a leak of 13 bytes for each of a million requests
	maxGoroutines = 8
	maxFiles      = 4
)

// series are the readings of one tier.
type series struct{ memory, goroutines, files []float64 }

// Run soaks a local stack of its own.
func Run(ctx context.Context, o Options, sink *out.Sink) (err error) {
	if o.Requests < readings {
		return fmt.Errorf("soak: at least %d requests are needed", readings)
	}
	b, err := bed.Start(ctx, bed.Options{Bin: o.Bin})
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

func soak(ctx context.Context, b *bed.Bed, l *httpload.Load, o *Options, sink *out.Sink) error {
	tiers := map[string]*series{bed.Parent: {}, bed.Enclave: {}}
	all := hist.New()
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
	loadrun.Latency(sink, "soak", all)
	for _, tier := range []string{bed.Parent, bed.Enclave} {
		tiers[tier].report(sink, tier, all.N())
	}
	return nil
}

func read(ctx context.Context, b *bed.Bed, tiers map[string]*series) error {
	metrics, err := b.Metrics(ctx)
	if err != nil {
		return err
	}
	for tier, metric := range map[string]string{
		bed.Parent: "go_goroutines", bed.Enclave: "redoubt_enclave_goroutines",
	} {
		p, err := b.Process(tier)
		if err != nil {
			return err
		}
		goroutines, ok := bed.Sum(metrics, metric)
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
	return hist.Median(readings[n/3 : 2*n/3]), hist.Median(readings[2*n/3:])
}

func (s *series) report(sink *out.Sink, tier string, n int64) {
	middle, last := thirds(s.memory)
	name := "soak/" + tier
	sink.Add(out.Value(name+"/memory", last, "MiB", n).With(s.memory))
	sink.Add(out.Value(name+"/memory-growth", last-middle, "MiB", n).Held(out.AtMost(maxMemory)))
	middle, last = thirds(s.goroutines)
	sink.Add(out.Value(name+"/goroutines-growth", last-middle, "goroutines", n).Held(out.AtMost(maxGoroutines)))
	middle, last = thirds(s.files)
	sink.Add(out.Value(name+"/descriptors-growth", last-middle, "descriptors", n).Held(out.AtMost(maxFiles)))
}
