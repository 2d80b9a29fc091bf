// Package server accepts the parents' sessions for the enclave. It handles everything but decrypt requests, which it
// gives to the engine: credentials, purges, pings, statistics and attestation documents. It also carries what leaves
// the enclave: logs, and connections to KMS.
//
// # Guarantee
//
// A session that ends takes only its own requests with it. The credentials that a session gives serve that session's
// requests alone and end with it. Its pongs report on these credentials and on no other session's. Nothing that a
// parent sends changes what the configuration allows. A document made for a caller echoes the caller's nonce, has no
// public key, and commits to the configuration ([redoubt/enclave/internal/config.Config.Commitment]). So it cannot be
// used to ask KMS for anything. Logs are static texts and numbers.
//
// When its context ends, the server stops accepting, tells the parents to send no more, waits for what is in flight
// up to a limit, and ends.
//
// # Against whom
//
// The parent may open sessions, stall them, end them at any moment, and send what it likes.
//
// # Limits
//
// The parent decides whether logs, statistics and pings arrive, and can refuse its service as a whole.
package server
