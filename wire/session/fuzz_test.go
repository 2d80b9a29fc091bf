package session_test

import (
	"io"
	"net"
	"slices"
	"testing"

	"redoubt/wire"
)

// FuzzBytesFromTheFirst gives either end any bytes, from the first of the connection on, and then its end: the session
// ends, and nothing of it panics. It is worth most with -race.
func FuzzBytesFromTheFirst(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	f.Fuzz(func(t *testing.T, enclave bool, b []byte) {
		if len(b) > 32<<10 {
			return
		}
		begin := sides["parent"]
		if enclave {
			begin = sides["enclave"]
		}
		own, peer := unixPair(t)
		read := make(chan struct{})
		go func() {
			defer close(read)
			if !enclave {
				asked(t, peer)
			}
			_, _ = peer.Write(b) // it may have ended already
			_ = peer.(*net.UnixConn).CloseWrite()
			_, _ = io.Copy(io.Discard, peer)
		}()
		if e, err := begin(t.Context(), own, func() { t.Error("a panic") }); err == nil {
			over(t, e)
		}
		<-read // the end of own: nothing holds the connection
	})
}

// seeds follow the grammar: headers, preambles, hellos, control frames and requests, in the right order and in others.
func seeds() [][]byte {
	decrypt := (&wire.DecryptRequest{Encoding: 3, VaultID: []byte("v_1")}).Append(nil)
	lane := muxBytes(flagSYN, 3, preambleOf(2)...)
	request := muxBytes(0, 3, message(wire.KindDecrypt, 0, 1, decrypt)...)
	half := muxBytes(0, 3, message(wire.KindDecrypt, wire.FlagMore, 2, make([]byte, wire.MinChunk))...)
	answer := muxBytes(0, 3, message(wire.KindDecrypted, 0, 1<<16, nil)...)
	ping := muxBytes(0, 1, message(wire.KindPing, 0, 1, (&wire.Ping{}).Append(nil))...)
	pong := muxBytes(0, 1, message(wire.KindPong, 0, 1, (&wire.Pong{}).Append(nil))...)
	unknown := muxBytes(0, 1, message(99, 0, 7, []byte("later"))...)
	away := muxBytes(0, 1, message(wire.KindGoAway, 0, 0, (&wire.GoAway{}).Append(nil))...)
	egress := muxBytes(flagSYN, 2, append(preambleOf(4), 3, 0, 'a', ':', '1')...)
	window := muxFrame(frameWindow, 0, 3, 1<<20)
	reset := muxFrame(frameWindow, flagRST, 3, 0)
	fin := muxFrame(frameWindow, flagFIN, 1, 0)
	echo := muxFrame(framePing, flagSYN, 0, 77)
	later := muxBytes(flagSYN, 5, preambleOf(9)...)
	goAway := muxFrame(frameGoAway, 0, 0, 0)
	orders := [][][]byte{
		{parentHello(), lane, request, half, ping, window, away},
		{enclaveHello(), answer, pong, unknown, egress, away},
		{lane, request, parentHello()},
		{answer, enclaveHello()},
		{parentHello(), request, lane},
		{parentHello(), parentHello()},
		{enclaveHello(), enclaveHello(), reset},
		{parentHello(), lane, lane, later, request, reset},
		{parentHello(), fin, lane, unknown},
		{ping, pong, away, egress, window, reset, fin},
		{echo, echo, parentHello(), echo, goAway},
		{echo, enclaveHello(), echo, goAway, egress},
		{muxFrame(frameData, flagSYN, 1, 1<<31)},
		{muxFrame(4, 0, 0, 0)},
		{muxBytes(flagSYN, 1, append(preambleOf(1), message(wire.KindHello, 0, 0, make([]byte, 8))...)...)},
		{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
	}
	var all [][]byte
	for _, o := range orders {
		all = append(all, slices.Concat(o...))
	}
	return all
}
