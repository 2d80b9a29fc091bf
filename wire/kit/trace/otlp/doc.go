// Package otlp sends the tiers' spans to an OpenTelemetry collector: OTLP 1.x over HTTP with protobuf bodies
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
//
// # Guarantees
//
// Record never blocks and never fails. Spans that do not fit into a queue of [QueueSize] are dropped and counted. So
// a collector that is dead, slow or refuses costs a request nothing but the copy of its spans. One goroutine sends;
// each attempt ends after [AttemptTimeout]. Close sends the queued spans, within its context.
//
// Spans carry only names, codes, times and ids (see package trace). Errors and log lines hold neither the collector's
// words nor the headers that authenticate us there. Redirects are not followed, and proxies of the environment are
// not used.
//
// # Against whom
//
// A collector reads ids and times, and at most [maxAnswer] bytes of its answer are read. Callers may mark all of
// their requests as sampled: that fills the queue, and does nothing more.
//
// # Why no SDK
//
// The OpenTelemetry SDK with its HTTP exporter adds 22 % to the parent's binary, gRPC among it, and changes a module
// from which the enclave's measured image is built. The SDK alone adds 7 %. The generated messages add 0.5 %, and
// need nothing but the protobuf runtime that metrics need anyway. In a process that carries plaintext, less is
// better.
package otlp
