// Package engine answers requests inside the enclave, for the sessions that carry them. It takes a decrypt request
// through decoding, admission, its key, opening its fields, its expressions, and encoding the answer.
//
// # Guarantee
//
// Every request that [Engine.Request] takes gets exactly one answer, on the lane it came from, whatever goes wrong. A
// panic in any stage is answered internal and counted, and the process lives on. Once the deadline has passed nothing
// is opened any more. Admission is bounded by number, by memory and by expected queue time. A request that exceeds a
// bound is answered overloaded at once.
//
// With a reply key (a caller's public key to which the answer is sealed) each requested result is sealed and padded,
// as a value or as the reason why there is none (package sealed/reply). Neither the number, names and form of the
// results nor the counters depend on whether a result has a value. A request that cannot be served at all (malformed,
// no key, overload) fails in the clear like any other.
//
// The answer holds nothing that the caller did not ask for. A field that cannot be opened is decrypt_failed, whatever
// is wrong with it. If no field can be opened, the request is decrypt_failed, or with a reply key each of its
// results. The raw value of a field never stands under the name of an expression, also when the expression failed.
//
// # Domains
//
// The engine also makes domains, wraps and keys of new vaults, and reseals (package wire, kinds 3 to 10), as the
// configuration allows. A mint is a unit of work for each key. A reseal is a decrypt of all fields, and then one unit
// that makes the new key, seals the fields to it and signs for both records: it is answered whole or not at all. The
// plaintexts do not leave the request's buffers, and are wiped with them. If a field does not open, the answer names
// it. A vault without fields is resealed only if its key opens: otherwise whoever asks could have a key stated for any
// id. What waits for KMS (creations, wraps) runs beside the workers, at most 16 requests at once.
//
// # Who does what
//
// The lane's reader decodes, looks up the key and opens each field whose context is cached; that takes no public-key
// work. If nothing else is to be done, the reader answers too. Otherwise the request leaves the reader. It waits for
// its key, without a worker. Then its remaining fields become units of package workers, one for each encapsulated
// key.
//
// Requests that need the same key agreement share it. Admission charges it to one of them. The first of them to get a
// worker does it, and a unit that comes meanwhile parks.
//
// The worker that ends the last unit evaluates the expressions, encodes and answers, if that is quick. Otherwise the
// request is queued again: a unit for each expression to compile, and slices of about a millisecond, or of one
// expression, to evaluate. So a request holds a worker no longer than it takes to compile or evaluate one expression:
// 20 ms at most.
//
// The reader tries expressions itself as long as those of the same shape have been quick ([inlineExpressions]), and
// only up to a cost of [inlineUnits]: while a reader works, every answer of its lane waits.
//
// At most [MaxBegun] evaluations are begun and wait for their next slice, since each holds what it has made so far.
// An evaluation that needs a second slice and finds no place forgets the first, and begins anew when there is a
// place.
//
// # Against whom
//
// The parent and the callers are hostile. They see nothing of a request but its answer. They cannot make a request
// cost more than its limits, nor delay other requests by more than the scheduling of package workers allows.
//
// # Memory
//
// Plaintexts, expression results and the bodies of sealed replies lie in buffers of the request. These are wiped
// before they are used for another request. The answer is appended to the session's buffer, which the session wipes.
// A request that ends in a panic is wiped and not used again. Strings that CEL makes are the exception: see package
// expr.
package engine
