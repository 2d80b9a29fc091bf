package cli

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"redoubt/wire/kit/program"
	"redoubt/wire/kit/trace/otlp"
)

// spansTimeout bounds the sending of the last spans.
const spansTimeout = 2 * time.Second

// appFlags are the flags that the server has under each of its hosts.
type appFlags struct {
	storeFlags  `embed:""`
	parentFlags `embed:""`
	vaultFlags  `embed:""`
	traceFlags  `embed:""`

	checkpointFlags `embed:""`
}

// check checks the numbers.
func (f *appFlags) check() error {
	return errors.Join(
		program.Range("--parent-timeout", f.ParentTimeout, time.Millisecond, program.MaxWait),
		program.Range("--kms-timeout", f.KMSTimeout, time.Millisecond, program.MaxWait),
		program.Range("--trace-ratio", f.TraceRatio, 0, 1),
		f.checkpointFlags.check(),
		f.storeFlags.check(),
		f.keyFlags.check(f.keepsDomains()),
	)
}

// traceFlags say where spans of requests are sent. W3C trace context is accepted and passed on without them too.
type traceFlags struct {
	OTLPEndpoint string `help:"${h_otlp}" env:"API_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL"`

	OTLPHeadersFile string  `help:"${h_otlp_headers}" env:"API_OTLP_HEADERS_FILE" type:"path" placeholder:"FILE"`
	OTLPCAFile      string  `name:"otlp-ca-file" help:"${h_otlp_ca}" env:"API_OTLP_CA_FILE" type:"path"`
	TraceRatio      float64 `help:"${h_trace_ratio}" env:"API_TRACE_RATIO" default:"0.01"`
}

// sink makes the exporter. It returns nil without an endpoint.
func (f *traceFlags) sink(version string, log *slog.Logger) (*otlp.Exporter, error) {
	e, err := otlp.Open(otlp.Settings{
		Endpoint: f.OTLPEndpoint, HeadersFile: f.OTLPHeadersFile, CAFile: f.OTLPCAFile, Ratio: f.TraceRatio,
	}, "redoubt-api", version, log)
	if err != nil {
		return nil, hint(err, "see --otlp-endpoint, --otlp-headers-file, --otlp-ca-file and --trace-ratio")
	}
	return e, nil
}

// closeSpans sends the last spans, after the last request.
func closeSpans(e *otlp.Exporter, log *slog.Logger) {
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), spansTimeout)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		log.Warn("the last spans were not sent in time")
	}
}
