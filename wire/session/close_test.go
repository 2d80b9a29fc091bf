package session

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"redoubt/wire"
	"redoubt/wire/yamuxframe"
)

// TestEveryOrderOfClose closes what there is to close of a session with calls in flight, control messages under way
// and an egress stream that is read at both ends, in every order. Whatever the order, all of it ends: TestMain counts
// goroutines.
func TestEveryOrderOfClose(t *testing.T) {
	names := []string{"parent", "enclave", "socket", "egress", "target"}
	orders(len(names), func(order []int) {
		held := make(chan Responder, 4)
		a, b := socketpair(t)
		target, far := net.Pipe()
		c, s := pairOver(t, a, b, ClientConfig{
			OnEgress: func(context.Context, string) (net.Conn, error) { return target, nil },
		}, ServerConfig{Handler: &handler{request: func(r *Request) { held <- r.Responder }}})
		egress, err := s.OpenEgress(t.Context(), "kms.example:443")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, conn := range []net.Conn{egress, far} {
			wg.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		}
		wg.Go(func() {
			for c.Err() == nil {
				_, _ = c.Ping(t.Context())
			}
		})
		done := make(chan *Call, 2)
		for range cap(done) {
			if err := c.Start(c.NewCall(), done); err != nil {
				t.Fatal(err)
			}
		}
		<-held
		closers := []func() error{c.Close, s.Close, a.Close, egress.Close, far.Close}
		for _, i := range order {
			_ = closers[i]()
		}
		for range cap(done) {
			if err := (<-done).Err(); !errors.Is(err, ErrClosed) {
				t.Errorf("%v: a call ended by %v", order, err)
			}
		}
		<-c.Done()
		<-s.Done()
		wg.Wait()
	})
}

// orders calls f with each order of n things.
func orders(n int, f func(order []int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var from func(k int)
	from = func(k int) {
		if k == n {
			f(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			from(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	from(0)
}

// TestNoLaneWaitsForAControlMessage: a purge that takes its time holds up neither requests nor the session's pongs to
// yamux's pings, and the messages behind it are handled in their order.
func TestNoLaneWaitsForAControlMessage(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	c, _ := pair(t, ClientConfig{PingTimeout: time.Minute}, ServerConfig{IdleTimeout: time.Minute, Handler: &handler{
		purge: func(*wire.Purge) (wire.Purged, error) {
			close(begun)
			<-end
			return wire.Purged{Keys: 1}, nil
		},
	}})
	purged := make(chan error, 2)
	go func() {
		_, err := c.Purge(t.Context(), &wire.Purge{})
		purged <- err
	}()
	<-begun
	go func() {
		_, err := c.Ping(t.Context())
		purged <- err
	}()
	for range 100 {
		call := c.NewCall()
		if err := c.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		call.Release()
	}
	if len(purged) != 0 {
		t.Error("a purge that has not ended is answered")
	}
	close(end)
	for range 2 {
		if err := <-purged; err != nil {
			t.Error(err)
		}
	}
}

// TestAParentThatDoesNotAnswerAnEgressStreamLosesTheSession, which would have no way to KMS.
func TestAParentThatDoesNotAnswerAnEgressStreamLosesTheSession(t *testing.T) {
	s, _ := rawClient(t, ServerConfig{Config: Config{HelloTimeout: 2 * time.Second, WriteTimeout: 500 * time.Millisecond}})
	if _, err := s.OpenEgress(t.Context(), "kms.example:443"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	ends(t, s, ErrLiveness)
}

// TestAParentThatGoesAwayGetsNoEgressStream, while its requests are served.
func TestAParentThatGoesAwayGetsNoEgressStream(t *testing.T) {
	s, p := rawClient(t, ServerConfig{})
	if err := p.ys.GoAway(); err != nil {
		t.Fatal(err)
	}
	p.write(p.lanes[0], frame(wire.Header{Kind: wire.KindDecrypt, ID: 7}, nil))
	if h, _, err := p.readFrame(p.lanes[0]); err != nil || h.ID != 7 {
		t.Fatal(err)
	}
	if _, err := s.OpenEgress(t.Context(), "kms.example:443"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// TestEgressStreamsThatBreakYamuxEndTheSession: the library sees it, and its session's end is ours.
func TestEgressStreamsThatBreakYamuxEndTheSession(t *testing.T) {
	flood := muxDataFrame(2, libraryWindow+1, make([]byte, libraryWindow+1))
	t.Run("of an enclave", func(t *testing.T) {
		c, p := rawServer(t, ClientConfig{Config: limits(ErrProtocol), PingTimeout: time.Minute})
		go p.drain(p.control)
		_, _ = p.conn.Write(yamuxframe.Append(nil, yamuxframe.Header{
			Kind: yamuxframe.Window, Flags: yamuxframe.SYN, Stream: 2,
		}))
		_, _ = p.conn.Write(flood)
		ends(t, c, ErrProtocol)
	})
	t.Run("of an enclave, while a stream of it is accepted", func(t *testing.T) {
		for range 20 { // the library takes the stream or sees its end, as it happens
			c, p := rawServer(t, ClientConfig{Config: limits(ErrProtocol), PingTimeout: time.Minute})
			go p.drain(p.control)
			begin := c.library.make
			c.library.make = func(pipe io.ReadWriteCloser, cfg *yamux.Config) (*yamux.Session, error) {
				ys, err := begin(endsLate{pipe}, cfg)
				if err == nil {
					<-ys.CloseChan()
				}
				return ys, err
			}
			c.library.begin()
			for id := uint32(2); id <= 16; id += 2 {
				_, _ = p.conn.Write(yamuxframe.Append(nil, yamuxframe.Header{
					Kind: yamuxframe.Window, Flags: yamuxframe.SYN, Stream: id,
				}))
			}
			_, _ = p.conn.Write(flood)
			ends(t, c, ErrProtocol)
		}
	})
	t.Run("of a parent", func(t *testing.T) {
		s, p := rawClient(t, ServerConfig{Config: limits(ErrProtocol)})
		go func() {
			st, err := p.ys.Accept()
			if err != nil {
				return
			}
			p.write(st, []byte{egressOK})
		}()
		if _, err := s.OpenEgress(t.Context(), "kms.example:443"); err != nil {
			t.Fatal(err)
		}
		_, _ = p.conn.Write(flood)
		ends(t, s, ErrProtocol)
	})
}

// endsLate holds the library between the end of its session and that of its streams until the pipe is closed.
type endsLate struct{ io.ReadWriteCloser }

func (p endsLate) Close() error {
	_, _ = io.Copy(io.Discard, p.ReadWriteCloser)
	return p.ReadWriteCloser.Close()
}

// TestAPanicOfTheReaderOfLanesEndsTheSessionAndNotTheProcess makes the innermost step panic, on the library's goroutine
// and on a caller's that looks for its answer itself.
func TestAPanicOfTheReaderOfLanesEndsTheSessionAndNotTheProcess(t *testing.T) {
	for name, alone := range map[string]bool{"read": false, "looked for": true} {
		t.Run(name, func(t *testing.T) {
			told := make(chan any, 1)
			c, s := pair(t, ClientConfig{OnPanic: func(v any) { told <- v }}, ServerConfig{})
			c.single[0].in.take = nil
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if alone {
				ctx = context.Background() // it polls
			}
			call := c.NewCall()
			if err := c.Do(ctx, call); !errors.Is(err, ErrFault) || !errors.Is(err, ErrSentUnknown) {
				t.Error(err)
			}
			call.Release()
			ends(t, c, ErrFault)
			ends(t, s, ErrClosed)
			<-told
		})
	}
}
