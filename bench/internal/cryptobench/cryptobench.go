// Package cryptobench measures, for bench, what sealing and opening cost, each as a ratio to one ECDH of the suite's
// curve.
//
// An operation and an ECDH are timed in turns, by the CPU time of the one thread that does both. So neither other
// programs on the machine nor its clock frequency show in the ratio, which is that of the medians. Short operations
// are repeated within one timing. "cold" parses the private key and derives the context, "key-cached" derives it,
// "context-cached" only opens.
package cryptobench

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/bench/internal/measure"
	"redoubt/wire/kit/sealed"
)

// Options of Run.
type Options struct {
	Suites []sealed.Suite
	Fields []int
	Budget time.Duration // for one operation, its ECDHs included
	Min    int           // repetitions, however long they take
}

// The vault id and plaintext that are sealed.
const vaultID = "v_bench"

var plaintext = []byte("123-45-6789")

// blocks is the number of samples into which repetitions are gathered.
const blocks = 9

// bed is a key pair and what is needed to use it.
type bed struct {
	suite  sealed.Suite
	own    *ecdh.PrivateKey
	other  *ecdh.PublicKey
	der    []byte
	key    *sealed.PrivateKey
	public *sealed.PublicKey
}

func newBed(s sealed.Suite) (*bed, error) {
	own, err := s.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	other, err := s.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b := &bed{suite: s, own: own, other: other.PublicKey()}
	if b.der, err = x509.MarshalPKCS8PrivateKey(own); err != nil {
		return nil, err
	}
	if b.key, err = sealed.ParsePrivateKey(s, b.der); err != nil {
		return nil, err
	}
	b.public = b.key.Public()
	return b, nil
}

func (b *bed) ecdh() error {
	_, err := b.own.ECDH(b.other)
	return err
}

// Run measures and gives the lines to sink.
func Run(ctx context.Context, o Options, sink *measure.Sink) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, s := range o.Suites {
		sink.Progress("crypto: %v", s)
		b, err := newBed(s)
		if err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		for _, op := range operations(b, o.Fields) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := measureOne(b, &op, &o, sink); err != nil {
				return fmt.Errorf("%s: %w", op.name, err)
			}
		}
		sink.Table(fmt.Sprintf("crypto: %v", s))
	}
	return nil
}

func measureOne(b *bed, op *operation, o *Options, sink *measure.Sink) error {
	do, err := op.prepare()
	if err != nil {
		return err
	}
	repeat, err := repeats(do)
	if err != nil {
		return err
	}
	one, all := measure.NewHist(), measure.NewHist()
	var samples []float64
	each := max(1, o.Min/blocks)
	for end := time.Now().Add(o.Budget); len(samples) < blocks || time.Now().Before(end); {
		a, c := measure.NewHist(), measure.NewHist()
		for range each {
			if err := timed(a, 1, b.ecdh); err != nil {
				return err
			}
			if err := timed(c, repeat, do); err != nil {
				return err
			}
		}
		one.Merge(a)
		all.Merge(c)
		samples = append(samples, c.Quantile(0.5)/float64(repeat)/a.Quantile(0.5))
	}
	n := all.N() * int64(repeat)
	took := all.Quantile(0.5) / float64(repeat)
	name := fmt.Sprintf("crypto/%v/%s", b.suite, op.name)
	sink.Add(measure.Value(name+"/time", took, "us", n))
	ratio := took / one.Quantile(0.5)
	sink.Add(measure.Ratio(name+"/x-ecdh", ratio, n, "one ECDH", target(b.suite, op)).With(thin(samples)))
	return nil
}

// least is how long one timing should be, far above what reading the clock costs.
const least = 100 * time.Microsecond

// repeats returns how often to repeat the operation within one timing. It also warms up.
func repeats(do func() error) (int, error) {
	for n := 1; ; n *= 2 {
		h := measure.NewHist()
		if err := timed(h, n, do); err != nil {
			return 0, err
		}
		if took := h.Max(); took >= float64(least.Microseconds()) {
			return n, nil
		}
	}
}

// timed records the thread's CPU time of n repetitions.
func timed(h *measure.Hist, n int, do func() error) error {
	before, err := threadTime()
	if err != nil {
		return err
	}
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	after, err := threadTime()
	h.Add(after - before)
	return err
}

func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// thin gathers samples into few, each the median of its part.
func thin(samples []float64) []float64 {
	var few []float64
	for i := range blocks {
		few = append(few, measure.Median(samples[i*len(samples)/blocks:(i+1)*len(samples)/blocks]))
	}
	return few
}

// target is the design's target for an operation, or nil.
func target(s sealed.Suite, op *operation) *measure.Target {
	switch {
	case op.kind != keyCached:
		return nil
	case op.encoding == sealed.EncodingField && op.fields == 1 && s == sealed.P384:
		return measure.AtMost(1.05)
	case op.encoding == sealed.EncodingField && op.fields == 1 && s == sealed.P256:
		return measure.AtMost(1.2)
	case op.encoding == sealed.EncodingRecord && op.fields == 10 && s == sealed.P384:
		return measure.AtMost(1.15)
	}
	return nil
}
