// Package peers measures, for bench, our cryptography beside other libraries': AWS-LC and OpenSSL, by the program of
// bench/peers.
//
// Each side is a process that answers questions about schemes (bench/peers/src/main.rs lists them): key agreement,
// HPKE in each suite and with X-Wing, RSA-OAEP as KMS uses it. Our side is there twice: built as production enclaves
// are, with the machine code of package sealed and with erasing, and without both. Before anything is timed, each
// pair of sides exchanges keys and opens what the other made, so that what is compared is the same operation. Then
// the sides repeat it in turns; the time is the CPU time of the whole process, so what collectors take is in it.
//
// "seal" seals to a key that is parsed, "open" opens with a key that is parsed, "read-open" reads the private key from
// its bytes and computes its public key before each opening. The encapsulated key is read and checked each time. In
// "ecdh" our side is crypto/ecdh in both builds. AWS-LC's HPKE has no NIST curve and OpenSSL has none before 3.2, so
// theirs is put together from their key agreement, HKDF and AES-GCM; X-Wing is put together from AWS-LC's ML-KEM,
// X25519 and SHA-3.
package peers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"redoubt/bench/internal/measure"
	"redoubt/wire/kit/sealed"
)

// Options of Run.
type Options struct {
	Program    string        // that of bench/peers
	Production string        // bench, built as production enclaves are; empty: not measured
	Rounds     int           // turns of each operation; the median counts
	Turn       time.Duration // about how long a turn of one side is
}

// The names of the sides.
const (
	production = "production"
	plain      = "plain"
	awsLC      = "aws-lc"
	openSSL    = "openssl"
)

// Run measures and gives the lines to sink. A scheme that a side has not is told, and not measured for that side.
func Run(ctx context.Context, o Options, sink *measure.Sink) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ways := []struct {
		name, program string
		args          []string
	}{
		{production, o.Production, nil},
		{plain, self, nil},
		{awsLC, o.Program, []string{awsLC}},
		{openSSL, o.Program, []string{openSSL}},
	}
	var sides []*side
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.close())
		}
	}()
	for _, w := range ways {
		if w.program == "" {
			continue
		}
		program, err := filepath.Abs(w.program)
		if err != nil {
			return err
		}
		s, err := start(ctx, w.name, w.args == nil, program, w.args...)
		if err != nil {
			return err
		}
		sides = append(sides, s)
		about, err := s.ask("about")
		if err != nil {
			return err
		}
		sink.Progress("peers: %s is %s", s.name, about)
	}
	for _, scheme := range schemes() {
		if err := one(ctx, scheme, sides, &o, sink); err != nil {
			return err
		}
	}
	sink.Table("peers: microseconds of CPU, and ours as a multiple of theirs")
	return nil
}

// one measures one scheme.
func one(ctx context.Context, scheme string, all []*side, o *Options, sink *measure.Sink) error {
	var sides []*side
	for _, s := range all {
		_, err := s.ask("public", scheme)
		switch {
		case errors.Is(err, errAbsent):
			sink.Progress("peers: %s has no %s", s.name, scheme)
		case err != nil:
			return err
		default:
			sides = append(sides, s)
		}
	}
	for i, a := range sides {
		for _, b := range sides[i+1:] {
			if err := cross(scheme, a, b); err != nil {
				return err
			}
		}
	}
	for _, what := range operations(scheme) {
		turns, err := turns(ctx, scheme, what, sides, o)
		if err != nil {
			return err
		}
		add(scheme, what, sides, turns, sink)
	}
	return nil
}

// The operations that a turn repeats.
const (
	opMake     = "make"
	opOpen     = "open"
	opReadOpen = "read-open"
)

func operations(scheme string) []string {
	switch {
	case strings.HasPrefix(scheme, ecdhPrefix):
		return []string{opMake}
	case strings.HasPrefix(scheme, hpkePrefix) && scheme != xWing:
		return []string{opOpen, opReadOpen, opMake}
	}
	return []string{opOpen, opMake}
}

// sample is what a side took in each turn: microseconds for one operation.
type sample struct {
	us []float64
	n  int64
}

// turns has each side repeat an operation in each round. The side that is first changes from round to round.
func turns(ctx context.Context, scheme, what string, sides []*side, o *Options) ([]sample, error) {
	samples := make([]sample, len(sides))
	repeats := make([]int, len(sides))
	for i, s := range sides {
		took, err := s.took(scheme, what, 3) // warm, too
		if err != nil {
			return nil, err
		}
		repeats[i] = max(1, int(math.Round(float64(o.Turn.Microseconds())/took)))
	}
	for round := range o.Rounds {
		for k := range sides {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			i := (round + k) % len(sides)
			took, err := sides[i].took(scheme, what, repeats[i])
			if err != nil {
				return nil, err
			}
			samples[i].us = append(samples[i].us, took)
			samples[i].n += int64(repeats[i])
		}
	}
	return samples, nil
}

// verb is what a person calls the operation.
func verb(scheme, what string) string {
	switch {
	case strings.HasPrefix(scheme, ecdhPrefix):
		return "agree"
	case what == opMake:
		return "seal"
	}
	return what
}

// add gives the lines of one operation to sink: each side's time, and for each of ours the ratio to each of theirs.
func add(scheme, what string, sides []*side, samples []sample, sink *measure.Sink) {
	verb := verb(scheme, what)
	name := fmt.Sprintf("peers/%s/%s/", scheme, verb)
	for i, s := range sides {
		sink.Add(measure.Value(name+s.name+"/time", measure.Median(samples[i].us), "us", samples[i].n).With(samples[i].us))
	}
	for i, ours := range sides {
		for j, theirs := range sides {
			if !ours.ours || theirs.ours {
				continue
			}
			ratios := make([]float64, len(samples[i].us))
			for k := range ratios {
				ratios[k] = samples[i].us[k] / samples[j].us[k]
			}
			sink.Add(measure.Ratio(name+ours.name+"-of-"+theirs.name, measure.Median(ratios), samples[i].n, theirs.name,
				target(scheme, verb, ours.name, theirs.name)).With(ratios))
		}
	}
}

// target is what opening a cold field of the default suite may take in a production enclave.
func target(scheme, verb, ours, theirs string) *measure.Target {
	if scheme == hpkePrefix+sealed.P384.String() && verb == opOpen && ours == production && theirs == awsLC {
		return measure.AtMost(0.75)
	}
	return nil
}
