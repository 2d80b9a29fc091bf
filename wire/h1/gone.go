package h1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
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
// without ConnContext, it is r's own. The caller MUST call stop.
func Attend(r *http.Request) (ctx context.Context, stop func()) {
	peer, ok := r.Context().Value(connKey{}).(context.Context)
	if !ok {
		return r.Context(), func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	release := context.AfterFunc(peer, cancel)
	return ctx, func() {
		release()
		cancel()
	}
}

// reset reports whether an error of reading says that nobody will read what is written.
func reset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ETIMEDOUT)
}
