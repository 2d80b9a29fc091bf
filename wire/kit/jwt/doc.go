// Package jwt verifies signed JSON Web Tokens (RFC 7519) strictly, for the API and the enclave: a token has one reading
// and one spelling. go-jose does the cryptography. The package does no I/O.
//
// # What it guarantees, and against whom
//
// Against a sender of tokens: a token counts only if a key of the [Set] signed it, by an algorithm that the caller
// allows, and that the key's own alg, use and key_ops allow (RFC 7517, sections 4.2 to 4.4). Against an issuer that
// lets others choose a part of the claims or the header: no name stands twice at any depth, no claim or parameter that
// is read stands beside one that differs only in the case of its letters, times are numbers, and base64url has no
// other spelling of the same bytes. So two readers of a token see the same.
//
// # Limits
//
// RSA keys have 2,048 to 8,192 bits, keys of Ed25519 are not of small order. JSON is at most 32 levels
// deep. Callers bound the length of tokens and sets. Errors say nothing of the token.
package jwt
