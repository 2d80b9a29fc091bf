package mux

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire/yamuxframe"
)

func quiet() *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive, cfg.LogOutput, cfg.StreamOpenTimeout = false, io.Discard, 0
	return cfg
}

// TestWhatAFullPipeHoldsBackIsTheReaders: a caller that looks for its answer does not wait for the library, and the
// reader goes on where the caller stopped although the socket is empty by then.
func TestWhatAFullPipeHoldsBackIsTheReaders(t *testing.T) {
	r := openRig(t, true, nil)
	if r.c.raw == nil {
		t.Fatal("no descriptor")
	}
	pipe := r.c.Pipe()
	body := strings.Repeat("x", 20_000)
	want := strings.Repeat(string(data(0, 2, body)), 3)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 3 {
			r.write(data(0, 2, body))
		}
	}()
	peeked := make(chan struct{})
	go func() {
		defer close(peeked)
		for range 1000 {
			r.c.Peek()
			runtime.Gosched()
		}
	}()
	<-peeked
	got := make([]byte, len(want))
	if _, err := io.ReadFull(pipe, got); err != nil || string(got) != want {
		t.Fatal("the frames differ", err)
	}
	<-sent
	r.alive()
}

// TestALibraryThatDoesNotReadEndsTheConnection within the time that a write may take.
func TestALibraryThatDoesNotReadEndsTheConnection(t *testing.T) {
	r := openRig(t, true, func(_ *rig, cfg *Config) { cfg.WriteTimeout = 100 * time.Millisecond })
	r.c.Pipe()
	go func() {
		for range 3 {
			_, _ = r.peer.Write(data(0, 2, strings.Repeat("x", 20_000)))
		}
	}()
	r.ends(ErrWriteTimeout)
}

// TestStreamsOfTheLibraryCanBeCounted: when the connection's user is asked about a stream, the library has seen the one
// before.
func TestStreamsOfTheLibraryCanBeCounted(t *testing.T) {
	const total = 50
	var ys *yamux.Session
	seen := 0
	r := openRig(t, true, func(r *rig, cfg *Config) {
		cfg.AcceptForeign = func() error {
			if ys == nil {
				ys, _ = yamux.Client(r.c.Pipe(), quiet())
			}
			if n := ys.NumStreams(); n != seen {
				t.Errorf("the library has %d streams of %d", n, seen)
			}
			if seen++; seen > total {
				return ErrProtocol
			}
			return nil
		}
	})
	var all []byte
	for id := range uint32(total + 1) {
		all = append(all, window(yamuxframe.SYN, 2+2*id, 0)...)
		all = append(all, data(0, 2+2*id, "hello")...)
	}
	r.write(all)
	r.ends(ErrProtocol)
	_ = ys.Close()
}

// TestTheLibrarysReasonIsSaidByTheEndOfTheConnection, and not before it by a frame. A peace that it offers is passed on.
func TestTheLibrarysReasonIsSaidByTheEndOfTheConnection(t *testing.T) {
	goAway := func(r yamuxframe.Reason) []byte {
		return yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.GoAway, Length: r})
	}
	r := openRig(t, false, nil)
	pipe := r.c.Pipe()
	for _, b := range [][]byte{
		goAway(yamuxframe.ProtocolError), goAway(yamuxframe.InternalError), goAway(yamuxframe.Normal), window(0, 2, 1),
	} {
		if _, err := pipe.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	var got []uint32
	for {
		h, _, err := r.frame()
		if err != nil {
			t.Fatal(err)
		}
		if h.Kind == yamuxframe.GoAway {
			got = append(got, h.Length)
		}
		if h.Stream == 2 {
			break
		}
	}
	if !slices.Equal(got, []uint32{yamuxframe.Normal}) {
		t.Error("go-aways of these reasons were passed on:", got)
	}
}

// TestTheLibrarySpeaksThroughThePipe both ways, as either side, with a peer that is the library on the bare socket.
func TestTheLibrarySpeaksThroughThePipe(t *testing.T) {
	for _, client := range []bool{false, true} {
		r := openRig(t, client, nil)
		r.c.Move(Draining)
		ours, theirs := yamux.Server, yamux.Client
		if client {
			ours, theirs = yamux.Client, yamux.Server
		}
		pipe := r.c.Pipe()
		a, err := ours(pipe, quiet())
		if err != nil {
			t.Fatal(err)
		}
		if client { // what this side says of its own streams is nothing that the peer's library knows
			for {
				if h, _, err := r.frame(); err != nil || h.Stream == 3 {
					break
				}
			}
		}
		b, err := theirs(r.peer, quiet())
		if err != nil {
			t.Fatal(err)
		}
		opener, acceptor := a, b
		if client {
			opener, acceptor = b, a
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				st, err := acceptor.AcceptStream()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(st, st)
				_ = st.Close()
			})
			wg.Go(func() {
				st, err := opener.OpenStream()
				if err != nil {
					t.Error(err)
					return
				}
				sent := strings.Repeat("0123456789abcdef", 40_000)
				go func() {
					_, _ = io.WriteString(st, sent)
					_ = st.Close()
				}()
				if got, err := io.ReadAll(st); err != nil || string(got) != sent {
					t.Error(len(got), err)
				}
			})
		}
		wg.Wait()
		_ = pipe.Close()
		<-a.CloseChan()
		_, _ = a.Close(), b.Close()
		r.c.Close()
	}
}

// TestReadersOfTheLibraryDoNotSpinAtTheEnd: in a bubble of synctest all goroutines block when the connection has
// ended. A Stream.Read that spun would go on for ever there, for a single processor has no other goroutine run.
func TestReadersOfTheLibraryDoNotSpinAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConn(&cutConn{}, Config{WriteTimeout: time.Minute, Alone: func() bool { return false }})
		pipe := c.Pipe()
		held := &holding{Pipe: pipe, go1: make(chan struct{})}
		ys, err := yamux.Server(held, quiet())
		if err != nil {
			t.Fatal(err)
		}
		st, err := ys.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := st.Read(make([]byte, 1))
				done <- err
			}()
		}
		synctest.Wait()
		_ = pipe.Close()
		if n, err := pipe.Write(window(0, 2, 1)); n != yamuxframe.HeaderSize || err != nil {
			t.Error("a write to a closed pipe ends the library before its receiving side has ended", n, err)
		}
		_, _ = st.Write([]byte("more")) // its sending side is busy with the closed pipe
		synctest.Wait()                 // nothing spins while the receiving side is held up
		if ys.IsClosed() {
			t.Error("the library's session has ended before its receiving side")
		}
		close(held.go1)
		synctest.Wait()
		for range 2 {
			if err := <-done; !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		}
		_ = ys.Close()
		c.Close()
	})
}

// holding keeps the end of its reads back.
type holding struct {
	*Pipe
	go1 chan struct{}
}

func (h *holding) Read(b []byte) (int, error) {
	n, err := h.Pipe.Read(b)
	if err != nil {
		<-h.go1
	}
	return n, err
}
