// Package differential gives what does the same in two ways the same generated workload, and compares the results. Its
// tests have no list of right answers, so they find what those lists did not think of.
//
//   - Keys: circl and the standard library's crypto/hpke open what the other and package sealed have sealed, and export
//     the same, for each suite (needs no programs: it is part of make test).
//   - Opening: a record in each suite and encoding, asked for alone and in a batch, gives equal fields and errors.
//   - Versions: the parent of today with an enclave of before, and the other way round, answer as two of today do.
//   - The API: a server and a Lambda function, an embedded store and DynamoDB (moto), encodings 2 and 3, and two suites
//     answer the same requests alike.
//
// make test-differential runs all of it with the real programs. A workload is made of a seed (SEED=n replays one,
// SEEDS=n makes more), and a difference prints its seed. In each run the comparison is also given answers with a
// difference planted, and must find it.
//
// The version of before is the commit before the newest change of the wire's table of numbers (OLD=commit for another):
// numbers and features are what versions have to agree on. It is built from this repository's history. Without history
// the comparison of versions is not run.
package differential
