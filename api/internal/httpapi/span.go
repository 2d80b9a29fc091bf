package httpapi

import (
	"log/slog"
	"net/http"
	"time"

	"redoubt/wire/kit/trace"
)

// These are the headers of W3C Trace Context, as net/http writes them.
const (
	traceParent = "Traceparent"
	traceState  = "Tracestate"
)

// log is the log for lines about this request.
func (c *call) log() *slog.Logger {
	return c.server.cfg.Log.With("request_id", c.caller.RequestID, "trace_id", c.trace.Trace.String())
}

// sampled reports whether the request's trace is to be exported. A request without the right to ask is not, so that
// strangers cannot fill the exporter's queue. Neither are health checks.
func (c *call) sampled(status int) bool {
	return c.trace.Sampled && status != http.StatusUnauthorized && c.route != nil && !c.route.open
}

// exemplar is the trace to record with the request's time, and zero for none.
func (c *call) exemplar(status int) (t trace.ID) {
	if c.sampled(status) {
		t = c.trace.Trace
	}
	return t
}

// record hands over the span of a whole request. parent is its caller's span, and zero for none.
func (s *Server) record(c *call, parent trace.SpanID, status int, code string, start time.Time, took time.Duration) {
	if s.cfg.Spans == nil || !c.sampled(status) {
		return
	}
	s.cfg.Spans.Record(trace.Span{
		Name: c.route.method + " " + c.route.path, Kind: trace.KindServer, Context: c.trace.Context, Parent: parent,
		State: c.trace.State, Start: start, End: start.Add(took), Failed: status >= http.StatusInternalServerError,
		Attrs: []trace.Attr{
			{Key: "http.request.method", Text: c.route.method},
			{Key: "http.route", Text: c.route.path},
			{Key: "http.response.status_code", Int: int64(status)},
			{Key: "redoubt.code", Text: code},
			{Key: "redoubt.request_id", Text: c.caller.RequestID},
		},
	})
}
