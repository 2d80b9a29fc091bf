package targets

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"time"

	"redoubt/bench/internal/hist"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/loadrun"
	"redoubt/bench/internal/open"
	"redoubt/bench/internal/out"
)

// turnResult gathers the turns of one side.
type turnResult struct {
	hist    *hist.Hist
	p99     []float64
	batches int64
}

// add measures hot requests for d, beside batches when there are any.
func (r *turnResult) add(hot *loadrun.Setup, d time.Duration, batch *loadrun.Setup) error {
	if r.hist == nil {
		r.hist = hist.New()
	}
	ctx, cancel := context.WithCancel(context.Background())
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
	r.hist.Merge(result.By[open.OK])
	r.p99 = append(r.p99, result.By[open.OK].Quantile(0.99))
	return nil
}

// keepBatches keeps one batch in work until ctx ends.
func (r *turnResult) keepBatches(ctx context.Context, s *loadrun.Setup, started chan<- struct{}) error {
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
	h := hist.New()
	for range 101 {
		began := time.Now()
		if _, err := a.ECDH(a.PublicKey()); err != nil {
			return 0, err
		}
		h.Add(time.Since(began))
	}
	return h.Quantile(0.5), nil
}

func reportBeside(alone, beside *turnResult, ecdh float64, sink *out.Sink) error {
	loadrun.Latency(sink, "http/hot/alone", alone.hist)
	loadrun.Latency(sink, "http/hot/beside-batch", beside.hist)
	sink.Add(out.Value("http/hot/beside-batch/batches", float64(beside.batches), "batches", beside.batches))
	var extra []float64
	for i := range beside.p99 {
		extra = append(extra, (beside.p99[i]-alone.p99[i])/ecdh)
	}
	sink.Add(out.Ratio("http/hot/beside-batch/p99-more-than-alone", hist.Median(extra), beside.hist.N(), "one ECDH",
		out.AtMost(2)).With(extra))
	return nil
}
