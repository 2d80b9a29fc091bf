// Package targets measures each row of the design's table of targets by one command, each as a ratio within
// one run where the row is a ratio.
package targets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"redoubt/bench/internal/bed"
	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/cryptobench"
	"redoubt/bench/internal/out"
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
	run  func(ctx context.Context, o *Options, sink *out.Sink) error
}

func rows() []row {
	return []row{
		{"wire", wire},
		{"crypto", crypto},
		{"hot", hot},
		{"pinned", pinned},
		{"memory", memory},
	}
}

// Rows lists the names of the groups.
func Rows() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// Run measures; what fails does not keep the others from being measured.
func Run(ctx context.Context, o Options, sink *out.Sink) error {
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

func wire(ctx context.Context, o *Options, sink *out.Sink) error {
	return wirebench.Run(ctx, wirebench.Options{InFlight: []int{128}, Rounds: o.Rounds, Turn: o.Turn}, sink)
}

func crypto(ctx context.Context, o *Options, sink *out.Sink) error {
	return cryptobench.Run(ctx, cryptobench.Options{
		Suites: []sealed.Suite{sealed.P384, sealed.P256}, Fields: []int{1, 10}, Budget: o.Turn, Min: 27,
	}, sink)
}

// hot are the rows of hot requests: all processes share the CPUs.
func hot(ctx context.Context, o *Options, sink *out.Sink) (err error) {
	sink.Progress("targets: starting a local stack")
	b, err := bed.Start(ctx, bed.Options{Bin: o.Bin})
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
		run  func(context.Context, *bed.Bed, *corpus.Corpus, *Options, *out.Sink) error
	}{
		{"a hot field at one in flight, beside fasthttp alone", Static},
		{"hot fields, 64 in flight, beside the reference's protocol", Reference},
		{"allocations", Allocations},
		{"p99 at 70 % of peak", Tail},
	} {
		sink.Progress("targets: %s", step.name)
		if e := step.run(ctx, b, c, o, sink); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", step.name, e))
		}
	}
	return err
}

// socketFolder makes a folder whose path is short enough for sockets.
func socketFolder() (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp("", "rd"); err != nil {
		return "", nil, err
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
