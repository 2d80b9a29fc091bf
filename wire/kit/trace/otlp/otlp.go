package otlp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/kit/program"
	"redoubt/wire/kit/trace"
)

// Limits and times.
const (
	QueueSize      = 2048            // greatest number of queued spans
	BatchSize      = 512             // greatest number of spans in one export
	Interval       = 5 * time.Second // longest time that a span waits for others
	AttemptTimeout = 10 * time.Second
	dialTimeout    = 5 * time.Second
	maxAttempts    = 4
	firstWait      = time.Second // before the second attempt; then twice as long each time
	maxWait        = 30 * time.Second
	maxAnswer      = 64 << 10
	logEvery       = time.Minute
	tracesPath     = "/v1/traces"
)

// DefaultRatio is the default share of the traces begun here that are sampled.
const DefaultRatio = 0.01

// Errors of New.
var (
	ErrEndpoint = errors.New("otlp: the endpoint must be http://HOST[:PORT] or https://HOST[:PORT], " +
		"with no user, query or fragment")
	ErrRatio = errors.New("otlp: the ratio must be 0 to 1")
)

// Options of an exporter. Endpoint and Service are required.
type Options struct {
	Endpoint string      // base URL; /v1/traces is appended
	Header   http.Header // sent with each export; may hold a credential
	TLS      *tls.Config // nil for the defaults
	Ratio    float64     // share of the traces begun here that are sampled, 0 to 1
	Service  string      // service.name
	Version  string      // service.version
	Log      *slog.Logger
	Interval time.Duration // Interval if 0
}

// Stats are counts of spans since the start.
type Stats struct {
	Exported uint64 // accepted by the collector
	Failed   uint64 // not accepted, after all attempts
	Dropped  uint64 // never sent: the queue was full
}

// Exporter is a trace.Sink. Make one with New and Close it. It is safe for concurrent use.
type Exporter struct {
	url      string
	header   http.Header
	bound    uint64
	service  []resourceAttr
	log      *slog.Logger
	client   *http.Client
	interval time.Duration

	queue   chan trace.Span
	flush   chan chan struct{}
	closing chan struct{} // closed by Close
	closed  chan struct{} // closed when the sender has ended
	once    sync.Once
	cancel  context.CancelFunc

	exported, failed, dropped atomic.Uint64
	logged                    time.Time // used by the sender alone
}

var _ trace.Sink = (*Exporter)(nil)

// resourceAttr describes the sender.
type resourceAttr struct{ key, value string }

// New makes an exporter and starts its sender. It opens no connection yet. Errors: ErrEndpoint, ErrRatio.
func New(o Options) (*Exporter, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, ErrEndpoint
	}
	if !program.Within(o.Ratio, 0, 1) {
		return nil, ErrRatio
	}
	var instance [16]byte
	_, _ = rand.Read(instance[:]) // never fails
	ctx, cancel := context.WithCancel(context.Background())
	e := &Exporter{
		url: strings.TrimRight(u.String(), "/") + tracesPath, header: o.Header.Clone(), bound: bound(o.Ratio),
		log: o.Log, client: client(o.TLS), interval: o.Interval, cancel: cancel,
		service: []resourceAttr{
			{"service.name", o.Service},
			{"service.version", o.Version},
			{"service.instance.id", hex.EncodeToString(instance[:])},
		},
		queue: make(chan trace.Span, QueueSize), flush: make(chan chan struct{}),
		closing: make(chan struct{}), closed: make(chan struct{}),
	}
	if e.interval <= 0 {
		e.interval = Interval
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	go e.send(ctx)
	return e, nil
}

func client(t *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:     (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig: t, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
			MaxIdleConns: 1, IdleConnTimeout: 4 * Interval, MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bound turns the ratio into a bound as OpenTelemetry's TraceIdRatioBased does, so that tiers with the same ratio
// agree on a trace.
func bound(ratio float64) uint64 {
	if ratio >= 1 {
		return 1 << 63
	}
	return uint64(ratio * (1 << 63))
}

// Sample implements trace.Sink. It decides by the id, which is random.
func (e *Exporter) Sample(t trace.ID) bool { return binary.BigEndian.Uint64(t[8:])>>1 < e.bound }

// Record implements trace.Sink.
func (e *Exporter) Record(spans ...trace.Span) {
	for i := range spans {
		select {
		case <-e.closing:
			e.dropped.Add(1)
			continue
		default:
		}
		select {
		case e.queue <- spans[i]:
		default:
			e.dropped.Add(1)
		}
	}
}

// Stats returns what became of the spans.
func (e *Exporter) Stats() Stats {
	return Stats{Exported: e.exported.Load(), Failed: e.failed.Load(), Dropped: e.dropped.Load()}
}

// Flush sends the queued spans, and returns when that is done or ctx ends.
func (e *Exporter) Flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case e.flush <- done:
	case <-e.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close sends the queued spans and ends the exporter. If ctx ends first, it drops the rest and returns ctx's error.
func (e *Exporter) Close(ctx context.Context) error {
	e.once.Do(func() { close(e.closing) })
	defer e.client.CloseIdleConnections()
	defer e.cancel()
	select {
	case <-e.closed:
		return nil
	case <-ctx.Done():
		e.cancel()
		<-e.closed // at once: an attempt ends with its context
		return ctx.Err()
	}
}
