package otlp

import (
	coltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"redoubt/wire/kit/trace"
)

// scope names the producer of the spans.
const scope = "redoubt"

// encode makes the message of one export.
func (e *Exporter) encode(batch []trace.Span) *coltrace.ExportTraceServiceRequest {
	who := make([]*common.KeyValue, len(e.service))
	for i, a := range e.service {
		who[i] = text(a.key, a.value)
	}
	spans := make([]*tracepb.Span, len(batch))
	for i := range batch {
		spans[i] = span(&batch[i])
	}
	return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resource.Resource{Attributes: who},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &common.InstrumentationScope{Name: scope}, Spans: spans}},
	}}}
}

func span(s *trace.Span) *tracepb.Span {
	out := &tracepb.Span{
		TraceId: s.Context.Trace[:], SpanId: s.Context.Span[:], TraceState: s.State, Name: s.Name,
		Kind: kind(s.Kind), Flags: 1, // sampled
		StartTimeUnixNano: uint64(s.Start.UnixNano()), EndTimeUnixNano: uint64(s.End.UnixNano()),
		Attributes: make([]*common.KeyValue, 0, len(s.Attrs)),
	}
	if s.Parent != (trace.SpanID{}) {
		out.ParentSpanId = s.Parent[:]
	}
	if s.Failed {
		out.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	}
	for _, a := range s.Attrs {
		if a.Text != "" {
			out.Attributes = append(out.Attributes, text(a.Key, a.Text))
			continue
		}
		out.Attributes = append(out.Attributes, &common.KeyValue{Key: a.Key, Value: &common.AnyValue{
			Value: &common.AnyValue_IntValue{IntValue: a.Int},
		}})
	}
	return out
}

func kind(k trace.Kind) tracepb.Span_SpanKind {
	switch k {
	case trace.KindServer:
		return tracepb.Span_SPAN_KIND_SERVER
	case trace.KindClient:
		return tracepb.Span_SPAN_KIND_CLIENT
	case trace.KindInternal:
	}
	return tracepb.Span_SPAN_KIND_INTERNAL
}

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}
