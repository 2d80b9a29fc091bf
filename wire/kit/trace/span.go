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

// Attr is a property of a span. Key and Text MUST be static texts, or ids that logs hold too, and never a value.
type Attr struct {
	Key  string
	Text string // when not empty
	Int  int64
}

// Span is one timed part of a request.
type Span struct {
	Name       string // static
	Kind       Kind
	Context    Context // the span's own context
	Parent     SpanID  // zero for the first of a trace
	State      string  // the trace's tracestate
	Start, End time.Time
	Failed     bool
	Attrs      []Attr
}

// Sink takes spans. A nil Sink means that tracing is off.
type Sink interface {
	// Sample decides whether to sample a trace that begins here. For a trace that another process began, that process
	// decided.
	Sample(ID) bool
	// Record takes over finished spans. It never blocks, and may drop them.
	Record(spans ...Span)
}

// Request describes a request that is being answered. The request's context carries it to the code that works for it.
// It is not changed once made.
type Request struct {
	Context        // the parent of new spans
	State   string // to pass on
	ID      string // in logs and answers
	Sink    Sink   // nil if tracing is off
}

// Begin returns the Request for a request that came in with these headers: a child of the caller's span, or the first
// span of a new trace. parent is the caller's span, and zero if there is none.
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

// From returns ctx's request, or nil if it has none.
func From(ctx context.Context) *Request {
	r, _ := ctx.Value(contextKey{}).(*Request)
	return r
}

// Recorded reports whether spans of r go to a sink.
func (r *Request) Recorded() bool { return r != nil && r.Sampled && r.Sink != nil }

// Step begins a part of ctx's request. If kind is [KindClient] the part calls another process, and the callee's spans
// belong under the returned context. Call end once, with failed and a static word for the outcome.
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
