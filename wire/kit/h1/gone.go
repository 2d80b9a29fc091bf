package h1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

// connKey is the key of the context that ends when a connection's peer has left.
type connKey struct{}

// ConnContext is for http.Server.ConnContext, together with a Listener or a TLSListener. It makes the connections
// known to Attend.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if of, ok := c.(interface{ peer() context.Context }); ok {
		return context.WithValue(ctx, connKey{}, of.peer())
	}
	return ctx
}

// Attend returns a context for the work on r, with the values of r's own context. It ends when nobody waits for the
// answer, and after limit at the latest. The caller MUST call stop.
//
// The context of net/http also ends when the peer has no more to send, although RFC 9112, section 9.6, lets a peer
// close its half of the connection and wait. This one ends only when the connection was reset. For HTTP/2, and for
// servers without ConnContext, it ends together with r's own.
func Attend(r *http.Request, limit time.Duration) (ctx context.Context, stop context.CancelFunc) {
	ctx = r.Context()
	if peer, ok := ctx.Value(connKey{}).(context.Context); ok {
		ctx = attended{peer, ctx}
	}
	return context.WithTimeout(ctx, limit)
}

// attended ends together with its Context and has the values of both. Those of its Context come first, since package
// context looks among its values for what ends a parent. So one context for each request is enough.
type attended struct {
	context.Context //nolint:containedctx // it is one

	values context.Context
}

func (a attended) Value(key any) any {
	if v := a.Context.Value(key); v != nil {
		return v
	}
	return a.values.Value(key)
}

// reset reports whether an error of reading means that the peer will not read what is written.
func reset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ETIMEDOUT)
}
