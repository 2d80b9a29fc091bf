// Package h1 checks HTTP/1 requests for the tiers, beyond what their servers (fasthttp, net/http) check.
//
// # Guarantees
//
//   - A Scanner passes only bytes that RFC 9112 gives one reading. So a proxy or a firewall in front of us has read
//     the same requests: lines end with CR LF, no line is folded, a request is framed by one Content-Length or by
//     "chunked" alone, the version is 1.1 or 1.0. What the Scanner refuses never reaches the server: the server sees
//     a read that fails in the middle of a request, and answers 400.
//   - Path is the path as it was sent: nothing is decoded, cleaned or redirected. So a firewall's rule for "/decrypt"
//     covers everything that reaches /decrypt.
//   - Query reads every parameter of a query string, or none.
//   - Attend distinguishes a caller that has left from one that has only ended its half of the connection and waits.
//   - A Site refuses what a browser sends for a page of another site: a Host that is not ours (DNS rebinding), or an
//     Origin that is not the Host's own.
//
// # Limits
//
// A Scanner checks framing and lines. Names, values and sizes of headers are left to the server. Both servers refuse
// by themselves control characters, doubled or missing Hosts and headers that are too large. HTTP/2 is framed
// otherwise and is not scanned.
//
// Sources: RFC 9112 sections 2.2, 2.3, 3, 5, 6 and 7.1; RFC 9110 sections 5.6.2 and 7.2.
package h1
