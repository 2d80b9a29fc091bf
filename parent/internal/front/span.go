package front

import (
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/wire/kit/trace"
)

// part is a part of a request. In a sampled request each part has a span. What happens inside an enclave has none:
// the enclave's answers carry no times, and it knows of no trace.
type part uint8

const (
	partRead    part = iota // body read and decoded
	partEnclave             // sent to an enclave, until its answer
	partWrite               // answer decoded and written as JSON
	parts
)

var partSpans = [parts]struct {
	name string
	kind trace.Kind
}{
	{"read request", trace.KindInternal},
	{"ask enclave", trace.KindClient},
	{"write answer", trace.KindInternal},
}

// begin ends the part before p and begins p. It costs nothing if the request is not sampled.
func (x *exchange) begin(p part) {
	if !x.timed {
		return
	}
	now := time.Now()
	x.endPart(now)
	x.parts[p].start = now
}

// endPart ends the part that runs.
func (x *exchange) endPart(now time.Time) {
	for i := range x.parts {
		if p := &x.parts[i]; !p.start.IsZero() && p.end.IsZero() {
			p.end = now
		}
	}
}

// exemplar is the trace to record with the request's time: that of a sampled request, if its caller was admitted.
func (x *exchange) exemplar() (t trace.ID) {
	if x.trace.Sampled && x.status != fasthttp.StatusUnauthorized {
		t = x.trace.Trace
	}
	return t
}

// record hands over the spans of a sampled request. A caller without the right to ask gets none, so that strangers
// cannot fill the queue.
func (s *Server) record(x *exchange, took time.Duration) {
	if !x.timed || x.status == fasthttp.StatusUnauthorized || routes[x.route].open {
		return
	}
	end := x.start.Add(took)
	x.endPart(end)
	state, failed := x.state(), x.status >= fasthttp.StatusInternalServerError
	spans := make([]trace.Span, 0, 1+parts)
	spans = append(spans, trace.Span{
		Name: x.route.String(), Kind: trace.KindServer, Context: x.trace, Parent: x.parent, State: state,
		Start: x.start, End: end, Failed: failed,
		Attrs: []trace.Attr{
			{Key: "http.route", Text: x.route.String()},
			{Key: "http.response.status_code", Int: int64(x.status)},
			{Key: "redoubt.code", Text: x.code},
			{Key: "redoubt.request_id", Text: string(x.requestID())},
		},
	})
	for i, p := range x.parts {
		if p.start.IsZero() {
			continue
		}
		spans = append(spans, trace.Span{
			Name: partSpans[i].name, Kind: partSpans[i].kind, Context: x.trace.Child(), Parent: x.trace.Span, State: state,
			Start: p.start, End: p.end, Failed: failed && p.end.Equal(end), // the part in which it failed
		})
	}
	s.o.Spans.Record(spans...)
}

// state is the trace's tracestate, which is of use only with the caller's traceparent.
func (x *exchange) state() string {
	if x.parent == (trace.SpanID{}) {
		return ""
	}
	var headers []string
	for _, h := range x.ctx.Request.Header.PeekAll(traceState) {
		headers = append(headers, string(h))
	}
	return trace.State(headers...)
}
