package server

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"redoubt/wire/session"
)

// MaxEgress bounds the streams open at once, of all sessions: what comes on one waits in memory until it is read.
const MaxEgress = 64

// ErrNoSession means that no parent is there to connect through.
var ErrNoSession = errors.New("no session to connect through")

var errTooManyStreams = errors.New("too many egress streams are open")

// Egress opens connections to the outside through whichever parent is there. It is made before the server, since the
// KMS client needs it.
type Egress struct {
	opened, failed atomic.Int64
	next           atomic.Uint32

	mu       sync.Mutex
	sessions []*session.Server
}

// Dial asks the parents in turn to connect to target ("host:port"), until one does. A parent that refuses the target is
// not the last word: another one may have another list.
// Errors: [ErrNoSession], one that says that [MaxEgress] streams are open, that of the last session, or ctx's.
func (e *Egress) Dial(ctx context.Context, target string) (net.Conn, error) {
	e.mu.Lock()
	sessions := slices.Clone(e.sessions)
	e.mu.Unlock()
	open := 0
	for _, s := range sessions {
		open += s.Egress()
	}
	if open >= MaxEgress {
		e.failed.Add(1)
		return nil, errTooManyStreams
	}
	err := ErrNoSession
	first := int(e.next.Add(1) % 1024)
	for i := range sessions {
		var conn net.Conn
		conn, err = sessions[(first+i)%len(sessions)].OpenEgress(ctx, target)
		if err == nil {
			e.opened.Add(1)
			return conn, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	e.failed.Add(1)
	return nil, err
}

func (e *Egress) add(s *session.Server) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions = append(e.sessions, s)
}

func (e *Egress) remove(s *session.Server) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions = slices.DeleteFunc(e.sessions, func(x *session.Server) bool { return x == s })
}
