// Package trace holds what the tiers know of a request beyond its content: its trace (W3C Trace Context, level 1,
// https://www.w3.org/TR/trace-context-1/), its id in logs and answers, and the times of its parts.
//
// # Guarantees
//
// A traceparent is accepted only if it has exactly the form of the recommendation (section 3.2). Of any other nothing
// is used, and a new trace begins. A tracestate is passed on whole or not at all (section 3.3). A request id is
// accepted only if it has at most [MaxRequestID] bytes, of a charset that needs no escaping in a header, in JSON or
// in a log. Parsing and making contexts allocates nothing.
//
// Ids serve to find log lines and spans. They protect nothing, and callers can choose them. Spans hold static names,
// codes and numbers: no value, field name, expression, key or vault id. Nothing of this package goes into an enclave.
//
// # Against whom
//
// Callers may send malformed, oversized or many headers. At most [maxMembers] members and [maxState] bytes of a
// tracestate are kept. A caller may ask for its requests to be sampled. The sink bounds what that costs (see package
// otlp).
package trace
