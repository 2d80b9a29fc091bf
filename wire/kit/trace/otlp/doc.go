// Package otlp sends spans to an OpenTelemetry collector: OTLP 1.x over HTTP with protobuf bodies
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
//
// # Guarantees
//
// Record never blocks and never fails: what does not fit into a queue of [QueueSize] spans is dropped and counted, so
// a collector that is dead, slow or refuses costs a request nothing but the copy of its spans. One goroutine sends;
// each attempt ends after [AttemptTimeout]. Close sends what waits, within its context.
//
// What is sent is what package trace lets a span hold: names, codes, times, ids. Errors and log lines hold neither the
// collector's words nor the headers that authenticate us there. Redirects are not followed, and proxies of the
// environment not used.
//
// # Against whom
//
// Against a collector: it reads ids and times, and answers at most [maxAnswer] bytes. Against callers who mark all of
// their requests as sampled: they fill the queue, and no more.
//
// # Why no SDK
//
// The OpenTelemetry SDK with its HTTP exporter adds 22 % to the parent's binary, gRPC among it, and moves a module that
// the enclave's measured image is built from; the SDK alone 7 %; the generated messages 0.5 % and nothing but the
// protobuf runtime that metrics need anyway. In a process that carries plaintext, less is better.
package otlp
