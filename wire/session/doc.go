// Package session carries requests, answers and control messages between a parent (Client) and an enclave (Server)
// over one connection, as package wire describes.
//
// # What it guarantees
//
// Against a peer that is slow, stuck, broken or hostile, on either side:
//
//   - A call ends at its deadline, whatever the peer or the connection does; an answer that comes later reaches nobody.
//     A call that fails says whether anything of its request may have been sent ([ErrNotSent], [ErrSentUnknown]).
//   - Every request that a handler took is answered exactly once, also when the handler panics.
//   - What waits is bounded: calls in flight, bytes to write, messages half received, streams, attestations, logs.
//     This holds from the first byte on, before the hellos too: pings of yamux are answered here (16 answers may
//     wait), a stream that nobody awaits ends the session before the library queues it, and frames of streams that are
//     gone are dropped. 4.8 MB of any one frame, none of its answers read, cost at most 9 MiB of heap.
//     The reader of a lane never writes; answers go to a queue whose overflow ends the session, for two peers that both
//     wait for the other to read would wait forever.
//   - Sessions that share a [Budget] hold no more than it, together, beside what [ServerConfig.Cost] says of each. A
//     request or an answer for which it has no room becomes wire.Overloaded. TestEveryBoundOfEverySessionAtOnce fills
//     all of them.
//   - A peer that breaks the protocol, keeps a frame half sent, takes no bytes, or shows no sign of life loses the
//     session within a timeout, and all calls on it end. No error of a stream leaves a session half alive: a write to a
//     stream that fails or makes no progress ends it (yamux by itself would leave the other end's read hanging,
//     GHSA-29qp-crvh-w22m).
//   - Nothing of the peer's is read before all that its bytes can reach is there. A panic on the way of its bytes ends
//     the session ([ErrFault], and a callback is told), not the process.
//   - Drain loses no request that was taken.
//   - Buffers of this package that held a body are wiped before they are used again or dropped.
//
// What it does not: it neither encrypts nor authenticates; the transport says who the peer is.
//
// # Copies that remain
//
// Lanes leave none: what arrives is handled where it was read, what is sent is in the lane's queue and in the
// connection's buffer, and each is wiped when it has been used. On the control stream, which carries credentials, yamux
// copies what it sends, and receives into a bufio.Reader of 4 KiB and a bytes.Buffer per stream. The first copy is
// wiped when it is written, the second but for the latest read. The third is wiped when all of it has been
// read (scrub.go). Egress streams carry what TLS has sealed.
//
// # How it is fast
//
// A call is a slot of a lane, not a stream, and lanes are streams that this package serves itself (lane_stream.go,
// mux_read.go, mux_write.go): on the wire they are yamux's, with its windows, but their bytes go through none of the
// library's goroutines, which would hand a request on seven times between parent and enclave. The goroutine
// that reads the connection cuts frames out of its buffer and handles them there; it never waits for a write. What is
// to be said is written
//
//   - by the reader, when it has handled all that it had read: the answers of many requests in one system call;
//   - by the caller itself, if it is the only one, so that no goroutine need wake up: without waiting, so that
//     a stuck peer cannot hold it;
//   - else by one goroutine per connection, which takes what all have said since, and which steps back once
//     before, when callers came together lately, so that those about to run come along.
//
// To be woken costs a process on an idle CPU several times what a hot request takes. So a caller that is alone looks
// for its answer itself, up to 100 µs, before it waits, and an enclave that has nothing else to do looks for the next
// request up to 250 µs (poll.go). One goroutine of a process does so at a time, gives way to whoever else wants the
// CPU, and keeps away for up to 64 turns after it has looked in vain. Where requests come together nobody does.
//
// A write is at most 31 KiB ([wire.MaxWrite]) of as many streams' frames as fit. In steady state a round trip
// allocates nothing.
//
// # Sources
//
// yamux: github.com/hashicorp/yamux/spec.md, and its issue 142 for the advisory.
package session
