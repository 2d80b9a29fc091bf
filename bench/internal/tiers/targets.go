// Package tiers measures the tiers under load, for bench: each row of the design's table of targets ([Run]), and
// whether they stay flat over many requests ([Soak]). It starts the stack that is loaded ([StartStack]), and the
// stand-ins of the reference with which it is compared (reference_enclave.go). The reference is the AWS sample that
// Redoubt succeeds. Ratios are measured within one run.
package tiers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/cryptobench"
	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/wirebench"
	"redoubt/wire/kit/sealed"
)

// Options of Run.
type Options struct {
	Bin      string
	Rows     []string      // names of groups
	Rounds   int           // turns of what is compared; the median counts
	Turn     time.Duration // length of one turn
	Duration time.Duration // length of an open loop
}

// row is a group of targets that are measured together.
type row struct {
	name string
	run  func(ctx context.Context, o *Options, sink *measure.Sink) error
}

func rows() []row {
	return []row{
		{"wire", wireRows},
		{"crypto", cryptoRows},
		{"hot", hotRows},
		{"pinned", pinnedRows},
		{"memory", memoryRows},
	}
}

// Run measures. A failed measurement does not keep the others from being made.
func Run(ctx context.Context, o Options, sink *measure.Sink) error {
	var errs []error
	for _, r := range rows() {
		if !slices.Contains(o.Rows, r.name) {
			continue
		}
		if err := r.run(ctx, &o, sink); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
		sink.Table("targets: " + r.name)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func wireRows(ctx context.Context, o *Options, sink *measure.Sink) error {
	return wirebench.Run(ctx, wirebench.Options{InFlight: []int{128}, Rounds: o.Rounds, Turn: o.Turn}, sink)
}

func cryptoRows(ctx context.Context, o *Options, sink *measure.Sink) error {
	return cryptobench.Run(ctx, cryptobench.Options{
		Suites: []sealed.Suite{sealed.P384, sealed.P256}, Fields: []int{1, 10}, Budget: o.Turn, Min: 27,
	}, sink)
}

// hot are the rows of hot requests: all processes share the CPUs.
func hotRows(ctx context.Context, o *Options, sink *measure.Sink) (err error) {
	sink.Progress("targets: starting a local stack")
	b, err := StartStack(ctx, StackOptions{Bin: o.Bin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	c, err := b.Corpus(ctx, hotRecords, nil)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context, *Stack, *corpus.Corpus, *Options, *measure.Sink) error
	}{
		{"a hot field at one in flight, beside fasthttp alone", static},
		{"hot fields, 64 in flight, beside the reference's protocol", reference},
		{"allocations", allocations},
		{"p99 at 70 % of peak", tail},
	} {
		sink.Progress("targets: %s", step.name)
		if e := step.run(ctx, b, c, o, sink); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", step.name, e))
		}
	}
	return err
}

// ServeChild is the main of a child process of this package's.
func ServeChild(role string, in io.Reader, out io.Writer) error {
	switch role {
	case enclaveRole:
		return measure.ServeChild(in, out, serveEnclave)
	case parentRole:
		return measure.ServeChild(in, out, serveParent)
	case staticRole:
		return measure.ServeChild(in, out, serveStatic)
	case answererRole:
		return measure.ServeChild(in, out, serveAnswerer)
	case relayRole:
		return measure.ServeChild(in, out, serveRelay)
	}
	return errors.New("unknown role of a child")
}

// socketFolder makes a folder whose path is short enough for sockets.
func socketFolder() (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp("", "rd"); err != nil {
		return "", nil, err
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
