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
//   - What waits is bounded: calls in flight, bytes to write, messages half received, control messages not yet handled,
//     streams, attestations, logs. This holds from the first byte on, before the hellos too. 4.8 MB of any one frame,
//     none of its answers read, cost at most 9 MiB of heap. The goroutine that reads never waits for a write. Answers
//     go to a queue whose overflow ends the session: two peers that both wait for the other to read would wait forever.
//   - Sessions that share a [Budget] hold no more than it, together, beside what [ServerConfig.Cost] says of each. A
//     request or an answer for which it has no room becomes wire.Overloaded. TestEveryBoundOfEverySessionAtOnce fills
//     all of them.
//   - A peer that breaks the protocol, keeps a frame half sent, takes no bytes, or shows no sign of life loses the
//     session within a timeout, and all calls on it end. No error of a stream leaves a session half alive: a write to a
//     stream that fails or makes no progress ends it (yamux by itself would leave the other end's read hanging,
//     GHSA-29qp-crvh-w22m).
//   - All that a peer's bytes can reach is there before the first of them is read, and what they may be by then is one
//     table of states (package mux). A panic on the way of its bytes ends the session ([ErrFault], and a callback is
//     told), not the process.
//   - Drain loses no request that was taken.
//   - Buffers of this package that held a body are wiped before they are used again or dropped.
//
// It neither encrypts nor authenticates; the transport says who the peer is.
//
// # How it is built
//
// Package mux owns the socket and serves the streams; package yamuxframe is the codec of their frames. This package is
// what the streams say:
//
//	stream 1      control  hello, then messages            hello.go, control*.go
//	3, 5, …       lanes    requests and answers            lane*.go, call*.go, responder.go
//	even          egress   bytes of TLS, by the library    egress*.go
//
//	what arrives  window ──▶ cutter ──▶ assembler ──▶ handler             inbox.go
//	what is sent  push ──▶ queue, chunks of long messages in turns ──▶ mux    outbox.go
//
// A session is new until the peer's hello has come. The goroutine that reads the hello handles it, so the frame after
// it meets a session that is open. If the two have no version in common, the enclave's session is greeted instead:
// the enclave still sends its hello, so that the parent can tell why, and drops what comes. A go-away makes a session
// draining. Any error ends it. Package mux has the table of what each state takes.
//
// Requests and answers are handled by the goroutine that read them. Control messages are handled by a goroutine of the
// control stream, because credentials, purges and statistics take locks and time. What waits for it is bounded by the
// stream's window, which is given back as the messages are handled.
//
// hashicorp/yamux serves the egress streams, from the first of them on. It sees their frames alone, through mux's pipe.
// When a session ends, the pipe ends first, and that ends the library's session. The order matters: the library's
// Stream.Read spins from the end of the library's session until its receiving goroutine has ended. For the same reason
// the library's timeout of opening streams is off, and this package has one of its own.
//
// # Goroutines
//
//	both      reader, writer, watchdog (mux), the control stream's worker, one that waits for egress
//	parent    the pings; each egress stream three
//	enclave   one for each attestation document
//	library   two and those of its streams, once there is an egress stream
//
// Locks are few and never nested but as a file's first comment says: one for each queue, which covers a parent's slots
// too; one for what waits for the control stream's worker; one for the parent's control calls; one for the log.
//
// # Copies that remain
//
// Received bytes are handled where they were read, or copied once into memory of this package's. Bytes to be sent are
// in the stream's queue and in the connection's buffer. All are wiped after use. No credential and no body passes
// through a buffer of the library. Egress streams carry what TLS has sealed, and the name of a host.
//
// # How it is fast
//
// A call is a slot of a lane, not a stream. What is to be said is written
//
//   - by the reader, when it has handled all that it had read: the answers of many requests in one system call;
//   - by the caller itself, if it is the only one, so that no goroutine need wake up: without waiting, so that
//     a stuck peer cannot hold it;
//   - else by one goroutine per connection, which takes what all have said since, and which steps back once
//     before, when callers came together lately, so that those about to run come along.
//
// To be woken costs a process on an idle CPU several times what a hot request takes. So a caller that is alone looks
// for its answer itself, up to 100 µs, before it waits, and an enclave that has nothing else to do looks for the next
// request up to 250 µs (mux/poll.go). One goroutine of a process does so at a time, gives way to others that want the
// CPU, and keeps away for up to 64 turns after it has looked in vain. Where requests come together nobody does.
//
// A write is at most 31 KiB ([wire.MaxWrite]) of as many streams' frames as fit. In steady state a round trip
// allocates nothing.
//
// # Sources
//
// yamux: github.com/hashicorp/yamux/spec.md, and its issue 142 for the advisory.
package session
