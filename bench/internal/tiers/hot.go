package tiers

import (
	"context"
	"encoding/base64"
	"errors"
	"path/filepath"
	"time"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/measure"
)

// hotRecords is a corpus of which everything can be cached.
var hotRecords = corpus.Options{Vaults: 64, Fields: 10, Writes: 1}

// way is one of the servers that answer the same requests.
type way struct {
	name  string
	load  *httpload.Load
	rates []float64
	hist  *measure.Hist
}

// hotSource makes the requests of one field for an address; vaults limits the records.
func hotSource(address string, c *corpus.Corpus, vaults int) (*httpload.Target, *httpload.Source, error) {
	e, err := httpload.NewEndpoint("http://"+address, nil)
	if err != nil {
		return nil, nil, err
	}
	t := &httpload.Target{Endpoint: e}
	part := *c
	part.Vaults = c.Vaults[:vaults]
	s, err := httpload.NewSource(t, &part, httpload.MixOptions{Mix: httpload.Hot, Fields: 1})
	return t, s, err
}

func newWay(name, address string, c *corpus.Corpus, vaults, callers int) (*way, error) {
	t, s, err := hotSource(address, c, vaults)
	if err != nil {
		return nil, err
	}
	w := &way{name: name, load: httpload.NewLoad(t, s, callers, 1), hist: measure.NewHist()}
	return w, w.load.Warm()
}

// static measures a hot request at one in flight, compared with a fasthttp server that answers the same bytes itself,
// and with the least that two processes take for that.
func static(ctx context.Context, b *Stack, c *corpus.Corpus, o *Options, sink *measure.Sink) error {
	t, s, err := hotSource(b.Addresses.Parent, c, 1)
	if err != nil {
		return err
	}
	body, err := httpload.Fetch(t, s)
	if err != nil {
		return err
	}
	f := &floors{ctx: ctx, body: body}
	defer f.end()
	addresses := []string{b.Addresses.Parent, f.static(), f.relay()}
	if f.err != nil {
		return f.err
	}
	var ways []*way
	for i, name := range []string{"hot", "fasthttp", "relay"} {
		w, err := newWay(name, addresses[i], c, 1, 1)
		if err != nil {
			return err
		}
		defer w.load.Close()
		ways = append(ways, w)
	}
	var ofStatic, ofRelay []float64
	for range o.Rounds {
		h, err := turns(ctx, ways, o.Turn)
		if err != nil {
			return err
		}
		for i, w := range ways {
			w.hist.Merge(h[i])
		}
		p50 := h[0].Quantile(0.5)
		ofStatic = append(ofStatic, p50/h[1].Quantile(0.5))
		ofRelay = append(ofRelay, p50/h[2].Quantile(0.5))
	}
	for _, w := range ways {
		sink.Add(measure.Value("http/"+w.name+"/1/p50", w.hist.Quantile(0.5), "us", w.hist.N()))
		sink.Add(measure.Value("http/"+w.name+"/1/p99", w.hist.Quantile(0.99), "us", w.hist.N()))
	}
	n := ways[0].hist.N()
	sink.Add(measure.Ratio("http/hot-of-fasthttp/1/p50", measure.Median(ofStatic), n, "fasthttp alone",
		measure.AtMost(2.5)).With(ofStatic))
	sink.Add(measure.Ratio("http/hot-of-relay/1/p50", measure.Median(ofRelay), n,
		"fasthttp that has a second process answer", nil).With(ofRelay))
	return nil
}

// floors starts servers that do the least. The first error is kept, and later calls do nothing.
type floors struct {
	ctx  context.Context //nolint:containedctx // of one measurement
	body []byte
	ends []func()
	err  error
}

func (f *floors) start(role string, config any) (address string) {
	if f.err != nil {
		return ""
	}
	server, err := measure.StartChild(f.ctx, role, config, &address)
	if f.err = err; err == nil {
		f.ends = append(f.ends, func() { _ = server.Close() }) // it is only told to end
	}
	return address
}

func (f *floors) static() string {
	return f.start(staticRole, staticConfig{Body: f.body})
}

func (f *floors) relay() string {
	dir, remove, err := socketFolder()
	if f.err = errors.Join(f.err, err); f.err != nil {
		return ""
	}
	f.ends = append(f.ends, func() { _ = remove() })
	socket := filepath.Join(dir, "answerer")
	f.start(answererRole, answererConfig{Socket: socket, Body: f.body})
	return f.start(relayRole, relayConfig{Socket: socket})
}

// end ends what was started, the latest first.
func (f *floors) end() {
	for i := len(f.ends) - 1; i >= 0; i-- {
		f.ends[i]()
	}
}

// inTurn is the number of requests of one of the ways before the next's.
const inTurn = 20

