package tiers

import (
	"context"
	"errors"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/measure"
	"redoubt/wire/kit/sealed"
)

// The design wants these to fit into an enclave of 512 MiB.
const (
	wantKeys     = 200_000
	wantContexts = 500_000
	enclaveMiB   = 512

	few = 1000 // of the other kind: the bounds of both must fit
)

// memory measures what a cached key and a cached context take of an enclave's resident memory, and what as many as are
// wanted would: the growth from a first part of the entries to all of them, so that what the process takes anyway does
// not count twice. A context takes as much whatever the suite; P-256 makes them sooner.
func memoryRows(ctx context.Context, o *Options, sink *measure.Sink) error {
	each := func(n int) corpus.Options {
		return corpus.Options{Vaults: n, Fields: 1, Writes: 1, Suite: sealed.P256}
	}
	contexts := corpus.Options{Vaults: 20, Fields: 100, Writes: 50, Suite: sealed.P256, Encoding: 2}
	return errors.Join(
		grow(ctx, o, each(6000), httpload.MixOptions{Mix: httpload.ColdKey, Fields: 1}, "keys", wantKeys, sink),
		grow(ctx, o, contexts, httpload.MixOptions{Mix: httpload.ColdContext, Fields: 100}, "contexts", wantContexts, sink),
	)
}

func grow(ctx context.Context, o *Options, co corpus.Options, mix httpload.MixOptions, what string, want float64,
	sink *measure.Sink,
) (err error) {
	bounds := [2]int{wantKeys, few}
	if what == "contexts" {
		bounds = [2]int{few, wantContexts}
	}
	b, err := StartStack(ctx, StackOptions{Bin: o.Bin, EnclaveConfig: map[string]any{
		"cache": map[string]any{"keys": bounds[0], "contexts": bounds[1]},
		// All bounds together must fit, and here a cache must have all of enclaveMiB. So the rest comes on top.
		"memory":   map[string]any{"limit_mib": enclaveMiB + 128},
		"work":     map[string]any{"workers": 2, "queue_mib": 8},
		"sessions": map[string]any{"max": 2, "memory_mib": 4},
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	sink.Progress("memory: making records for %s", what)
	c, err := b.Corpus(ctx, co, nil)
	if err != nil {
		return err
	}
	s, err := mixSetup(b, c, "memory", mix)
	if err != nil {
		return err
	}
	l := httpload.NewLoad(s.Target, s.Source, 2, 1) // few: requests of 100 fields are much work to wait for
	defer l.Close()
	read := func() (entries, rss float64, err error) {
		m, err := b.Metrics(ctx)
		if err != nil {
			return 0, 0, err
		}
		p, err := b.Process(Enclave)
		entries, _ = Sum(m, "redoubt_enclave_cached_"+what)
		return entries, float64(p.RSS), err
	}
	total := int64(s.Source.Len())
	var at [2][2]float64
	for i, n := range []int64{total / 6, total - total/6} {
		sink.Progress("memory: %d requests that fill the cache of %s", n, what)
		if _, err := l.ClosedCount(ctx, n); err != nil {
			return err
		}
		if at[i][0], at[i][1], err = read(); err != nil {
			return err
		}
	}
	entries := at[1][0] - at[0][0]
	perEntry := (at[1][1] - at[0][1]) / entries
	sink.Add(measure.Value("memory/"+what+"/each", perEntry, "bytes", int64(entries)))
	l1 := measure.Value("memory/"+what+"/enclave", (at[0][1]+perEntry*(want-at[0][0]))/(1<<20), "MiB", int64(entries))
	l1.Note = "resident memory with as many as are wanted, from the growth measured"
	sink.Add(l1.Held(measure.AtMost(enclaveMiB)))
	return nil
}
