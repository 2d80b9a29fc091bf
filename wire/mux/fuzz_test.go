package mux

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire/yamuxframe"
)

// FuzzBytesInEachState gives either side any bytes in any state, and then the end, with a library on the pipe. Nothing
// panics, no stream is left without its end, and buffers are wiped. It is worth most with -race.
func FuzzBytesInEachState(f *testing.F) {
	var all []byte
	for _, frames := range framesOf {
		all = append(all, slices.Concat(frames...)...)
	}
	opened := slices.Concat(window(yamuxframe.SYN, 1, 0), window(yamuxframe.SYN, 3, 0), window(yamuxframe.SYN, 2, 0))
	for s := New; s < Ended; s++ {
		for _, client := range []bool{false, true} {
			f.Add(client, byte(s), all)
			f.Add(client, byte(s), append(opened, data(0, 3, "hello")...))
			f.Add(client, byte(s), slices.Concat(window(yamuxframe.SYN, 2, 0), data(yamuxframe.FIN, 2, "hello"), all))
		}
	}
	f.Fuzz(func(t *testing.T, client bool, state byte, b []byte) {
		if len(b) > 32<<10 {
			return
		}
		begun := false
		library := make(chan *yamux.Session, 1)
		begin := func(c *Conn) {
			if begun {
				return
			}
			begun = true
			pipe := c.Pipe()
			c.Go(func() error {
				start := yamux.Server
				if client {
					start = yamux.Client
				}
				ys, err := start(pipe, quiet())
				if err != nil {
					return err
				}
				library <- ys
				return nil
			})
		}
		r := newRig(t, client, func(r *rig, cfg *Config) {
			if client {
				cfg.AcceptForeign = func() error { begin(r.c); return nil }
			}
		})
		if !client {
			begin(r.c)
		}
		switch State(state % byte(Ended)) {
		case Greeted:
			r.c.Move(Greeted)
		case Draining:
			r.c.Move(Open)
			r.c.Move(Draining)
		case Open:
			r.c.Move(Open)
		default:
		}
		read := make(chan struct{})
		r.c.Start()
		go func() {
			defer close(read)
			_, _ = r.peer.Write(b)
			_ = r.peer.(*net.UnixConn).CloseWrite()
			_, _ = io.Copy(io.Discard, r.peer)
		}()
		select {
		case <-r.c.Done():
		case <-time.After(20 * time.Second):
			t.Fatal("it does not end")
		}
		<-read
		if begun {
			ys := <-library
			<-ys.CloseChan()
			_ = ys.Close()
		}
		if !isZero(r.c.in) || !isZero(r.c.out) || !r.first.wiped || r.first.ended == nil {
			t.Error("something is left")
		}
	})
}
