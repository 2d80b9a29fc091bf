// Package front is the parent's HTTP surface: the routes of the reference and /v1, answered from an enclave.
//
// # Guarantees
//
// Everything that can be judged without a key is judged here, before a byte goes to an enclave: JSON syntax (RFC 8259,
// UTF-8, no lone surrogates), shapes, names, base64 (RFC 4648 section 4, strict), lengths and counts. What fails never
// costs a KMS call.
//
// An answer holds the bytes of its own request and of no other, and nothing of it outlives it: the buffers an answer
// was built in, and fasthttp's write buffer behind it, are overwritten once written (see conn.go and buffer.go). Error
// bodies, logs and metrics carry codes and static texts, never input or plaintext.
//
// Slow or silent clients are ended by a limit on the header, the body, the idle time and the write; each connection
// holds at most one request in memory (1 MiB; a batch 8 MiB). Strangers cannot keep callers out by holding connections:
// see registry.go. Strangers who open new ones all the time can still take the places of one another, and of callers
// who have not sent a request yet.
//
// Requests are read by one reading of RFC 9112, through package wire/kit/h1, and matched by their path as it was sent.
//
// # Which fields a result tells of
//
// With "report_access": true, /v1/decrypt and each item of a batch answer "access": for each expression, by name, the
// fields that it reads and those that its result may hold raw, {"x":{"reads":["a","b"],"raw":["a"]}}; what raw means is
// said in package expr of the enclave. It is null when the enclave is of a release that makes no reports: then every
// result may hold every field. The report is made from names and expressions alone, so it is in the clear with a
// reply_key too. It is the parent's word: a hostile parent can change it.
//
// # Against whom
//
// Against callers: malformed, oversized, slow or concurrent requests. Not against the host itself: whoever reads this
// process's memory sees the values of a request while it is answered, unless the caller gave a reply_key. Then each
// result must come sealed, failures too: an answer that is not sealed throughout is withheld, and a request that no
// enclave of this version can take is refused.
//
// # What remains in memory
//
// Ciphertext, names and expressions of recent requests stay in pooled buffers until reused. Of plaintext, a search of
// the process's memory right after load finds no copy (TestPlaintextIsGoneFromMemory in package main); what it can find
// are vector registers in the middle of a copy, at most 256 bytes, that the runtime saved on a goroutine's stack. With
// TLS, crypto/tls seals outgoing records in place and keeps the plaintext of incoming ones: requests, which hold none.
package front
