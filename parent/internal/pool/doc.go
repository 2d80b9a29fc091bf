// Package pool keeps the parent's sessions to enclaves open, and gives each request to the best of them.
//
// # Guarantees
//
// Each enclave has a fixed number of sessions. A session that ends, stalls or misses its pings is replaced, with
// exponential backoff and full jitter, and never later than [Options].RetryMax after its enclave is back. A request
// goes to the session with the fewest requests in flight, among those of enclaves that report that they are ready. If
// every session is at its limit, the request fails at once with wire.Overloaded.
//
// A request is sent again, to another session, in these cases and no other (opening a field changes nothing, so
// sending twice is safe for the record):
//
//   - No byte of it reached the enclave (session.ErrNotSent), or the enclave refuses since it drains. Up to three
//     sessions are tried.
//   - The connection was lost after the enclave may have got the request: once. An enclave that was killed or
//     replaced looks like that, and callers must not notice it. An enclave that crashes because of the request looks
//     the same. After the second loss the request is not sent again: one request ends at most two sessions.
//
// It is not sent again if its session stalled (no answer to pings, a write that does not end) or broke the protocol.
// A request that keeps one enclave busy for that long would keep the next one busy too, and with it the requests of
// all other callers. The request fails with [ErrUnanswered], and [Observer].NotRetried counts it. So do the other
// requests that the session had in flight, since it is not known which of them was the cause. Nor is a request sent
// again because it was slow.
//
// A request for a vault under a domain goes to an enclave that knows domains. If the enclave answers that it has not
// opened this one, and the request came with the domain's record, the pool gives the record to that enclave and sends
// the request once more on that session, within the same deadline. Requests with the same record share one hand-over,
// and one enclave gets at most 4 at a time. An enclave that takes the record and then says the same again is an outage
// ([ErrDomainNotKept]), and counted.
//
// Credentials reach every session when it opens and when they change, before the session is offered for requests.
//
// # Against whom
//
// It protects against enclaves that die, hang, drain or restart, and against the load itself. An enclave is trusted
// with the requests. What it says of itself (id, PCRs, build) is repeated, not proven.
//
// All sessions share one bound on the memory of long answers ([Options].Memory). If an enclave sends incomplete
// answers, or more than the callers fetch, the calls whose answers find no room fail, and no session ends.
package pool
