package trace

import (
	"context"
	"time"
)

// Kind is a span's place between two processes, with OTLP's numbers.
type Kind uint8

// Kinds.
const (
	KindInternal Kind = 1
	KindServer   Kind = 2
	KindClient   Kind = 3
)

// Attr is a property of a span. Key and Text MUST be static texts, or ids that logs hold too; never a value.
type Attr struct {
	Key  string
	Text string // when not empty
	Int  int64
}

// Span is one timed part of a request.
type Span struct {
	Name       string // static
	Kind       Kind
	Context    Context // its own
	Parent     SpanID  // zero for the first of a trace
	State      string  // the trace's tracestate
	Start, End time.Time
	Failed     bool
	Attrs      []Attr
}

// Sink takes spans. A nil Sink is tracing that is off.
type Sink interface {
	// Sample decides on a trace that begins here. A trace that another process began keeps that one's decision.
	Sample(ID) bool
	// Record takes finished spans over; it never blocks and may drop them.
	Record(spans ...Span)
}

// Request is a request that is being answered, as its context carries it to whatever works for it. It is not changed
// once made.
type Request struct {
	Context        // where new spans belong
	State   string // to pass on
	ID      string // in logs and answers
	Sink    Sink   // nil when off
}

// Begin is the place in its trace of a request that came in with these headers: a child of the caller's span, or the
// first span of a new trace. parent is the caller's span, zero if there is none.
func Begin(traceparent, tracestate []string, sink Sink) (r Request, parent SpanID) {
	if len(traceparent) == 1 {
		if c, ok := Parse([]byte(traceparent[0])); ok {
			return Request{Context: c.Child(), State: State(tracestate...), Sink: sink}, c.Span
		}
	}
	r = Request{Context: New(), Sink: sink}
	r.Sampled = sink != nil && sink.Sample(r.Trace)
	return r, SpanID{}
}

type contextKey struct{}

// With puts r into ctx.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// From is ctx's request, nil when it has none.
func From(ctx context.Context) *Request {
	r, _ := ctx.Value(contextKey{}).(*Request)
	return r
}

// Recorded reports whether spans of r go anywhere.
func (r *Request) Recorded() bool { return r != nil && r.Sampled && r.Sink != nil }

// Step begins a part of ctx's request, which calls another process when kind is [KindClient]. What is called belongs
// under the context that it returns; end is called once, with failed and a static word for the outcome.
func Step(ctx context.Context, kind Kind, name string) (step context.Context, end func(failed bool, outcome string)) {
	r := From(ctx)
	if r == nil {
		return ctx, nothing
	}
	own := *r
	own.Context = r.Child()
	step = With(ctx, &own)
	if !r.Recorded() {
		return step, nothing
	}
	start := time.Now()
	return step, func(failed bool, outcome string) {
		r.Sink.Record(Span{
			Name: name, Kind: kind, Context: own.Context, Parent: r.Span, State: r.State, Start: start, End: time.Now(),
			Failed: failed, Attrs: []Attr{{Key: "outcome", Text: outcome}},
		})
	}
}

func nothing(bool, string) {}
