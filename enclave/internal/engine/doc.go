// Package engine is the request path of the enclave: frame, admission, key, open, expressions, encode.
//
// # Guarantee
//
// Every request that [Engine.Request] takes gets exactly one answer on the lane it came from, whatever goes wrong: a
// panic in any stage is answered internal and counted, and the process lives. Once the deadline has passed nothing is
// opened any more. Admission is bounded by number, by memory and by expected queue time; what exceeds a bound is
// answered overloaded at once.
//
// With a reply key each result that was asked for is sealed, padded, as a value or as the reason why there is none
// (package sealed/reply). Number, names and form of the results do not depend on what became of them, nor do the
// counters. A request that cannot be served at all (malformed, no key, overload) fails in the clear as any other.
//
// What the caller did not ask for is not in the answer. A field that cannot be opened is decrypt_failed whatever is
// wrong with it; if no field can be opened, so is the request, or with a reply key each of its results. Under the name
// of an expression there is never the raw field of that name, also when the expression failed.
//
// # Who does what
//
// The lane's reader decodes, looks up the key and opens each field whose context is cached: no public-key work. If that
// is all there is to do it answers too. Otherwise the request leaves the reader: it waits for its key, without a
// worker, and then its remaining fields become units of package workers, one for each encapsulated key. Requests that
// need the same key agreement share it: one is charged for it at admission, the first of them to get a worker does it,
// and a unit that comes meanwhile parks. The worker that ends the last unit evaluates expressions, encodes and answers,
// if that is quick. Otherwise the request is queued again: to compile, a unit for each expression, and to evaluate, in
// slices of about a millisecond, or of one expression. So a worker is lent to a request for no longer than it takes to
// compile or to evaluate one expression: 20 ms at the most. Expressions are tried on the reader as long as those of the
// same shape have been quick ([inlineExpressions]), and only up to a cost of [inlineUnits]: a reader that works holds
// up every answer of its lane.
//
// At most [MaxBegun] evaluations are begun and wait for their next slice, for each holds what it has made so far. One
// that needs another slice and finds no place forgets its first, and begins anew when there is one.
//
// # Against whom
//
// The parent and the callers are hostile: they see nothing of a request but its answer, cannot make a request
// cost more than its limits, nor delay others' requests by more than the scheduling of package workers allows.
//
// # Memory
//
// Plaintexts, expression results and the bodies of sealed replies lie in buffers of the request, which are wiped before
// they are used for another one; the answer is appended to the session's buffer, which the session wipes. A
// request that ends in a panic is wiped and not used again. Strings that CEL makes are the exception: see package expr.
package engine
