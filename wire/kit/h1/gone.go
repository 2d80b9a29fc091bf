package h1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

// connKey is the key of the context that ends when a connection's peer is gone.
type connKey struct{}

// ConnContext is for http.Server.ConnContext, with a Listener or a TLSListener: Attend then knows the connections.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if of, ok := c.(interface{ peer() context.Context }); ok {
		return context.WithValue(ctx, connKey{}, of.peer())
	}
	return ctx
}

// Attend returns a context for the work on r, with the values of r's own, that ends when nobody waits for the answer.
// The context of net/http ends too when the peer has no more to send (RFC 9112, section 9.6, lets it close its half of
// the connection and wait); this one ends only when the connection was reset. Of HTTP/2, and of servers
// without ConnContext, it ends with r's own. It ends after limit at the latest. The caller MUST call stop.
func Attend(r *http.Request, limit time.Duration) (ctx context.Context, stop context.CancelFunc) {
	ctx = r.Context()
	if peer, ok := ctx.Value(connKey{}).(context.Context); ok {
		ctx = attended{peer, ctx}
	}
	return context.WithTimeout(ctx, limit)
}

// attended ends with its Context and has the values of both. Those of its Context come first, since package context
// looks for what ends a parent among its values: one context for each request is then enough.
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

// reset reports whether an error of reading says that nobody will read what is written.
func reset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ETIMEDOUT)
}
