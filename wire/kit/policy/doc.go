// Package policy reads the policy of sealed requests, and judges by it: who a caller is, and what it may do. The policy
// is one signed document, for the enclave and the API alike. The package does no I/O. Neither tier uses it yet: the API
// judges by the policy of its own file (package auth of the API), whose meaning does not change.
//
// # Document
//
// A signed note (C2SP signed-note) over YAML. It is signed by a threshold of keys that the reader knows by other means:
// [Trust]. A reader takes a document if its version is higher than that of the one that it holds, or its text the same;
// if the version is at least the reader's least; before not_after; and not older, by issued, than the reader's greatest
// age. So whoever carries it cannot keep a revoked caller alive by withholding the next one.
//
//	version: 7                            # u32, from 1
//	issued: 2026-06-01T00:00:00Z
//	not_after: 2027-06-01T00:00:00Z
//	callers:
//	  api_keys: [{id, sha256, domains}]   # SHA-256 of the secret, which MUST be random: the parent reads the policy
//	  keys: [{id, ed25519}]               # base64
//	  oidc: [{issuer, audience, jwks, domains}]   # domains: in whose envelopes a bearer secret may come
//	schemas: {default: {ssn9: '^[0-9]{9}$'}}
//	audiences: [psp]
//	tenants: [acme]
//	classes: {ssn: {kind, domain, type, pattern, audience, bind, views: {last4: "value.last(4)"}}}
//	revocations: {key, least}             # of the list of revoked tokens
//	views: {last4: {from: [ssn9], cel: "ssn9.last(4)"}}
//	rules:
//	  - principals: ["key:billing"]
//	    domains: ["acme.*"]
//	    operations: [decrypt]
//	    raw: [email]
//	    views: [last4]
//	    classes: {ssn: {operations: [tokenize], raw: false, views: [last4]}}
//	    tenants: [acme]
//	    audiences: [psp]
//	    purposes: [invoice]
//	    decrypt_rate: {per_second: 50, burst: 100, per_day: 200000}
//	deny_vaults: 64 hex digits            # the SHA-256 of the list: [DenyList]
//
// Names of principals are key:ID, sig:ID and oidc:ISSUER|SUBJECT. Ids are unique over all kinds, whatever their case.
// A pattern is exact, or has one "*" at its end that stands for any characters, also none.
//
// A rule applies if principal, domain, operation and purpose match; for tokens principal, class with the operation,
// tenant, audience and purpose. What may be done is what the rules that apply allow together. Without domains or
// classes a rule is for none, without purposes for each, without tenants or audiences for tokens that have none. For a
// class its own operations, raw and views stand. To decrypt is one right and to see a field raw another: a field is
// opened only if it is granted raw, or by a granted view that is asked for. Of a principal's rates, over all rules that
// name it, the strictest holds for each bound.
//
// # Strictness
//
// A document has one reading: plain YAML without anchors, aliases, merges, tags and null, no unknown member, none
// twice, no value of another type, finite numbers, and limits for all that can grow (the constants of this package).
// An error names line and member, and quotes no value ([Error]). testdata has a whole document, and a file of cases
// ([ParseCases]).
//
// # What is decided elsewhere
//
// What an expression reads is decided on its checked tree, by the enclave: it compiles each [View] when a policy is
// loaded, and refuses the policy if one reads fields beside its From. The domains' requirements (none, sealed, caller)
// stand in the measured file.
//
// # What it guarantees, and against whom
//
// Against a parent, which carries the document: it can neither write one nor bring back an older one while the enclave
// runs. After a restart it can bring back one that has not ended, and is at least the least version. Against a caller:
// default deny; nobody (auth kind 0) matches no rule; a credential that is wrong is refused for every reason alike
// ([ErrUnauthenticated]), and counts for exactly its block, its envelope's domain, its time and this policy
// ([Verdict]).
// Against a signer: nothing but the limits.
//
// # Cost
//
// A decision costs the same for any number of rules, up to [MaxRules], since sets of rules are intersected as bits; it
// allocates nothing (BenchmarkDecide: 1,000 rules, 100 principals, four fields and a view).
//
// To read a document costs more: one of the greatest length, of nothing but patterns, takes a second or two and 250 MiB
// of garbage, and keeps 20 MiB. Signatures are verified before, so only signers can cause that. Read one at a time, and
// away from requests.
package policy
