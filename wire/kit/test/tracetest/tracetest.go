// Package tracetest gives tests of tracing a caller's trace context, a sink that keeps spans, and a collector that
// receives them over HTTP.
package tracetest

import (
	"sync"

	"redoubt/wire/kit/trace"
)

// A caller's trace context, and its traceparent with the decision to sample and with the one not to.
const (
	CallerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	CallerSpan  = "00f067aa0ba902b7"
	Sampled     = "00-" + CallerTrace + "-" + CallerSpan + "-01"
	Quiet       = "00-" + CallerTrace + "-" + CallerSpan + "-00"
)

// Recorder is a trace.Sink that keeps spans. It samples, of traces that begin here, every one or none.
type Recorder struct {
	All   bool
	mu    sync.Mutex
	spans []trace.Span
}

// Sample implements trace.Sink.
func (r *Recorder) Sample(trace.ID) bool { return r.All }

// Record implements trace.Sink.
func (r *Recorder) Record(spans ...trace.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, spans...)
}

// Take is what was recorded since the last Take.
func (r *Recorder) Take() []trace.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := r.spans
	r.spans = nil
	return spans
}
