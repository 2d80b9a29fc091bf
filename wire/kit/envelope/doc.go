// Package envelope holds formats and cryptography of sealed requests: a caller seals a whole request to a domain's
// request key, and the enclave seals its answer under the same HPKE context. So what carries both (load balancer, API,
// parent) can neither read nor forge them. The package does no I/O. Enclave, parent and API do not use it yet.
//
// # Formats
//
// Integers are big endian, L(x) is the length of x as u16, and x. dh is the hash of the domain's descriptor, Expand is
// HKDF-Expand (RFC 5869) with SHA-384; K and N are an AES-256-GCM key of 32 bytes and a nonce of 12, for one message.
//
//	request   head || ct
//	head      "RDS1" || suite u8 || dh[:32] || L(enc) || salt[16]. HPKE (RFC 9180), base mode, of the domain's request
//	          key of the suite; info = "redoubt/request/v1" || dh. The salt is a counter u64 || 8 random bytes
//	ct        Q = Export("redoubt/request/v1", 48); K || N = Expand(Q, "request" || salt, 44); aad = head
//	body      created u64 (ms) || auth kind u8 || L(auth) || message kind u8 || length u32 || message || zeros
//	answer    salt2[16] || ct: R = Export("redoubt/answer/v1", 48); K || N = Expand(R, "answer" || salt || salt2, 44);
//	          aad = head || the last 16 bytes of the request; salt2 is random
//	body      time u64 (ms) || policy version u32 || message kind u8 || length u32 || message || receipt u8 (0: none;
//	          1: boot id[16] || index u64 || leaf[32]) || zeros
//	refusal   message of kind 254: code u16 || retry after u32 (ms) || L(text) || L(detail)
//	records   before a request, for each domain that the enclave lacks: "RDR1" || length u32 || domain record
//
// The context's own Seal is not used, so messages open in any order, with any HPKE library; what is kept of a context
// are 96 bytes; and a client that forgot its counter repeats no key and nonce.
//
// A body is padded to the next Padmé length (package reply) of at least 256 bytes. Its reader refuses any other length,
// and any byte of the padding that is not zero: a body has one encoding.
//
//	auth kind  block                                      means
//	0          empty                                      nobody
//	1          L(id) || L(secret)                         API key
//	2          token                                      OIDC, a JWS in compact form
//	3          L(id) || not_after u64 (ms) || sig[64]     a caller's key, Ed25519 over "redoubt/caller/v1\0" || dh
//	                                                      || L(enc) || L(id) || not_after: the same block in each
//	                                                      message of the context
//
// testdata has vectors that were made here, and vectors that check_envelope.py made with other libraries; each side
// opens and seals again what the other made (make test-domain). Those of the design are in package domain's testdata.
//
// # What is refused, and where it is said
//
// The errors of [Parse], [Derive] and [Context.Open] say whether an answer can be sealed. [ErrMalformed], [ErrOpen] and
// [ErrRecords] are told outside, where anybody can forge them. After [ErrBody], [ErrSkew] and [ErrAuth] the answer goes
// inside. A caller MUST NOT take a descriptor from what is told outside, nor send the request unsealed instead.
//
// # Replays
//
// A request that comes again, at this enclave or another, is answered again, to its sender. So a parent learns nothing
// from it. [Body.CheckTime] bounds that to ten minutes. A message that changes what is stored MUST carry a condition,
// so that a second time changes nothing. [Replays] keeps a request from counting in rates more than once.
//
// # What was decided here
//
// An auth block has at most 16 KiB, an API key's secret 16 to 256 bytes, text and detail of a refusal 1 KiB each, and
// there are at most eight domain records before a request. Ids of callers match [A-Za-z0-9._-]{1,64}. A refusal without
// a time to wait says 0. A sender that meets a clock five minutes before its making is spent.
//
// # What it guarantees, and against whom
//
// Against a parent: it sees domain, times, and classes of lengths. It can drop, delay and replay. A changed byte of a
// request or an answer is refused (the tests flip each), and so is an answer to another request, or by another domain.
// There is no forward secrecy: whoever opens the domain's secret later reads recorded requests and their answers.
// HPKE's base mode does not authenticate the sender. The auth block does.
//
// # Copies of secrets
//
// A [Sender]'s secrets lie in locked memory, those of a [Context] in memory that its caller chooses. The key of a
// message is wiped after it, with its AES key schedule. Bodies are opened into the caller's memory, and the caller
// wipes them. What is sealed is written once, to where its ciphertext will be.
//
// # Cost
//
// Of the enclave, beside what the request itself costs: for the first message of a context one decapsulation and key
// schedule (BenchmarkFirst), for each message one HKDF-Expand and one AES-256-GCM each way (BenchmarkFurther), and no
// allocation but the library's two for each AES-GCM.
package envelope
