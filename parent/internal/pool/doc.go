// Package pool keeps sessions open to enclaves and gives each request to the best of them.
//
// # Guarantees
//
// Each enclave has a fixed number of sessions; a session that ends, stalls or misses its pings is replaced, with
// exponential backoff and full jitter, and never more than [Options].RetryMax after its enclave is back. A request
// goes to the session with the fewest requests in flight, among those of enclaves that say they are ready. It is sent
// again, to another session, only when its session ended or drains (opening a field changes nothing, so that is safe);
// never because it was slow. When every session is at its limit, it fails at once with wire.Overloaded.
//
// Credentials reach every session when it opens and when they change, before it is offered for requests.
//
// # Against whom
//
// Against enclaves that die, hang, drain or restart, and against the load itself. An enclave is trusted with the
// requests; what it says of itself (id, PCRs, build) is repeated, not proven.
package pool
