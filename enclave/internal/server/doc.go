// Package server accepts the parents' sessions and does what they ask for beside requests: credentials, purges, pings,
// statistics, attestation documents; and it is the way out, for logs and for the connections to KMS.
//
// # Guarantee
//
// A session that ends takes only its own requests with it. The credentials that a session gives serve that session's
// requests alone and end with it; its pongs tell of them and of no other's. Nothing that a parent sends changes what
// the configuration allows. A document made for a caller echoes the caller's nonce, has no public key, and commits to
// the configuration ([redoubt/enclave/internal/config.Config.Commitment]); so it can't be used to ask KMS for anything.
// What is logged are static texts and numbers.
//
// On the end of its context the server stops accepting, tells the parents to send no more, lets what is in flight end
// within a limit, and ends.
//
// # Against whom
//
// The parent: it may open sessions, stall them, end them at any moment, and send what it likes.
//
// # Limits
//
// The parent decides whether logs, statistics and pings arrive anywhere, and can refuse its service as a whole.
package server
