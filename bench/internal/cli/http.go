package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/httpload"
	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/tiers"
	"redoubt/wire"
	"redoubt/wire/kit/program"
)

type httpCommand struct {
	where

	Corpus string `help:"Records to ask for, made by 'bench record'." type:"path" placeholder:"FILE"`
	Local  bool   `help:"Start a local stack and make the records it needs, instead of --url and --corpus."`
	API    bool   `name:"api" help:"With --local: ask the stack's API, which asks the parent, for records that it has made."`
	Bin    string `help:"With --local: folder of the programs of 'make build'. Default: bench's own." type:"path" placeholder:"DIR"`

	ParentFlags []string `name:"parent-flag" sep:"none" help:"With --local: a further flag of the parent, as --parent-flag=--sessions=1. Repeatable." placeholder:"FLAG"`

	Mix    string  `help:"hot: a field of a popular vault; cold-context: another write each time; cold-key: another vault each time; batch: --items hot fields a request; expressions: hot, with two." enum:"hot,cold-context,cold-key,batch,expressions" default:"hot"`
	Fields int     `help:"Fields of a request, 1 to 100." default:"1"`
	Items  int     `help:"Items of a batch, 1 to 1000." default:"100"`
	Zipf   float64 `help:"Exponent of the vaults' popularity, above 1; 0: all alike." default:"1.1"`
	Seed   uint64  `help:"Seed of the choice of vaults and of arrivals: any number." default:"1"`

	InFlight int           `help:"Closed loop: requests in flight. Open loop: the most that may be in flight. 1 to 20000." default:"64"`
	Rate     float64       `help:"Open loop of this many requests a second, more than 0. Latency counts from the intended start. Without it: a closed loop." placeholder:"N"`
	Even     bool          `help:"Open loop: arrivals evenly spaced, instead of a Poisson process."`
	Duration time.Duration `help:"Length of a loop, more than 0." default:"10s"`
	FindPeak bool          `help:"Find the highest rate that closed loops of 8 to 256 callers reach. With --at, an open loop at a part of it follows."`
	At       float64       `help:"Part of the peak for the open loop that follows --find-peak, as 0.7; more than 0." placeholder:"PART"`
	Overload string        `help:"Find the peak, then offer this many times the peak. Shows the goodput, and how fast the rest is refused." placeholder:"3x"`
}

// Run offers the load.
func (c *httpCommand) Run(ctx context.Context, sink *measure.Sink) error {
	if c.Local == (c.URL != "") || c.Local == (c.Corpus != "") {
		return program.Mistake("give --local, or both --url and --corpus")
	}
	if !c.Local && (c.API || len(c.ParentFlags) > 0) {
		return program.Mistake("--api and --parent-flag go with --local")
	}
	if c.InFlight < 1 || c.InFlight > 20_000 || c.Duration <= 0 || !program.Within(c.Rate, 0, 1e9) ||
		!program.Within(c.At, 0, 1e6) {
		return program.Mistake("--in-flight must be between 1 and 20000, --duration, --rate and --at more than zero")
	}
	if c.Items < 1 || c.Items > wire.MaxBatch || c.Fields < 1 || c.Fields > wire.MaxFields {
		return program.Mistake("--items must be between 1 and 1000, --fields between 1 and 100")
	}
	factor := 0.0
	if c.Overload != "" {
		_, err := fmt.Sscanf(strings.TrimSuffix(c.Overload, "x"), "%g", &factor)
		if err != nil || factor == 0 || !program.Within(factor, 0, 1e6) {
			return program.Mistake("--overload is a factor, as 3x")
		}
	}
	s, stop, err := c.setup(ctx, sink)
	if err != nil {
		return err
	}
	return errors.Join(c.measure(ctx, s, factor, sink), stop())
}

// setup makes the requests, and starts the stack if it is a local one.
func (c *httpCommand) setup(ctx context.Context, sink *measure.Sink) (s *httpload.Setup, stop func() error, err error) {
	stop = func() error { return nil }
	var records *corpus.Corpus
	var t *httpload.Target
	var cpu func() (map[string]time.Duration, error)
	if c.Local {
		var b *tiers.Stack
		if b, records, err = c.local(ctx, sink); err != nil {
			return nil, nil, err
		}
		stop, cpu = b.Stop, b.CPU
		if c.API {
			cpu = b.CPUWithAPI
			t, err = b.APITarget()
		} else {
			t, err = b.Target()
		}
	} else {
		if records, err = corpus.Load(c.Corpus); err != nil {
			return nil, nil, err
		}
		if err = c.speaks(ctx, records.API); err == nil {
			t, err = c.target()
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	source, err := httpload.NewSource(t, records, httpload.MixOptions{
		Mix: c.Mix, Fields: c.Fields, Items: c.Items, Zipf: c.Zipf, Seed: c.Seed,
	})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return &httpload.Setup{Target: t, Source: source, Name: c.name(), Seed: c.Seed, CPU: cpu}, stop, nil
}

// name begins the names of the lines.
func (c *httpCommand) name() string {
	if c.API {
		return "api/" + c.Mix
	}
	return "http/" + c.Mix
}

// local starts a stack. Its caches are small if the mix must find them cold.
func (c *httpCommand) local(ctx context.Context, sink *measure.Sink) (*tiers.Stack, *corpus.Corpus, error) {
	o := corpus.Options{Vaults: 200, Fields: c.Fields, Writes: 1}
	var config map[string]any
	switch c.Mix {
	case httpload.ColdContext:
		o.Vaults, o.Writes = 16, 250
		config = map[string]any{"cache": map[string]any{"contexts": 512}}
	case httpload.ColdKey:
		o.Vaults = 2000
		config = map[string]any{"cache": map[string]any{"keys": 64, "contexts": 64}}
	}
	sink.Progress("http: starting a local stack, sealing %d writes", o.Vaults*o.Writes)
	b, err := tiers.StartStack(ctx, tiers.StackOptions{Bin: c.Bin, EnclaveConfig: config, ParentArgs: c.ParentFlags})
	if err != nil {
		return nil, nil, err
	}
	var records *corpus.Corpus
	if c.API {
		records, err = b.APICorpus(ctx, o)
	} else {
		records, err = b.Corpus(ctx, o, nil)
	}
	if err != nil {
		return nil, nil, errors.Join(err, b.Stop())
	}
	return b, records, nil
}

func (c *httpCommand) measure(ctx context.Context, s *httpload.Setup, factor float64, sink *measure.Sink) error {
	if c.Mix != httpload.ColdContext && c.Mix != httpload.ColdKey {
		l := httpload.NewLoad(s.Target, s.Source, 16, c.Seed)
		defer l.Close()
		if err := l.Warm(); err != nil {
			return err
		}
	}
	if c.FindPeak || factor > 0 {
		peak, err := httpload.Peak(ctx, s, c.Duration, sink)
		if err != nil {
			return err
		}
		switch {
		case factor > 0:
			s.Name += "/overload-" + strings.TrimSuffix(c.Overload, "x") + "x"
			return httpload.Overload(ctx, s, peak, factor, c.Duration, sink)
		case c.At > 0:
			c.Rate = c.At * peak
		default:
			return nil
		}
	}
	if c.Rate == 0 {
		_, err := httpload.Closed(ctx, s, c.InFlight, c.Duration, sink)
		return err
	}
	s.Name += "/open"
	_, err := httpload.Open(ctx, s, httpload.OpenOptions{
		Rate: c.Rate, Callers: c.InFlight, Duration: c.Duration, Even: c.Even,
	}, sink)
	return err
}
