package front

import (
	"context"
	"log/slog"
	"time"

	"redoubt/wire/kit/program"
	"redoubt/wire/kit/trace"
)

var hRequestID = []byte("X-Request-Id")

const (
	traceParent = "Traceparent"
	traceState  = "Tracestate"
)

// identify echoes the caller's request id, or makes one, and finds the request's place in its trace. The enclave gets
// neither.
func (x *exchange) identify(sink trace.Sink) {
	h := &x.ctx.Response.Header
	if id := x.ctx.Request.Header.PeekBytes(hRequestID); trace.ValidRequestID(id) {
		h.SetCanonical(hRequestID, id)
	} else {
		var made [trace.RequestIDSize]byte
		h.SetCanonical(hRequestID, trace.AppendRequestID(made[:0]))
	}
	if all := x.ctx.Request.Header.PeekAll(traceParent); len(all) == 1 {
		if c, ok := trace.Parse(all[0]); ok {
			x.trace, x.parent = c.Child(), c.Span
		}
	}
	if x.parent == (trace.SpanID{}) {
		x.trace = trace.New()
		x.trace.Sampled = sink != nil && !routes[x.route].open && sink.Sample(x.trace.Trace)
	}
	x.timed = sink != nil && x.trace.Sampled
}

// requestID is the request's id, until the answer is sent.
func (x *exchange) requestID() []byte { return x.ctx.Response.Header.PeekBytes(hRequestID) }

// ids are the attributes of every log line about a request.
func (x *exchange) ids() (request, traced slog.Attr) {
	return slog.String("request_id", string(x.requestID())), slog.String("trace_id", x.trace.Trace.String())
}

// log writes a line about a request. With AccessLog that is every request. Otherwise it is failures of ours and
// refusals, at a bounded rate.
func (s *Server) log(x *exchange, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case x.status >= 500 && x.route != RouteReady:
		level = slog.LevelWarn
	case x.status == 401, x.status == 403:
		level = slog.LevelWarn
	case !s.o.AccessLog:
		return
	}
	if !s.o.AccessLog && !s.logRate.Allow() {
		return
	}
	ctx := context.Background()
	if !s.o.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	id, traced := x.ids()
	attrs = append(attrs,
		slog.String("route", x.route.String()),
		slog.Int("status", x.status),
		slog.String("code", x.code),
		program.Duration("took", took),
		id, traced,
	)
	if x.caller != "" {
		attrs = append(attrs, slog.String("caller", x.caller))
	}
	attrs = append(attrs, slog.String("client", x.ctx.RemoteAddr().String())) // from the PROXY header, if there is one
	s.o.Log.LogAttrs(ctx, level, "request", attrs...)
}

func withDeadline(t time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), t)
}
