package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"redoubt/bench/internal/measure"
)

// The marks between which a page has its generated figures.
const (
	figuresBegin = "<!-- figures of "
	figuresEnd   = "<!-- end of figures -->"
)

// ErrNoFigures reports a page without the marks, or with marks that say no set.
var ErrNoFigures = errors.New("report: the page has no place for figures: " + figuresBegin + "NAME -->, " + figuresEnd)

// figure is a row: what a line of that name says, for people. Cold fields come first, as they are the dearest.
type figure struct{ name, what string }

var figures = []figure{
	{"peers/hpke/P-384/open/production/time", "cold field, encoding 2, P-384, production enclave"},
	{"peers/hpke/P-384/open/production-of-aws-lc", "the same, of AWS-LC with its key kept"},
	{"peers/hpke/P-384/open/production-of-openssl", "the same, of OpenSSL with its key kept"},
	{"peers/rsa-oaep/2048/open/plain-of-aws-lc", "RSA-OAEP of a cold key, of AWS-LC"},
	{
		"crypto/P-384/open/key-cached/encoding-2/fields-1/x-ecdh",
		"cold field, encoding 2, P-384, development build, in ECDHs",
	},
	{"crypto/P-256/open/key-cached/encoding-2/fields-1/x-ecdh", "cold field, encoding 2, P-256, in ECDHs"},
	{
		"crypto/P-384/open/key-cached/encoding-3/fields-10/x-ecdh",
		"ten fields, encoding 3, P-384, development build, in ECDHs",
	},
	{"http/cold/overload-3x/goodput", "cold load at 3 × peak: goodput, of the peak"},
	{"http/cold/overload-3x/refused-within", "the same: refusals, p99"},
	{"http/hot/1/p50", "hot field, 1 in flight, p50"},
	{"http/hot-of-fasthttp/1/p50", "the same, of fasthttp that answers by itself"},
	{"http/hot/closed-64/rate", "hot fields, 64 in flight"},
	{"http/hot-of-reference-protocol/64/rate", "the same, of our stand-in for the reference"},
	{"http/hot-of-reference-protocol+kms/64/rate", "the same, of that with 10 ms of KMS"},
	{"http/hot/open-70/p99-of-p50", "p99 at 70 % of peak, of p50"},
	{
		"http/hot/beside-batch/p99-more-than-alone",
		"hot beside a batch of 1,000 cold fields: p99 more than alone, in ECDHs",
	},
	{"http/hot/1/allocs-parent", "allocations in the parent, 1 in flight"},
	{"http/hot/64/allocs-parent", "allocations in the parent, 64 in flight"},
	{"wire/ours-of-bare/128/rate", "wire, 400 B, 128 in flight, of bare frames"},
	{"wire/ours-of-stream-per-request/128/rate", "the same, of a stream per request"},
	{"api/hot/closed-64/cpu-api", "hot field through the API, 64 in flight: CPU of the API"},
}

// FiguresOf returns the name of the set whose figures a page has. Error: [ErrNoFigures].
func FiguresOf(page []byte) (string, error) {
	_, rest, ok := bytes.Cut(page, []byte(figuresBegin))
	name, _, named := bytes.Cut(rest, []byte(" -->\n"))
	if !ok || !named || !bytes.Contains(rest, []byte(figuresEnd)) {
		return "", ErrNoFigures
	}
	return string(name), nil
}

// SetFigures returns the page with the figures of a set in place of those that it has. pictured is the name of the set
// that the page's pictures show. Error: [ErrNoFigures].
func SetFigures(page []byte, s *Set, pictured string) ([]byte, error) {
	if _, err := FiguresOf(page); err != nil {
		return nil, err
	}
	before, rest, _ := bytes.Cut(page, []byte(figuresBegin))
	_, after, _ := bytes.Cut(rest, []byte(figuresEnd))
	var b bytes.Buffer
	b.Write(before)
	writeFigures(&b, s, pictured)
	b.Write(after)
	return b.Bytes(), nil
}

func writeFigures(b *bytes.Buffer, s *Set, pictured string) {
	meta, held, targets := s.Meta(), 0, 0
	byName := make(map[string]*measure.Line)
	for i := range s.Lines {
		l := &s.Lines[i]
		byName[l.Name] = l
		if l.Target != nil {
			targets++
			if l.Holds != nil && *l.Holds {
				held++
			}
		}
	}
	fmt.Fprintf(b, "%s%s -->\n", figuresBegin, s.Name)
	fmt.Fprintf(b, "Commit `%s`, %s, %s CPUs (%s), %s; %d of %d targets hold.\n", meta["commit"], readable(meta["time"]),
		meta["cpus"], meta["cpu"], meta["go"], held, targets)
	if pictured == s.Name {
		b.WriteString("The pictures below show the same run.\n")
	} else {
		fmt.Fprintf(b, "The pictures below show an earlier run, `%s`, and not these figures.\n", pictured)
	}
	b.WriteString("\n| what | figure | target |\n|---|---|---|\n")
	for _, f := range figures {
		if l := byName[f.name]; l != nil {
			fmt.Fprintf(b, "| %s | %s | %s |\n", f.what, strings.ReplaceAll(quantity(l.Value, l.Unit), "|", "/"), bound(l))
		}
	}
	b.WriteString(figuresEnd)
}

// bound is a line's target and whether it holds, or nothing.
func bound(l *measure.Line) string {
	switch {
	case l.Target == nil:
		return ""
	case l.Holds != nil && *l.Holds:
		return sign(l) + ", holds"
	}
	return sign(l) + ", **missed**"
}
