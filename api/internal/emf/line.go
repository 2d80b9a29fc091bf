package emf

import (
	"iter"
	"slices"
	"time"
)

// metadata is the member that tells CloudWatch what the other members are.
type metadata struct {
	Timestamp         int64       // in Unix milliseconds
	CloudWatchMetrics []directive // always one here
}

type directive struct {
	Namespace  string
	Dimensions [][]string // each set is a metric of its own
	Metrics    []definition
}

type definition struct{ Name, Unit string }

// line is the root of a document.
type line map[string]any

// line begins a document with its sets of dimensions.
func (r *Recorder) line(sets ...[]string) line {
	return line{
		"_aws": &metadata{
			Timestamp:         r.cfg.Now().UnixMilli(),
			CloudWatchMetrics: []directive{{Namespace: Namespace, Dimensions: sets}},
		},
		"Function": r.cfg.Function,
	}
}

// metric adds a number, or up to maxValues of them.
func (l line) metric(name, unit string, value any) {
	d := &l["_aws"].(*metadata).CloudWatchMetrics[0]
	d.Metrics = append(d.Metrics, definition{name, unit})
	l[name] = value
}

// sample is one event.
type sample struct {
	took           time.Duration
	client, failed bool
}

func (s sample) bad() bool { return s.failed }

type samples []sample

func (p samples) count(is func(sample) bool) (n int) {
	for _, s := range p {
		if is(s) {
			n++
		}
	}
	return n
}

func (p samples) milliseconds() []float64 {
	out := make([]float64, len(p))
	for i, s := range p {
		out[i] = ms(s.took)
	}
	return out
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// groups gathers samples by key, keys in the order of their first sample. The zero value is empty.
type groups[K comparable] struct {
	keys []K
	of   map[K]samples
}

func (g *groups[K]) add(k K, s sample) {
	if g.of == nil {
		g.of = map[K]samples{}
	}
	if len(g.of[k]) == 0 {
		g.keys = append(g.keys, k)
	}
	g.of[k] = append(g.of[k], s)
}

// parts are the groups in pieces that fit into a line.
func (g *groups[K]) parts() iter.Seq2[K, samples] {
	return func(yield func(K, samples) bool) {
		for _, k := range g.keys {
			for part := range slices.Chunk(g.of[k], maxValues) {
				if !yield(k, part) {
					return
				}
			}
		}
	}
}

func (g *groups[K]) forget() {
	g.keys = g.keys[:0]
	clear(g.of)
}
