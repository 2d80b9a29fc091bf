package front

import (
	"errors"
	"io"
	"net"

	"github.com/valyala/fasthttp"

	"redoubt/wire"
)

const (
	// bodyBudget bounds the bytes of large bodies in memory at once, over all connections.
	bodyBudget = 256 << 20
	// smallBody is what a body may take without the budget. MaxConnections bounds such bodies.
	smallBody = 64 << 10
)

// readBody appends the request's body, at most limit bytes, to dst. The caller MUST give taken bytes back to the
// budget, also after a fault, once the body is no longer needed. After a fault the connection will be closed after
// the answer, and the unread rest drained.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, dst []byte, limit int) (body []byte, taken int, f *fault) {
	n := ctx.Request.Header.ContentLength()
	stream := ctx.RequestBodyStream()
	if stream == nil || n == 0 {
		return dst, 0, nil
	}
	if n > limit {
		lingering(ctx, limit)
		return dst, 0, faultTooLarge
	}
	want := n
	if n < 0 {
		want = limit // chunked: the body may have any length
	}
	if want > smallBody {
		if !s.bodies.Take(want) {
			lingering(ctx, limit)
			return dst, 0, faultOf(wire.Overloaded, 0)
		}
		taken = want
	}
	dst = grow(dst, max(n+1, 4096))
	for {
		m, err := stream.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+m]
		switch {
		case len(dst) > limit:
			lingering(ctx, limit)
			return dst, taken, faultTooLarge
		case errors.Is(err, io.EOF) && n >= 0 && len(dst) < n:
			lingering(ctx, limit)
			return dst, taken, faultHTTP
		case errors.Is(err, io.EOF):
			return dst, taken, nil
		case err != nil:
			lingering(ctx, limit)
			return dst, taken, readFault(err)
		}
		dst = grow(dst, 1)
	}
}

// lingering ends the connection after the answer, but lets the client finish what it is sending, up to about limit
// bytes.
func lingering(ctx *fasthttp.RequestCtx, limit int) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger = int64(limit) + lingerMore
	}
}

// readFault is the fault for an error of reading a request.
func readFault(err error) *fault {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		return faultHeader
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return faultTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return faultTimeout
	}
	return faultHTTP
}
