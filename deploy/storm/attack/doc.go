// Package attack is a suite of attacks on the real programs over real sockets. Hostile peers speak each protocol from
// its first byte, while honest callers beside them must be served. `make test-attack` runs it (build tag attack).
//
// # What a run shows
//
// Each attack is a grammar: it writes valid conversations of its protocol, and mutates what it writes. How often
// differs between rounds: never, seldom, often. A monitor sends honest requests at an even rate to the tiers, before
// the attack (quiet) and during it. The run fails if
//
//   - the honest p99 of a window of 200 ms passes max(10 times its quiet value, 50 ms) in three windows in a row,
//   - an honest request fails other than by stated overload (503 overloaded with Retry-After, or 429), or gets another
//     answer than its own,
//   - a process dies, panics or logs a data race, or its resident memory passes its stated bound,
//   - a sentinel leaks. Each plaintext holds one. An honest caller's may be in nothing that an attacker receives, an
//     attacker's own in no answer that says that a request failed, and neither in a log or a metric.
//
// An attack's CPU is capped: the test's process (getrusage(2)) pauses the attack while it has used more than a
// quarter of one CPU beyond what its honest callers used before. So what is found is cheap for an attacker.
//
// Other programs of the machine slow honest requests too. So the monitor also asks a process that nobody attacks (the
// KMS stand-in). A window counts only if its p99 also passes four times the control's p99 of the same window.
//
// # Seeds
//
// Round i of an attack is a function of the run's seed, the attack's name and i. A failure prints the seed, and the
// same seed plays the same rounds: make test-attack SEED=n ATTACKS=name. How rounds interleave is up to the machine.
// An attack ends after a count of rounds or a time, whichever is first (ROUNDS, ATTACKTIME).
//
// # Joining by default
//
// The suite takes its targets from the product's own tables: routes of the API from its OpenAPI document, those of the
// parent from parentapi, kinds of messages and types of streams from wire/testdata/numbers.txt, messages from wire's
// vectors.
package attack
