package cli

import (
	"context"
	"time"

	"redoubt/bench/internal/cryptobench"
	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/peers"
	"redoubt/bench/internal/wirebench"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
)

type wireCommand struct {
	InFlight []int         `help:"Round trips in flight, each 1 to 4096." default:"1,16,128,512"`
	Rounds   int           `help:"Turns of each way, 1 or more; the median counts." default:"7"`
	Turn     time.Duration `help:"Length of one turn, 1ms or more." default:"250ms"`
}

// Run measures the wire.
func (c *wireCommand) Run(ctx context.Context, sink *measure.Sink) error {
	for _, n := range c.InFlight {
		if n < 1 || n > 4096 {
			return program.Mistake("--in-flight must be between 1 and 4096")
		}
	}
	if c.Rounds < 1 || c.Turn < time.Millisecond {
		return program.Mistake("--rounds must be at least 1, --turn at least 1ms")
	}
	return wirebench.Run(ctx, wirebench.Options{InFlight: c.InFlight, Rounds: c.Rounds, Turn: c.Turn}, sink)
}

type cryptoCommand struct {
	Suite  []string      `help:"Suites: ${suites}." default:"${suites}" enum:"${suites}"`
	Fields []int         `help:"Fields of a record, each 1 to 100." default:"1,10,100"`
	Budget time.Duration `help:"Time for one operation, more than 0." default:"300ms"`
	Min    int           `help:"Least repetitions of one operation, 1 or more." default:"27"`
}

// Run measures the cryptography.
func (c *cryptoCommand) Run(ctx context.Context, sink *measure.Sink) error {
	o := cryptobench.Options{Fields: c.Fields, Budget: c.Budget, Min: c.Min}
	if c.Budget <= 0 || c.Min < 1 {
		return program.Mistake("--budget must be more than 0, --min at least 1")
	}
	for _, n := range c.Fields {
		if n < 1 || n > 100 {
			return program.Mistake("--fields must be between 1 and 100")
		}
	}
	for _, name := range c.Suite {
		s, err := sealed.SuiteNamed(name)
		if err != nil {
			return err
		}
		o.Suites = append(o.Suites, s)
	}
	return cryptobench.Run(ctx, o, sink)
}

type peersCommand struct {
	Program    string        `help:"The program of bench/peers, with AWS-LC and OpenSSL." required:"" type:"existingfile" placeholder:"FILE"`
	Production string        `help:"Bench, built as production enclaves are: our side with machine code and erasing." type:"existingfile" placeholder:"FILE"`
	Rounds     int           `help:"Turns of each operation, 5 or more; the median counts." default:"9"`
	Turn       time.Duration `help:"Length of one side's turn, 1ms or more." default:"100ms"`
}

// Run measures our cryptography beside other libraries'.
func (c *peersCommand) Run(ctx context.Context, sink *measure.Sink) error {
	if c.Rounds < 5 || c.Turn < time.Millisecond {
		return program.Mistake("--rounds must be at least 5, --turn at least 1ms")
	}
	return peers.Run(ctx, peers.Options{
		Program: c.Program, Production: c.Production, Rounds: c.Rounds, Turn: c.Turn,
	}, sink)
}
