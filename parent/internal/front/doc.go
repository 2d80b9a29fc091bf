// Package front is the parent's HTTP surface for its callers: the routes of the reference (the AWS sample that
// Redoubt succeeds) and /v1, answered from an enclave.
//
// # Guarantees
//
// Everything that can be checked without a key is checked here, before a byte goes to an enclave: JSON syntax (RFC
// 8259, UTF-8, no lone surrogates), shapes, names, base64 (RFC 4648 section 4, strict), lengths and counts. A request
// that fails these checks never costs a KMS call.
//
// An answer holds the bytes of its own request and of no other, and nothing of it outlives it. The buffers in which
// an answer was built, and fasthttp's write buffer behind them, are overwritten once written (see conn.go and
// buffer.go). Error bodies, logs and metrics carry codes and static texts, never input or plaintext.
//
// Limits on the header, the body, the idle time and the write end slow or silent clients. Each connection holds at
// most one request in memory (1 MiB; a batch 8 MiB). Strangers cannot keep callers out by holding connections: see
// registry.go. Strangers who open new ones all the time can still take the places of one another, and of callers who
// have not sent a request yet.
//
// Requests have one reading by RFC 9112, through package wire/kit/h1, and are matched by their path as it was sent.
//
// # Vaults under a domain
//
// /v1/decrypt and each item of a batch take encoding "4" with "domain", the name of the domain: the first 32 bytes of
// the SHA-384 of its descriptor, in lower-case hex. Such a request has no region and no key context. "encs" has the
// encapsulated keys of its fields in base64, by the first 8 bytes of their SHA-256 in hex. The parent compares them,
// and drops those that no field names.
//
// An enclave that has not opened the domain makes the answer 421 domain_unknown, whose member "domain" repeats the
// name. (421, since another attempt at the same place may be answered. An intermediary that repeats the request by
// itself does no harm.) The caller repeats the request with the domain's record in "domain_records", which the parent
// gives to that enclave. Then the answers are those of any other request, or:
//
//	400 domain_record_refused  the record is malformed, or its secret is not the descriptor's
//	403 generation_closed      the enclave's file closes this generation of the domain
//	503 domain_not_kept        the enclave took the record, and says again that it does not know the domain
//	503 domains_unsupported    no enclave that can be asked knows domains
//
// The API alone uses the routes that create domains and their wraps, mint keys of new vaults, and reseal
// (wire/parentapi has their bodies). They need the same authentication as /v1/decrypt and no right beyond it. What they
// answer is ciphertext, public keys, signatures and an attestation document, and has no effect until a caller stores
// it: what a domain may be, and how often one is made, is decided by the enclave's measured file. Minting and resealing
// are work of the batch lane. Where fields do not open, a reseal answers 422 decrypt_failed with their names in
// "fields".
//
// A record is a part of the body, and is bounded and accounted for with it. The parent reads no more of it than the
// descriptor's length, to compare its hash with the name.
//
// # Which fields a result tells of
//
// With "report_access": true, /v1/decrypt and each item of a batch answer "access". For each expression, by name, it
// lists the fields that the expression reads and those that its result may hold raw:
// {"x":{"reads":["a","b"],"raw":["a"]}}. Package expr of the enclave says what raw means. "access" is null if the
// enclave is of a release that makes no reports: then every result may hold every field. The report is made from
// names and expressions alone, so it is in the clear with a reply_key too. The parent passes it on: a hostile parent
// can change it.
//
// # Against whom
//
// It protects against callers with malformed, oversized, slow or concurrent requests. It does not protect against the
// host itself: whoever reads this process's memory sees the values of a request while it is answered, unless the
// caller gave a reply_key. Then each result must come sealed, failures too. An answer that is not sealed throughout
// is withheld, and a request that no enclave of this version can take is refused.
//
// # What remains in memory
//
// Ciphertext, names and expressions of recent requests stay in pooled buffers until reused. A search of the process's
// memory right after load finds no copy of plaintext (TestPlaintextIsGoneFromMemory in package main). It can find
// vector registers in the middle of a copy, at most 256 bytes, that the runtime saved on a goroutine's stack. With
// TLS, crypto/tls seals outgoing records in place and keeps the plaintext of incoming ones: requests, which hold
// none.
package front
