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

// MaxEgress bounds the streams open at once, over all sessions: data that arrives on a stream is held in memory until
// it is read.
const MaxEgress = 64

// ErrNoSession reports that there is no parent to connect through.
var ErrNoSession = errors.New("no session to connect through")

var errTooManyStreams = errors.New("too many egress streams are open")

// Egress opens connections to the outside through any parent with a session. It is made before the server, since the
// KMS client needs it.
type Egress struct {
	opened, failed atomic.Int64
	next           atomic.Uint32

	mu       sync.Mutex
	sessions []*session.Server
}

// Dial asks the parents in turn to connect to target ("host:port"), until one does. If a parent refuses the target,
// Dial tries the next, whose list may differ. Errors: [ErrNoSession], one that says that [MaxEgress] streams are
// open, that of the last session, or ctx's.
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
