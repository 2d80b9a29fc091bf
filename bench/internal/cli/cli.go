// Package cli is bench's command line.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"redoubt/bench/internal/child"
	"redoubt/bench/internal/out"
	"redoubt/bench/internal/reference"
	"redoubt/bench/internal/wirebench"
)

// Exit statuses.
const (
	exitOK     = 0
	exitMissed = 1 // a goal, and nothing else
	exitFailed = 2 // usage, or what could not be measured
)

const description = `Measures Redoubt: its wire, its cryptography, and its tiers under load.

Ratios are measured within one run, their two sides in turns, so that they hold on a busy machine too. With --json,
standard output has one JSON object a line (name, value, unit, n, ratio, against, target, holds; null where it does not
apply), and tables go to standard error. A missed target shows as "holds": false; the exit status is 1 only when a
--goal is missed, and 2 when something could not be measured.

Load goes only where --url says, or to a local stack of its own on loopback.`

type commands struct {
	JSON bool       `help:"Write measurements to standard output as JSON, one object a line."`
	Goal []out.Goal `help:"Bound that must be reached, or the exit status is 1: the name of a measurement, or its last parts, and a number or a duration. Rates must be at least that, all else at most. Repeatable." placeholder:"p99=5ms" sep:"none"`

	Wire    wireCommand    `cmd:"" help:"Round trips between two processes: our session, and what it is measured against."`
	Crypto  cryptoCommand  `cmd:"" help:"Sealing and opening, as ratios to one ECDH."`
	Soak    soakCommand    `cmd:"" help:"Many requests through a local stack: are memory, goroutines and descriptors flat?"`
	Meta    metaCommand    `cmd:"" help:"A line that says where and when: commit, machine, load. It goes before the others in a file."`
	HTTP    httpCommand    `cmd:"" name:"http" help:"Load on a running parent or API, or on a local stack: open and closed loops, the peak, overload."`
	Record  recordCommand  `cmd:"" help:"Make a corpus of records for 'bench http'."`
	Report  reportCommand  `cmd:"" help:"Draw JSON lines as an HTML page with SVG plots."`
	Compare compareCommand `cmd:"" help:"Say what changed between two files of JSON lines beyond noise."`
	Targets targetsCommand `cmd:"" help:"Every target of the design that can be measured here, with a local stack of its own."`
}

// Run is the program: it returns the exit status.
func Run(args []string, stdout, stderr io.Writer) int {
	if role := os.Getenv(child.Variable); role != "" {
		return status(serveChild(role), stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, stdout, stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c commands
	code := -1
	parser, err := newParser(&c, kong.Writers(stdout, stderr), kong.Exit(func(n int) { code = n }))
	if err != nil {
		return status(err, stderr)
	}
	command, err := parser.Parse(args)
	if code >= 0 { // --help
		return code
	}
	if err != nil {
		return status(err, stderr)
	}
	sink := out.NewSink(stdout, stderr, c.JSON, c.Goal)
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(sink)
	err = command.Run()
	return status(errors.Join(err, sink.Finish()), stderr)
}

func newParser(c *commands, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{
		kong.Name("bench"), kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
	}, options...)...)
}

func status(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "bench:", err)
	if onlyGoals(err) {
		return exitMissed
	}
	return exitFailed
}

// onlyGoals reports whether nothing but goals was missed.
func onlyGoals(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if !onlyGoals(e) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, out.ErrGoal)
}

// serveChild is the other side of a measurement.
func serveChild(role string) error {
	switch role {
	case wirebench.Role:
		return child.Serve(os.Stdin, os.Stdout, wirebench.Serve)
	case reference.EnclaveRole:
		return child.Serve(os.Stdin, os.Stdout, reference.ServeEnclave)
	case reference.ParentRole:
		return child.Serve(os.Stdin, os.Stdout, reference.ServeParent)
	case reference.StaticRole:
		return child.Serve(os.Stdin, os.Stdout, reference.ServeStatic)
	case reference.AnswererRole:
		return child.Serve(os.Stdin, os.Stdout, reference.ServeAnswerer)
	case reference.RelayRole:
		return child.Serve(os.Stdin, os.Stdout, reference.ServeRelay)
	}
	return errors.New("unknown role of a child")
}
