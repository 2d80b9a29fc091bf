// Package trace is what tiers know of a request beyond its content: its trace (W3C Trace Context, level 1,
// https://www.w3.org/TR/trace-context-1/), its id in logs and answers, and the times of its parts.
//
// # Guarantees
//
// A traceparent is believed only if it is exactly what the recommendation says (section 3.2); of anything else nothing
// is taken over, and a new trace begins. A tracestate is passed on whole or not at all (section 3.3). A request id is
// taken only if it is of [MaxRequestID] bytes of a charset that needs no escaping in a header, in JSON or in a log.
// Parsing and making contexts allocates nothing.
//
// Ids are for finding lines and spans; they guard nothing, and whoever calls can choose them. Spans hold static names,
// codes and numbers: no value, field name, expression, key or vault id. Nothing of this goes into an enclave.
//
// # Against whom
//
// Callers that send malformed, oversized or many headers: at most [maxMembers] members and [maxState] bytes of a
// tracestate are kept. A caller may ask for its requests to be sampled; what that costs is bounded by the sink (see
// package otlp).
package trace
