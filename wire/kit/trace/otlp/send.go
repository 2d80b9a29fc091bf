package otlp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"redoubt/wire/kit/trace"
)

// send is the sender: it gathers spans and exports them, until Close.
func (e *Exporter) send(ctx context.Context) {
	defer close(e.closed)
	tick := time.NewTicker(e.interval)
	defer tick.Stop()
	batch := make([]trace.Span, 0, BatchSize)
	for {
		select {
		case s := <-e.queue:
			if batch = append(batch, s); len(batch) == BatchSize {
				batch = e.export(ctx, batch)
			}
		case <-tick.C:
			batch = e.export(ctx, batch)
		case done := <-e.flush:
			batch = e.empty(ctx, batch)
			close(done)
		case <-e.closing:
			e.empty(ctx, batch)
			return
		}
	}
}

// empty exports the batch and all spans that are queued at this moment.
func (e *Exporter) empty(ctx context.Context, batch []trace.Span) []trace.Span {
	for range len(e.queue) {
		if batch = append(batch, <-e.queue); len(batch) == BatchSize {
			batch = e.export(ctx, batch)
		}
	}
	return e.export(ctx, batch)
}

// outcome of an attempt. Causes are static texts.
type outcome struct {
	cause    string // "" if the batch was accepted
	status   int
	rejected uint64        // number of sent spans that were refused
	retry    bool          // the same batch may be accepted later
	wait     time.Duration // the wait that the collector asks for
}

// export sends the batch, several times if need be, and returns it emptied.
func (e *Exporter) export(ctx context.Context, batch []trace.Span) []trace.Span {
	n := uint64(len(batch))
	if n == 0 {
		return batch
	}
	var o outcome
	body, err := proto.Marshal(e.encode(batch))
	if err != nil {
		o.cause = "not encodable"
	} else {
		o = e.attempts(ctx, body)
	}
	clear(batch)
	if o.cause != "" && o.rejected == 0 {
		o.rejected = n
	}
	o.rejected = min(o.rejected, n)
	e.failed.Add(o.rejected)
	e.exported.Add(n - o.rejected)
	if o.cause != "" {
		e.complain(o)
	}
	return batch[:0]
}

func (e *Exporter) attempts(ctx context.Context, body []byte) outcome {
	wait := firstWait
	for n := 1; ; n++ {
		o := e.attempt(ctx, body)
		jitter := rand.N(wait / 2) //nolint:gosec // spreads load, protects nothing
		if !o.retry || n == maxAttempts || !e.pause(ctx, max(o.wait, wait/2+jitter)) {
			return o
		}
		wait *= 2
	}
}

// pause waits between attempts. It returns false if there is no time for another one.
func (e *Exporter) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(min(d, maxWait))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.closing:
	case <-ctx.Done():
	}
	return false
}

func (e *Exporter) attempt(ctx context.Context, body []byte) outcome {
	ctx, cancel := context.WithTimeout(ctx, AttemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return outcome{cause: "bad endpoint"}
	}
	for k, v := range e.header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := e.client.Do(req)
	if err != nil {
		return broken(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch status := resp.StatusCode; {
	case status/100 == 2 && err == nil:
		return partial(answer)
	case status/100 == 2:
		return broken(err)
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway,
		status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		o := outcome{cause: "unavailable", status: status, retry: true}
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
			o.wait = time.Duration(min(s, int(maxWait/time.Second))) * time.Second
		}
		return o
	default:
		return outcome{cause: "refused", status: status}
	}
}

// broken is the outcome of an attempt without an answer. The error's text is dropped, since it names addresses.
func broken(err error) outcome {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return outcome{cause: "timeout", retry: true}
	}
	return outcome{cause: "no connection", retry: true}
}

// partial reads a successful answer, in which the collector may have refused some of the spans.
func partial(answer []byte) outcome {
	var m coltrace.ExportTraceServiceResponse
	if proto.Unmarshal(answer, &m) != nil {
		return outcome{} // accepted all the same: the status says so
	}
	if n := m.GetPartialSuccess().GetRejectedSpans(); n > 0 {
		return outcome{cause: "partly refused", rejected: uint64(n)}
	}
	return outcome{}
}

// complain logs that spans were lost, at most once in logEvery.
func (e *Exporter) complain(o outcome) {
	now := time.Now()
	if !e.logged.IsZero() && now.Sub(e.logged) < logEvery {
		return
	}
	e.logged = now
	s := e.Stats()
	e.log.Warn("traces not exported", slog.String("cause", o.cause), slog.Int("status", o.status),
		slog.Uint64("failed", s.Failed), slog.Uint64("dropped", s.Dropped))
}
