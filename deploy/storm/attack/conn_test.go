//go:build attack

package attack

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"time"
)

// roundTime bounds one round, and answerTime how long a round waits for what comes back.
const (
	roundTime  = 2 * time.Second
	answerTime = 40 * time.Millisecond
	maxHeard   = 1 << 20 // bytes that are kept of what a peer says
)

// talk sends pieces on a connection, cut anywhere, sometimes slowly, and returns what came back. The peer may end it at
// any time, which is no failure.
func talk(ctx context.Context, g *gen, conn net.Conn, pieces [][]byte) []byte {
	deadline := time.Now().Add(roundTime)
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	heard := make(chan []byte, 1)
	more := make(chan struct{}, 1)
	if deaf := g.oneIn(12); deaf { // it reads nothing until it has sent all
		heard <- nil
	} else {
		go func() { heard <- listen(conn, more) }()
	}
	err := send(ctx, g, conn, pieces)
	if half, ok := conn.(interface{ CloseWrite() error }); ok && g.oneIn(6) {
		err = errors.Join(err, half.CloseWrite())
	}
	if err == nil {
		timer := time.NewTimer(answerTime)
		defer timer.Stop()
	wait:
		for {
			select {
			case <-more:
				timer.Reset(answerTime / 4)
			case <-timer.C:
				break wait
			case <-ctx.Done():
				break wait
			}
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok && g.oneIn(4) {
		_ = tcp.SetLinger(0) // a reset
	}
	_ = conn.Close()
	return <-heard
}

// send writes the pieces as one stream, in writes that end anywhere.
func send(ctx context.Context, g *gen, conn net.Conn, pieces [][]byte) error {
	all := slices.Concat(pieces...)
	slow := g.oneIn(10)
	for len(all) > 0 {
		n := len(all)
		if !g.oneIn(3) {
			n = 1 + g.IntN(n)
		}
		if slow && len(all) < 4<<10 {
			n = min(n, 1+g.IntN(64))
			if err := pause(ctx, time.Duration(1+g.IntN(8))*time.Millisecond); err != nil {
				return err
			}
		}
		if _, err := conn.Write(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func listen(conn net.Conn, more chan<- struct{}) []byte {
	var heard bytes.Buffer
	b := make([]byte, 16<<10)
	for {
		n, err := conn.Read(b)
		if heard.Len() < maxHeard {
			heard.Write(b[:n])
		}
		if n > 0 {
			select {
			case more <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return heard.Bytes()
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
