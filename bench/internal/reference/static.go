package reference

import "github.com/valyala/fasthttp"

// StaticRole is a fasthttp server that answers given bytes by itself.
const StaticRole = "static"

// StaticConfig is what it answers.
type StaticConfig struct {
	Body []byte `json:"body"`
}

// ServeStatic is the child: it listens and returns its host:port. Its answer has as many headers as a parent's.
func ServeStatic(c StaticConfig) (string, error) {
	return serveHTTP(func(ctx *fasthttp.RequestCtx) {
		answerHeaders(ctx)
		ctx.SetBody(c.Body)
	})
}

func answerHeaders(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	ctx.Response.Header.Set("X-Request-Id", "0123456789abcdef0123456789abcdef")
}
