// Package auth says who calls and what they may do.
//
// # Guarantees
//
//   - Default deny: what no rule allows is refused, per operation and per field. A request that names one field too
//     many is refused whole.
//   - API keys are kept as SHA-256 of their secret, which has 256 random bits, so that no slow hash is needed; they
//     are compared in constant time and shown once, when they are made.
//   - A credential that is presented and wrong is refused; it never falls back to another way or to anonymity. One that
//     cannot be judged now, because keys cannot be read, is [ErrUnavailable]: refused as well, and told apart.
//   - Decrypts are limited per principal, before anything is opened. What a refused attempt may cost, the look whether
//     the vault exists and the audit entry about it, is limited too (package vault).
//   - Groups are those that the token names, never parts of a name.
//   - A token has one reading: no name twice, no claim's name in another case, times as numbers; and one spelling, as
//     an API key has. The issuer's keys verify what use, key_ops and alg allow.
//
// # Ways to authenticate
//
// API keys (Authorization: Bearer rdk_…), OIDC tokens (Authorization: Bearer, checked against the issuer's keys),
// client certificates (mTLS, by subject alternative name), and API Gateway's authorizer on Lambda. Without any of
// them configured every caller is [Anonymous] with full scope; the server allows that on loopback addresses only.
//
// # Limits
//
// The rate limit is per process. A revoked key works until the file is read again, within one second. A key that an
// OIDC issuer publishes is known at most ten seconds later. API Gateway flattens lists of groups to text
// ([FromGateway]).
package auth
