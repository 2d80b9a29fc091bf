// Package pool keeps sessions open to enclaves and gives each request to the best of them.
//
// # Guarantees
//
// Each enclave has a fixed number of sessions; a session that ends, stalls or misses its pings is replaced, with
// exponential backoff and full jitter, and never more than [Options].RetryMax after its enclave is back. A request
// goes to the session with the fewest requests in flight, among those of enclaves that say they are ready. When every
// session is at its limit, it fails at once with wire.Overloaded.
//
// A request is sent again, to another session, in these cases and no other (opening a field changes nothing, so that
// sending twice is safe for the record):
//
//   - No byte of it reached the enclave (session.ErrNotSent), or the enclave refuses since it drains. Up to three
//     sessions are tried.
//   - The connection was lost after the enclave may have got it: once. That is how an enclave looks that was killed or
//     replaced, and callers shall not notice it. An enclave that crashes of the request looks the same. The second loss
//     is the last: one request ends at most two sessions.
//
// It is not sent again when its session stalled (no answer to pings, a write that does not end) or broke the protocol.
// What keeps one enclave busy that long keeps the next busy too, and the requests of everybody else with it. It fails
// with [ErrUnanswered], and [Observer].NotRetried counts it. So do the other requests that the session had in flight:
// nobody can tell which of them it was. Nor is a request sent again because it was slow.
//
// Credentials reach every session when it opens and when they change, before it is offered for requests.
//
// # Against whom
//
// Against enclaves that die, hang, drain or restart, and against the load itself. An enclave is trusted with the
// requests; what it says of itself (id, PCRs, build) is repeated, not proven.
//
// All sessions share one bound on the memory of long answers ([Options].Memory): an enclave that sends answers by half,
// or more than the callers fetch, costs the calls whose answers find no room, and no session.
package pool
