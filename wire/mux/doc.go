// Package mux owns a socket that carries yamux, and serves the streams on it, for package session.
//
// It knows frames of yamux ([redoubt/wire/yamuxframe]) and sockets, and nothing of what a stream carries: that is its
// [Handler]'s. On the wire it is yamux, version 0, and either end may be a peer that is hashicorp/yamux alone.
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
// A connection has a [State], which moves down this table and never up. What a frame is to it, and what becomes of the
// frame, is all of the table; end means that the peer broke the protocol ([ErrProtocol]). A stream that is being opened
// by the side that opens none of its kind ends the connection too.
//
//	state     ping  go-away  first  ours  ours-opening  foreign  foreign-opening  nonsense
//	new       take  end      take   end   end           end      end              end
//	greeted   take  drop     drop   drop  drop          drop     drop             end
//	open      take  take     take   take  take          take     take             end
//	draining  take  take     take   take  take          take     take             end
//	ended     end   end      end    end   end           end      end              end
//
// first is the client's first stream, on which the two sides greet each other. It exists from the beginning, as all
// does that a frame can reach: nothing is read before [Conn.Start]. What its bytes may be before the connection is open
// is for its handler to say. Draining takes what open takes: there is work in hand.
//
// # Goroutines and locks
//
//	reader   1   waits for the socket     ┐ whoever holds r reads, and handles what it has read
//	callers  n   Peek, when alone         ┘
//	writer   1   waits for a full socket  ┐
//	reader, callers: when they may        ┘ whoever holds w gathers and writes
//	watchdog 1   looks, holds nothing
//	handlers     goroutines of their own, by Go
//	library      two and those of its streams, if there is one
//
//	r ──▶ streamsM, a handler's locks, the pipe's mu        r is never taken while w is held
//	w ──▶ a handler's locks, the pipe's mu                  w is never waited for while r is held
//
// Whoever reads writes too, when it has handled all that it had read, but only tries: it never waits for w or for the
// peer. The set of streams is copied on write, and read without a lock. At the end [Handler.Ended] is called at once
// and by whoever ends the connection, Handler.Wipe when its goroutines are gone.
//
// # Bounds
//
// What a stream holds is its handler's to bound; a peer cannot send more than a stream's window ahead. The pipe holds
// [PipeSize] bytes each way. The reader waits for the library, no longer than a write may take, when the pipe is full,
// and before a stream is opened on it, until all before has been handled: so the streams of the library can be counted.
// A write, and a stream with something to send, must make progress within Config.WriteTimeout.
//
// # How it differs from its design
//
// A handler gets bytes, not messages: messages are package session's, with all that is known of their headers, and
// lanes can keep their slots under the lock of their queue. And a stream may be credited by hand ([Stream.Credit]), so
// that a handler may leave the work on what it took to a goroutine of its own, with the window as the bound of what
// waits.
package mux
