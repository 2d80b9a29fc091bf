package tiers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/measure"
)

// hotSetup is hot requests of one field, vaults chosen by a Zipf distribution.
func hotSetup(b *Stack, c *corpus.Corpus, name string) (*httpload.Setup, error) {
	t, err := b.Target()
	if err != nil {
		return nil, err
	}
	s, err := httpload.NewSource(t, c, httpload.MixOptions{Mix: httpload.Hot, Fields: 1, Zipf: 1.1})
	if err != nil {
		return nil, err
	}
	l := httpload.NewLoad(t, s, 8, 1)
	defer l.Close()
	return &httpload.Setup{Target: t, Source: s, Name: name, Seed: 1, CPU: b.CPU}, l.Warm()
}

// tail finds the peak of hot requests and measures an open loop at 70 % of it.
func tail(ctx context.Context, b *Stack, c *corpus.Corpus, o *Options, sink *measure.Sink) error {
	s, err := hotSetup(b, c, "http/hot")
	if err != nil {
		return err
	}
	peak, err := httpload.Peak(ctx, s, 5*o.Turn, sink)
	if err != nil {
		return err
	}
	s.Name = "http/hot/open-70"
	r, err := httpload.Open(ctx, s, httpload.OpenOptions{Rate: 0.7 * peak, Callers: 512, Duration: o.Duration}, sink)
	if err != nil {
		return err
	}
	h := r.By[measure.OK]
	l := measure.Ratio("http/hot/open-70/p99-of-p50", h.Quantile(0.99)/h.Quantile(0.5), h.N(), "p50", measure.AtMost(5))
	if r.Late.Quantile(0.5) > h.Quantile(0.5)/2 {
		l.Note = "the rate was not kept up: half of this latency was spent waiting to be sent"
		*l.Holds = false
	}
	sink.Add(l)
	return nil
}

// allocations counts heap objects per hot request in the parent. The enclave's are counted by its engine's own test.
func allocations(ctx context.Context, b *Stack, c *corpus.Corpus, o *Options, sink *measure.Sink) error {
	s, err := hotSetup(b, c, "http/hot")
	if err != nil {
		return err
	}
	for _, inFlight := range []int{1, 64} {
		l := httpload.NewLoad(s.Target, s.Source, inFlight, 1)
		defer l.Close()
		if _, err := l.Closed(ctx, o.Turn); err != nil { // warm up
			return err
		}
		before, err := b.Metrics(ctx)
		if err != nil {
			return err
		}
		r, err := l.ClosedCount(ctx, 20_000)
		if err != nil {
			return err
		}
		after, err := b.Metrics(ctx)
		if err != nil {
			return err
		}
		const metric = "go_memstats_mallocs_total"
		n := (after[metric] - before[metric]) / float64(r.N)
		name := fmt.Sprintf("http/hot/%d/allocs-parent", inFlight)
		sink.Add(measure.Value(name, n, "allocs/req", r.N).Held(measure.AtMost(2)))
	}
	return nil
}

// coldRecords are more than the small context cache of coldConfig holds: a context is gone when its turn comes again.
var coldRecords = corpus.Options{Vaults: 16, Fields: 1, Writes: 250, Encoding: 2}

var coldConfig = map[string]any{"cache": map[string]any{"contexts": 512}}

// pinned are the rows of cold load, with an enclave that has a CPU of its own.
func pinnedRows(ctx context.Context, o *Options, sink *measure.Sink) (err error) {
	sink.Progress("targets: starting a local stack whose enclave has a CPU of its own")
	b, err := StartStack(ctx, StackOptions{Bin: o.Bin, EnclaveConfig: coldConfig, PinEnclave: true})
	if errors.Is(err, ErrPin) {
		sink.Progress("targets: not measured: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	sink.Progress("targets: sealing %d cold writes", coldRecords.Vaults*coldRecords.Writes)
	c, err := b.Corpus(ctx, coldRecords, nil)
	if err != nil {
		return err
	}
	return errors.Join(beside(ctx, b, c, o, sink), overload(ctx, b, c, o, sink))
}

func mixSetup(b *Stack, c *corpus.Corpus, name string, o httpload.MixOptions) (*httpload.Setup, error) {
	t, err := b.Target()
	if err != nil {
		return nil, err
	}
	s, err := httpload.NewSource(t, c, o)
	return &httpload.Setup{Target: t, Source: s, Name: name, Seed: 1, CPU: b.CPU}, err
}

// overload finds the peak of cold requests and offers three times that.
func overload(ctx context.Context, b *Stack, c *corpus.Corpus, o *Options, sink *measure.Sink) error {
	s, err := mixSetup(b, c, "http/cold", httpload.MixOptions{Mix: httpload.ColdContext, Fields: 1})
	if err != nil {
		return err
	}
	peak, err := httpload.Peak(ctx, s, 5*o.Turn, sink)
	if err != nil {
		return err
	}
	s.Name = "http/cold/overload-3x"
	return httpload.Overload(ctx, s, peak, 3, o.Duration, sink)
}

// beside measures hot requests alone and while a batch of 1,000 cold fields is worked on, in turns.
func beside(ctx context.Context, b *Stack, c *corpus.Corpus, o *Options, sink *measure.Sink) error {
	part := *c
	part.Vaults = c.Vaults[:1]
	hot, err := mixSetup(b, &part, "http/hot", httpload.MixOptions{Mix: httpload.Hot, Fields: 1})
	if err != nil {
		return err
	}
	batch, err := mixSetup(b, c, "http/batch", httpload.MixOptions{
		Mix: httpload.Batch, Fields: 1, Items: 1000, ColdBatch: true,
	})
	if err != nil {
		return err
	}
	var alone, beside turnResult
	for range max(3, o.Rounds/2) {
		if err := alone.add(ctx, hot, o.Turn*2, nil); err != nil {
			return err
		}
		if err := beside.add(ctx, hot, o.Turn*2, batch); err != nil {
			return err
		}
	}
	ecdh, err := oneECDH()
	if err != nil {
		return err
	}
	return reportBeside(&alone, &beside, ecdh, sink)
}

// pace of the hot requests beside a batch: one caller, so that their own queue does not show.
func pace(ctx context.Context, s *httpload.Setup, d time.Duration) (*measure.OpenRun, error) {
	l := httpload.NewLoad(s.Target, s.Source, 16, 1)
	defer l.Close()
	return l.Open(ctx, measure.OpenOptions{Schedule: measure.Schedule{Rate: 200, Seed: 1}, Duration: d})
}
