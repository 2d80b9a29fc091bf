package httpload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"redoubt/bench/internal/corpus"
)

// Mixes of requests.
const (
	Hot         = "hot"          // a field of a vault chosen by popularity: key and context are cached
	ColdContext = "cold-context" // each request another write: the key is cached, the context is not
	ColdKey     = "cold-key"     // each request another vault: nothing is cached
	Batch       = "batch"        // as hot, many items in one request
	WithCEL     = "expressions"  // as hot, with two expressions
)

// Mixes lists them.
func Mixes() []string { return []string{Hot, ColdContext, ColdKey, Batch, WithCEL} }

// MixOptions say what requests a mix makes.
type MixOptions struct {
	Mix    string
	Fields int     // of each request, 1 or more
	Items  int     // of each batch
	Zipf   float64 // exponent of the vaults' popularity, above 1; 0 or 1: all alike
	Seed   uint64
	// ColdBatch makes the items of batches cold writes.
	ColdBatch bool
}

// Source gives the requests of a mix. Next may be called from several goroutines with a generator for each.
type Source struct {
	requests []*Request
	zipf     float64
	inTurn   bool
	turn     atomic.Uint64
}

// ErrMix reports a mix for which a corpus does not have the records.
var ErrMix = errors.New("the corpus has not the records for this mix")

// fieldsOf is the number of fields that every record has.
func fieldsOf(c *corpus.Corpus) int {
	if c.API {
		return len(corpus.APIFields)
	}
	n := len(c.Vaults[0].Writes[0])
	for i := range c.Vaults {
		for _, w := range c.Vaults[i].Writes {
			n = min(n, len(w))
		}
	}
	return n
}

// NewSource makes all requests of a mix.
func NewSource(t *Target, c *corpus.Corpus, o MixOptions) (*Source, error) {
	if !slices.Contains(Mixes(), o.Mix) {
		return nil, fmt.Errorf("unknown mix %q", o.Mix)
	}
	if len(c.Vaults) == 0 || o.Fields < 1 || o.Fields > fieldsOf(c) ||
		c.API && (o.Mix == Batch || o.Mix == ColdContext) {
		return nil, ErrMix
	}
	s := &Source{zipf: o.Zipf}
	switch o.Mix {
	case Batch:
		return s, s.batches(t, c, &o)
	case ColdContext:
		s.inTurn = true
		return s, s.add(t, c, writesInTurn(c, o.Fields))
	}
	s.inTurn = o.Mix == ColdKey
	var items []item
	for i := range c.Vaults {
		it := item{vault: &c.Vaults[i], fields: names(o.Fields)}
		if c.API {
			it.fields = corpus.APIFields[:o.Fields]
		}
		if o.Mix == WithCEL {
			it.expressions = Expressions
		}
		items = append(items, it)
	}
	return s, s.add(t, c, items)
}

func (s *Source) add(t *Target, c *corpus.Corpus, items []item) error {
	for _, i := range items {
		r, err := t.single(c, i)
		if err != nil {
			return err
		}
		s.requests = append(s.requests, r)
	}
	return nil
}

// writesInTurn orders all writes so that those of one vault are far apart.
func writesInTurn(c *corpus.Corpus, fields int) (items []item) {
	for w := range c.Vaults[0].Writes {
		for v := range c.Vaults {
			if w < len(c.Vaults[v].Writes) {
				items = append(items, item{vault: &c.Vaults[v], write: w, fields: names(fields)})
			}
		}
	}
	return items
}

// maxBatches bounds the batches that are made beforehand.
const maxBatches = 64

func (s *Source) batches(t *Target, c *corpus.Corpus, o *MixOptions) error {
	if o.Items < 1 {
		return ErrMix
	}
	pool := writesInTurn(c, o.Fields)
	if !o.ColdBatch {
		pool = pool[:len(c.Vaults)]
	}
	s.inTurn = true
	n := 0
	for range max(1, min(maxBatches, len(pool)/o.Items)) {
		items := make([]item, o.Items)
		for i := range items {
			items[i] = pool[n%len(pool)]
			n++
		}
		r, err := t.many(c, items)
		if err != nil {
			return err
		}
		s.requests = append(s.requests, r)
	}
	return nil
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = corpus.FieldName(i)
	}
	return out
}

// Len is the number of different requests.
func (s *Source) Len() int { return len(s.requests) }

// picker chooses requests for one caller.
type picker struct {
	s    *Source
	zipf *rand.Zipf
	rng  *rand.Rand
}

func (s *Source) picker(seed, caller uint64) *picker {
	p := &picker{s: s, rng: rand.New(rand.NewPCG(seed, caller))} //nolint:gosec // load is to be repeatable
	if s.zipf > 1 {
		p.zipf = rand.NewZipf(p.rng, s.zipf, 1, uint64(len(s.requests)-1))
	}
	return p
}

func (p *picker) next() *Request {
	switch {
	case p.s.inTurn:
		return p.s.requests[(p.s.turn.Add(1)-1)%uint64(len(p.s.requests))]
	case p.zipf != nil:
		return p.s.requests[p.zipf.Uint64()]
	}
	return p.s.requests[p.rng.IntN(len(p.s.requests))]
}
