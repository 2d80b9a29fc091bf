// Package mux owns a socket that carries yamux, and serves the streams on it, for package session.
//
// It knows the frames of yamux (package yamuxframe) and sockets. It does not know what a stream carries: each stream
// has a [Handler] for that. On the wire it is yamux, version 0. The peer may be hashicorp/yamux alone.
//
//	callers, workers ──Say──▶ stream: Handler.Take, window ──┐
//	library ──writes──▶ pipe ────────────────────────────────┤  gather: fair turn, whole frames, ≤ 31 KiB
//	answers to pings (16 at most) ───────────────────────────┴──────────────────────────────▶ socket
//
//	socket ──▶ by stream id, from the first byte on:
//	     0     ping, go-away         the connection: no goroutine, no buffer
//	     odd   ours                  stream: window ──▶ Handler.Data, where it was read
//	     even  foreign               pipe ──▶ a library, which sees these frames alone
//
// # What it takes
//
// A connection has a [State]. The state moves down this table and never up. The state and the class of a frame decide
// what happens to the frame. "end" means that the peer broke the protocol: the connection ends with [ErrProtocol].
//
//	state     ping  go-away  first  ours  ours-opening  foreign  foreign-opening  nonsense
//	new       take  end      take   end   end           end      end              end
//	greeted   take  drop     drop   drop  drop          drop     drop             end
//	open      take  take     take   take  take          take     take             end
//	draining  take  take     take   take  take          take     take             end
//	ended     end   end      end    end   end           end      end              end
//
// "first" is the client's first stream, on which the two sides greet each other. Its handler decides which bytes are
// allowed before the connection is open. "opening" is a frame with SYN; a frame that is taken may still break the rules
// of its stream, and a stream that is opened by the wrong side ends the connection. Draining takes what open takes,
// because there is work in hand. Everything that a frame can reach exists before [Conn.Start], and nothing is read
// earlier.
//
// # Goroutines and locks
//
// The reading goroutine is the one that holds r, the writing goroutine the one that holds w. Which goroutine that is
// changes all the time:
//
//	reader    1   waits for the socket       ┐ hold r in turn:
//	callers   n   poll, when alone           ┘ read, and handle what was read
//	writer    1   waits for a full socket    ┐ hold w in turn:
//	reader, callers: try, and do not wait    ┘ gather and write
//	watchdog  1   holds no lock
//	handlers      have goroutines of their own, by Go
//	library       two and those of its streams, if there is one
//
//	r ──▶ streamsM, a handler's locks, the pipe's mu        r is never taken while w is held
//	w ──▶ a handler's locks, the pipe's mu                  w is never waited for while r is held
//
// The reading goroutine also writes, after it has handled everything that it read. It only tries: it never waits for w
// or for the peer. The set of streams is copied on write and read without a lock. When the connection ends, the
// goroutine that ends it calls [Handler.Ended] of each stream. [Handler.Wipe] follows when all goroutines are gone.
//
// # Bounds
//
// A handler bounds what it holds. A peer cannot send more than the window of a stream ahead. The pipe holds [PipeSize]
// bytes each way. The reader waits for the library when the pipe is full. It also waits before it passes on the opening
// of a stream, until the library has handled all frames before, so that the library's streams can be counted. It waits
// no longer than a write may take. A write, and a stream with something to send, must make progress within
// Config.WriteTimeout.
//
// # Two decisions
//
// A handler gets bytes, not messages. Messages and their headers belong to package session, and a lane keeps its slots
// under the lock of its queue, which mux need not know.
//
// A handler may give the window back by hand ([Stream.Credit]). Then it can leave slow work to a goroutine of its own,
// and the window bounds what waits for that goroutine.
package mux
