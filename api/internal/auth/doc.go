// Package auth tells the API's routes who calls and what they may do.
//
// # Guarantees
//
//   - Default deny: what no rule allows is refused, per operation and per field. A request that names one field too
//     many is refused whole.
//   - API keys are kept as SHA-256 of their secret. The secret has 256 random bits, so no slow hash is needed. Keys
//     are compared in constant time and shown once, when they are made.
//   - A wrong credential is refused. It never falls back to another way of authentication or to anonymity. A
//     credential that cannot be checked at present, because keys cannot be read, is refused as well, with an error of
//     its own: [ErrUnavailable].
//   - Decrypts are limited per principal, before anything is opened. The cost of refused attempts is limited too
//     (package vault): the check whether the vault exists, and the audit entry.
//   - Groups are those that the token names, never parts of a name.
//   - A token has one reading: no name twice, no claim's name in another case, times as numbers. It also has one
//     spelling, and so has an API key. The issuer's keys verify only what use, key_ops and alg allow.
//
// # Ways to authenticate
//
// API keys (Authorization: Bearer rdk_…), OIDC tokens (Authorization: Bearer, checked against the issuer's keys),
// client certificates (mTLS, by subject alternative name), and API Gateway's authorizer on Lambda. If none of them is
// configured, every caller is [Anonymous] with full scope. The server allows that on loopback addresses only.
//
// # Limits
//
// The rate limit is per process. A revoked key works until the file is read again, within one second. A key that an
// OIDC issuer publishes is known at most ten seconds later. API Gateway flattens lists of groups to text
// ([FromGateway]).
package auth
