package otlp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"redoubt/wire/kit/test/tracetest"
	"redoubt/wire/kit/trace"
	"redoubt/wire/kit/trace/otlp"
)

// exporter sends to a URL, soon.
func exporter(t *testing.T, url string, change ...func(*otlp.Options)) *otlp.Exporter {
	t.Helper()
	o := otlp.Options{Endpoint: url, Ratio: 1, Service: "redoubt-test", Version: "v1", Interval: time.Hour}
	for _, f := range change {
		f(&o)
	}
	e, err := otlp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Close(ctx)
	})
	return e
}

func span(name string) trace.Span {
	c := trace.New()
	c.Sampled = true
	now := time.Unix(1700000000, 123)
	return trace.Span{
		Name: name, Kind: trace.KindServer, Context: c, Parent: trace.New().Span, State: "a=1", Start: now,
		End: now.Add(time.Millisecond), Failed: true,
		Attrs: []trace.Attr{{Key: "http.route", Text: "/decrypt"}, {Key: "http.response.status_code", Int: 503}},
	}
}

func flush(t *testing.T, e *otlp.Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestACollectorGetsWhatASpanHolds(t *testing.T) {
	c := tracetest.StartCollector(t, nil)
	e := exporter(t, c.URL+"/", func(o *otlp.Options) { o.Header = http.Header{"Api-Key": {"k"}} })
	s := span("request")
	e.Record(s, trace.Span{Name: "first", Kind: trace.KindInternal, Context: trace.New()})
	flush(t, e)
	spans := c.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	got := spans[0]
	if who := got.Resource; who["service.name"] != "redoubt-test" || who["service.version"] != "v1" ||
		len(who["service.instance.id"]) != 32 {
		t.Errorf("%v", who)
	}
	if _, header := c.Calls(); header.Get("Api-Key") != "k" {
		t.Errorf("%v", header)
	}
	if got.Trace() != s.Context.Trace.String() || got.ID() != s.Context.Span.String() ||
		got.Parent() != s.Parent.String() || got.GetTraceState() != "a=1" ||
		got.GetName() != "request" || got.GetKind() != tracepb.Span_SPAN_KIND_SERVER || got.GetFlags()&1 != 1 ||
		got.GetStartTimeUnixNano() != 1700000000000000123 || got.GetEndTimeUnixNano() != 1700000000001000123 ||
		got.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || got.Attr("http.route") != "/decrypt" ||
		got.GetAttributes()[1].GetValue().GetIntValue() != 503 {
		t.Errorf("%v", got)
	}
	if first := spans[1]; first.Parent() != "" || first.GetStatus() != nil {
		t.Errorf("%v", first)
	}
	if s := e.Stats(); s != (otlp.Stats{Exported: 2}) {
		t.Errorf("%+v", s)
	}
}

func TestSpansAreSentByThemselvesAndInBatches(t *testing.T) {
	c := tracetest.StartCollector(t, nil)
	e := exporter(t, c.URL, func(o *otlp.Options) { o.Interval = time.Millisecond })
	for range otlp.BatchSize + 1 {
		e.Record(span("x"))
	}
	for deadline := time.Now().Add(20 * time.Second); e.Stats().Exported < otlp.BatchSize+1; {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", e.Stats())
		}
		<-time.After(time.Millisecond)
	}
	if n, _ := c.Calls(); n < 2 {
		t.Error("a batch is larger than its limit")
	}
}

