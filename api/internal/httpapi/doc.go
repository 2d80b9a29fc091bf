// Package httpapi serves the vault's REST API as one http.Handler, for the stand-alone server and for AWS Lambda.
//
// # Guarantees
//
//   - Bodies, statuses and headers of the reference's routes are the reference's, under /v1/vaults and /vaults alike.
//     (The reference is the AWS sample that Redoubt succeeds.) Additions are new keys, headers and routes. Where the
//     reference failed, the answer says why (errors.go).
//   - Bodies and query strings are read strictly (package strictjson; query.go): every route refuses what is unknown,
//     doubled or malformed. A refusal names the field and the rule and never the value.
//   - No value, key or credential reaches a log, a metric or an error. Logs and metrics have the route's pattern, the
//     status and the code. A request that panics is answered with 500 and logged without its value.
//   - Every route of the table is in the OpenAPI document, which is made from that table. Every answer of ours has
//     the shape that the document says. The document refuses nothing that the server accepts.
//   - Without authentication configured, only requests whose Host is a loopback name are served, and never a
//     browser's cross-origin request: a web page must not reach a developer's vault.
//
// # Limits
//
// Request body 1 MiB, all bodies that are read or answered at a time 64 MiB, 100 fields and 100 expressions a
// request, expression 10,240 bytes, its name 256 bytes, reason 4,096 bytes, page of a list 1,000 entries. Of the
// problems of a request at most 32 are listed.
package httpapi
