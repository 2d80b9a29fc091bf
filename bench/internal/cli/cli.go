// Package cli is bench's command line, for developers who measure Redoubt.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/peers"
	"redoubt/bench/internal/tiers"
	"redoubt/bench/internal/wirebench"
	"redoubt/wire/kit/cmdline"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
)

// exitMissed is the exit status if a goal was missed, and nothing else was wrong. The other statuses are package
// program's.
const exitMissed = 3

const description = `Measures Redoubt: its wire, its cryptography, and its tiers under load.

Ratios are measured within one run, their two sides in turns, so that they hold on a busy machine too. With --json,
standard output has one JSON object a line (name, value, unit, n, ratio, against, target, holds; null where it does not
apply), and tables go to standard error. A missed target shows as "holds": false; the exit status is 3 only when a
--goal is missed, 1 when something could not be measured, and 2 for a mistake on the command line.

Load goes only where --url says, or to a local stack of its own on loopback.`

type commands struct {
	JSON bool           `help:"Write measurements to standard output as JSON, one object a line."`
	Goal []measure.Goal `help:"Bound that must be reached, or the exit status is 3: the name of a measurement, or its last parts, and a number or a duration. Rates must be at least that, all else at most. Repeatable." placeholder:"p99=5ms" sep:"none"`

	Wire    wireCommand    `cmd:"" help:"Round trips between two processes: our session, and what it is measured against."`
	Crypto  cryptoCommand  `cmd:"" help:"Sealing and opening, in microseconds and as ratios to one ECDH."`
	Peers   peersCommand   `cmd:"" help:"Our cryptography beside AWS-LC's and OpenSSL's, in turns ('make bench-peers')."`
	Soak    soakCommand    `cmd:"" help:"Many requests through a local stack: are memory, goroutines and descriptors flat?"`
	Meta    metaCommand    `cmd:"" help:"A line that says where and when: commit, machine, load. It goes before the others in a file."`
	HTTP    httpCommand    `cmd:"" name:"http" help:"Load on a running parent or API, or on a local stack: open and closed loops, the peak, overload."`
	Record  recordCommand  `cmd:"" help:"Make a corpus of records for 'bench http'."`
	Report  reportCommand  `cmd:"" help:"Draw JSON lines as an HTML page with SVG plots."`
	Figures figuresCommand `cmd:"" help:"Write the figures of a file of JSON lines into pages ('make figures')."`
	Compare compareCommand `cmd:"" help:"Say what changed between two files of JSON lines beyond noise."`
	Targets targetsCommand `cmd:"" help:"Every target of the design that can be measured here, with a local stack of its own."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Run is the program: it returns the exit status.
func Run(args []string, version string, stdout, stderr io.Writer) int {
	if role := os.Getenv(measure.ChildVariable); role != "" {
		return status(serveChild(role), stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, version, stdout, stderr)
}

func run(ctx context.Context, args []string, version string, stdout, stderr io.Writer) int {
	var c commands
	parser, err := newParser(&c, version, stdout, stderr)
	if err != nil {
		return status(err, stderr)
	}
	command, end := cmdline.Parse(parser, args)
	if command == nil {
		return end
	}
	sink := measure.NewSink(stdout, stderr, c.JSON, c.Goal)
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(sink)
	err = command.Run()
	return status(errors.Join(err, sink.Finish()), stderr)
}

func newParser(c *commands, version string, stdout, stderr io.Writer) (*kong.Kong, error) {
	return cmdline.New("bench", version, c, stdout, stderr, kong.Description(description),
		kong.Vars{"suites": strings.Join(sealed.SuiteNames(), ",")},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}))
}

func status(err error, stderr io.Writer) int {
	if err == nil {
		return program.OK
	}
	failed := program.Fail(stderr, "bench", err)
	if onlyGoals(err) {
		return exitMissed
	}
	return failed
}

// onlyGoals reports whether the only failures are missed goals.
func onlyGoals(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if !onlyGoals(e) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, measure.ErrGoal)
}

// serveChild is the other side of a measurement.
func serveChild(role string) error {
	switch role {
	case wirebench.Role:
		return measure.ServeChild(os.Stdin, os.Stdout, wirebench.Serve)
	case peers.Role:
		return peers.Serve(os.Stdin, os.Stdout)
	}
	return tiers.ServeChild(role, os.Stdin, os.Stdout)
}