func TestCloseSendsWhatWaits(t *testing.T) {
	c := tracetest.StartCollector(t, nil)
	e := exporter(t, c.URL)
	for range 3 * otlp.BatchSize / 2 {
		e.Record(span("x"))
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.Spans()) != 3*otlp.BatchSize/2 {
		t.Errorf("%d spans", len(c.Spans()))
	}
	e.Record(span("late"))
	if s := e.Stats(); s.Dropped != 1 {
		t.Errorf("%+v", s)
	}
	if err := errors.Join(e.Close(t.Context()), e.Flush(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestADeadCollectorCostsSpansAndALineOnly(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	_ = ln.Close()
	var log bytes.Buffer
	e := exporter(t, "http://"+dead, func(o *otlp.Options) {
		o.Log, o.Header = slog.New(slog.NewJSONHandler(&log, nil)), http.Header{"Api-Key": {"sesame"}}
	})
	began := time.Now()
	for range 2 * otlp.QueueSize {
		e.Record(span("x"))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("recording took %s", took)
	}
	if err := e.Close(t.Context()); err != nil { // one attempt a batch when closing
		t.Fatal(err)
	}
	if s := e.Stats(); s.Exported != 0 || s.Failed == 0 || s.Failed+s.Dropped != 2*otlp.QueueSize {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `"cause":"no connection"`) {
		t.Errorf("%d lines: %s", n, log.String())
	}
	if strings.Contains(log.String(), dead) || strings.Contains(log.String(), "sesame") {
		t.Errorf("the log says too much: %s", log.String())
	}
}

func TestAHangingCollectorDelaysNeitherRecordNorClose(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	e := exporter(t, "http://"+ln.Addr().String(), func(o *otlp.Options) { o.Interval = time.Millisecond })
	began := time.Now()
	for range 3 * otlp.QueueSize {
		e.Record(span("x"))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("recording took %s", took)
	}
	if e.Stats().Dropped == 0 {
		t.Error("nothing was dropped: the queue is not bounded")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush: %v", err)
	}
	began = time.Now()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("close: %v after %s", err, time.Since(began))
	}
}

func TestARetryMakesUpForAnUnavailableCollector(t *testing.T) {
	c := tracetest.StartCollector(t, func(call int, w http.ResponseWriter) bool {
		if call == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return call > 1
	})
	e := exporter(t, c.URL)
	e.Record(span("x"))
	flush(t, e)
	if n, _ := c.Calls(); n != 2 {
		t.Errorf("%d calls", n)
	}
	if s := e.Stats(); s != (otlp.Stats{Exported: 1}) || len(c.Spans()) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWhatACollectorRefusesIsNotSentAgain(t *testing.T) {
	for name, answer := range map[string]func(int, http.ResponseWriter) bool{
		"refused": func(_ int, w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadRequest); return false },
		"redirected": func(_ int, w http.ResponseWriter) bool {
			w.Header().Set("Location", "/x")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return false
		},
		"partly": func(_ int, w http.ResponseWriter) bool {
			b, _ := proto.Marshal(&coltrace.ExportTraceServiceResponse{
				PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "no"},
			})
			_, _ = w.Write(b)
			return true
		},
	} {
		c := tracetest.StartCollector(t, answer)
		e := exporter(t, c.URL)
		e.Record(span("x"))
		flush(t, e)
		if n, _ := c.Calls(); n != 1 || e.Stats() != (otlp.Stats{Failed: 1}) {
			t.Errorf("%s: %d calls, %+v", name, n, e.Stats())
		}
	}
}

func TestTheRatioIsKeptAndTiersAgree(t *testing.T) {
	share := func(ratio float64) (n int) {
		a := exporter(t, "http://127.0.0.1:1", func(o *otlp.Options) { o.Ratio = ratio })
		b := exporter(t, "http://127.0.0.1:1", func(o *otlp.Options) { o.Ratio = ratio })
		for range 10000 {
			id := trace.New().Trace
			if a.Sample(id) != b.Sample(id) {
				t.Error("two exporters disagree")
			}
			if a.Sample(id) {
				n++
			}
		}
		return n
	}
	if none, all, some := share(0), share(1), share(.1); none != 0 || all != 10000 || some < 800 || some > 1200 {
		t.Errorf("%d, %d, %d of 10000", none, some, all)
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	e := exporter(t, "http://127.0.0.1:1")
	s := span("x")
	if n := testing.AllocsPerRun(100, func() { e.Record(s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, url := range []string{"", "collector:4318", "ftp://x", "http://", "http://user:secret@x", "http://x?k=secret", "http://x#f"} {
		if _, err := otlp.New(otlp.Options{Endpoint: url}); !errors.Is(err, otlp.ErrEndpoint) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, r := range []float64{-.1, 1.1} {
		if _, err := otlp.New(otlp.Options{Endpoint: "http://x", Ratio: r}); !errors.Is(err, otlp.ErrRatio) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) string {
		p := filepath.Join(dir, "f")
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	h, err := otlp.ReadHeader(file("# ours\n\nApi-Key: a:b \nX: y\n"))
	if err != nil || h.Get("Api-Key") != "a:b" || h.Get("X") != "y" {
		t.Errorf("%v %v", h, err)
	}
	for _, bad := range []string{"nothing", "a b: c", ": x", "a: b\x00"} {
		if _, err := otlp.ReadHeader(file(bad)); !errors.Is(err, otlp.ErrHeaders) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := otlp.ReadHeader(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := otlp.ReadRoots(file("no pem")); !errors.Is(err, otlp.ErrRoots) {
		t.Error(err)
	}
	if c, err := otlp.ReadRoots(""); err != nil || c.RootCAs != nil {
		t.Error(c, err)
	}
}
