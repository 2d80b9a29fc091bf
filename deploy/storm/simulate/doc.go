// Package simulate runs the whole path (API, parent, enclave, the KMS stand-in, a store, callers) in one process.
// Parts of it fail as a seed says, and it is held to what must be so whatever fails.
//
//	make simulate SEEDS=1000
//	make simulate-mutants
//	go run ./deploy/storm/simulate/host replay PLAN.json --log
//
// A run is a [Plan]: requests of callers and faults, each at its time. Package-wide, each of the network, the store
// and the callers draws from a generator of its own. So an event can be left out of a plan, and the rest happens as
// before: this is how a plan with a finding is shrunk.
//
// # The two forms
//
// The exact form is built for wasip1 and run by the program in host, which gives it its clock, its sleep and its
// random numbers (and by these the order of goroutines, of select and of maps) from the seed. Time is virtual. The
// same plan gives the same trace, for one build: commit, toolchain and flags. The native form runs in a usual process,
// on sockets and with the embedded store's file, under the race detector; a finding there may not come again.
//
// # What is held
//
// After each answer: a value is one that its field may have at that time; no error and no masked or sealed answer
// holds a value; values leave after their audit entry; a key that was denied opens nothing after its time to live, nor
// after a purge; every request ends by its bound; an error has its status, code and Retry-After. At the end: the
// service is ready again within [settle]; every acknowledged write is there, and what was deleted is not; caches keep
// their bounds; no log line holds a value; no goroutine is left. The process neither dies nor goes round without
// sleeping.
//
// # What joins by itself
//
// Plans draw from the product's own tables. Rolls take the features of package wire. The vaults' suite is drawn from
// those that KMS makes pairs of. The request "routes" asks for any route of [parentapi.Routes] and of the API's
// document, by its name alone. A test fails if a route of the document has neither a request that knows it nor a
// reason.
//
// A set of seeds fails if a kind of fault, a kind of request or a route never happened in it.
//
// # Limits
//
// The exact form has one thread, which changes goroutines only where one waits. Races inside critical sections are the
// native form's to find. Its connections have no descriptors, so the paths of package rawio that try before they wait
// are the native form's too, as is vsock. A kill is the end of all connections, and then of the part; a process that
// dies amid a write is tested by the tests that kill processes. The store is in memory: package memory says what that
// leaves out. The RSA pairs to which KMS answers come from a pool in testdata, which protect nothing.
package simulate
