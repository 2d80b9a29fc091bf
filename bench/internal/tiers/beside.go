package tiers

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"time"

	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/measure"
)

// turnResult gathers the turns of one side.
type turnResult struct {
	hist    *measure.Hist
	p99     []float64
	batches int64
}

// add measures hot requests for d, beside batches when there are any.
func (r *turnResult) add(ctx context.Context, hot *httpload.Setup, d time.Duration, batch *httpload.Setup) error {
	if r.hist == nil {
		r.hist = measure.NewHist()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	if batch != nil {
		started := make(chan struct{})
		go func() { done <- r.keepBatches(ctx, batch, started) }()
		<-started
	} else {
		done <- nil
	}
	result, err := pace(ctx, hot, d)
	cancel()
	if e := <-done; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	r.hist.Merge(result.By[measure.OK])
	r.p99 = append(r.p99, result.By[measure.OK].Quantile(0.99))
	return nil
}

// keepBatches keeps one batch in work until ctx ends.
func (r *turnResult) keepBatches(ctx context.Context, s *httpload.Setup, started chan<- struct{}) error {
	l := httpload.NewLoad(s.Target, s.Source, 1, 1)
	defer l.Close()
	trip := l.Trips()[0]
	close(started)
	for ctx.Err() == nil {
		if err := trip(); err != nil {
			return err
		}
		r.batches++
	}
	return nil
}

// oneECDH is the median time of an ECDH on P-384, in microseconds.
func oneECDH() (float64, error) {
	a, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		return 0, err
	}
	h := measure.NewHist()
	for range 101 {
		began := time.Now()
		if _, err := a.ECDH(a.PublicKey()); err != nil {
			return 0, err
		}
		h.Add(time.Since(began))
	}
	return h.Quantile(0.5), nil
}

func reportBeside(alone, beside *turnResult, ecdh float64, sink *measure.Sink) error {
	httpload.Latency(sink, "http/hot/alone", alone.hist)
	httpload.Latency(sink, "http/hot/beside-batch", beside.hist)
	sink.Add(measure.Value("http/hot/beside-batch/batches", float64(beside.batches), "batches", beside.batches))
	var extra []float64
	for i := range beside.p99 {
		extra = append(extra, (beside.p99[i]-alone.p99[i])/ecdh)
	}
	sink.Add(measure.Ratio("http/hot/beside-batch/p99-more-than-alone", measure.Median(extra), beside.hist.N(), "one ECDH",
		measure.AtMost(2)).With(extra))
	return nil
}