// turns drives ways, of one caller each, in short turns for d.
func turns(ctx context.Context, ways []*way, d time.Duration) (h []*measure.Hist, err error) {
	var trips []measure.Trip
	for _, w := range ways {
		h, trips = append(h, measure.NewHist()), append(trips, w.load.Trips()[0])
	}
	for end := time.Now().Add(d); time.Now().Before(end) && err == nil; err = ctx.Err() {
		for i, trip := range trips {
			for range inTurn {
				began := time.Now()
				if err := trip(); err != nil {
					return nil, err
				}
				h[i].Add(time.Since(began))
			}
		}
	}
	return h, err
}

// kmsWait is the reference's wait for KMS in the design's targets.
const kmsWait = 10 * time.Millisecond

// reference measures hot requests of one field, 64 in flight, compared with the reference's protocol, and with that
// protocol and its wait for KMS. A fasthttp server that answers by itself shows how much of that any server could
// reach.
func reference(ctx context.Context, b *Stack, c *corpus.Corpus, o *Options, sink *measure.Sink) (err error) {
	const inFlight = 64
	dir, stop, err := socketFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	ways := []*way{}
	add := func(name, address string, vaults int) error {
		w, err := newWay(name, address, c, vaults, inFlight)
		if err == nil {
			ways = append(ways, w)
		}
		return err
	}
	defer func() {
		for _, w := range ways {
			w.load.Close()
		}
	}()
	if err := add("ours", b.Addresses.Parent, len(c.Vaults)); err != nil {
		return err
	}
	for _, r := range []struct {
		name string
		wait time.Duration
	}{{"reference-protocol", 0}, {"reference-protocol+kms", kmsWait}} {
		address, end, err := startReference(ctx, filepath.Join(dir, r.name[len(r.name)-3:]), c, r.wait)
		if err != nil {
			return err
		}
		defer end()
		if err := add(r.name, address, len(c.Vaults)); err != nil {
			return err
		}
	}
	t, source, err := hotSource(b.Addresses.Parent, c, 1)
	if err != nil {
		return err
	}
	body, err := httpload.Fetch(t, source)
	if err != nil {
		return err
	}
	f := &floors{ctx: ctx, body: body}
	defer f.end()
	if address := f.static(); f.err != nil {
		return f.err
	} else if err := add("fasthttp", address, 1); err != nil {
		return err
	}
	for range o.Rounds {
		for _, w := range ways {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r, err := w.load.Closed(ctx, o.Turn)
			if err != nil {
				return err
			}
			w.rates = append(w.rates, r.Rate())
			w.hist.Merge(r.Hist)
		}
	}
	reportWays(ways, sink)
	return nil
}

func reportWays(ways []*way, sink *measure.Sink) {
	for _, w := range ways {
		name := "http/" + w.name + "/64/"
		sink.Add(measure.Value(name+"rate", measure.Median(w.rates), "req/s", w.hist.N()).With(w.rates))
		p50 := measure.Value(name+"p50", w.hist.Quantile(0.5), "us", w.hist.N())
		p50.Curve = w.hist.Curve()
		sink.Add(p50)
		sink.Add(measure.Value(name+"p99", w.hist.Quantile(0.99), "us", w.hist.N()))
	}
	ratio := func(name string, a, b *way, target *measure.Target) {
		var ratios []float64
		for k := range a.rates {
			ratios = append(ratios, a.rates[k]/b.rates[k])
		}
		name = "http/" + name + "-of-" + b.name + "/64/rate"
		sink.Add(measure.Ratio(name, measure.Median(ratios), a.hist.N(), b.name, target).With(ratios))
	}
	ours, protocol, kms, static := ways[0], ways[1], ways[2], ways[3]
	ratio("hot", ours, protocol, measure.AtLeast(4))
	ratio("hot", ours, kms, measure.AtLeast(8))
	ratio("hot", ours, static, nil)
	ratio("fasthttp", static, protocol, nil)
}

// startReference starts the stand-ins of the reference's enclave and parent.
func startReference(ctx context.Context, socket string, c *corpus.Corpus, wait time.Duration,
) (address string, end func(), err error) {
	config := enclaveConfig{
		Socket: socket, Suite: c.Suite, Encoding: c.Encoding, Keys: make(map[string][]byte), KMSWait: wait,
	}
	for i := range c.Vaults {
		config.Keys[base64.StdEncoding.EncodeToString(c.Vaults[i].Wrapped)] = c.Vaults[i].Private
	}
	var ready string
	enclave, err := measure.StartChild(ctx, enclaveRole, config, &ready)
	if err != nil {
		return "", nil, err
	}
	parent, err := measure.StartChild(ctx, parentRole, parentConfig{Socket: socket}, &address)
	if err != nil {
		return "", nil, errors.Join(err, enclave.Close())
	}
	return address, func() { _, _ = parent.Close(), enclave.Close() }, nil
}
