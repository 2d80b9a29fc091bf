package tiers

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"redoubt/wire"
)

// parentConfig is what a parent's process is told.
type parentConfig struct {
	Socket string `json:"socket"` // of the enclave
}

// parent is the HTTP side.
type parent struct {
	socket  string
	parsers fastjson.ParserPool
	buffers sync.Pool
}

// serveParent is the child: it listens, returns its host:port and serves until the process ends.
func serveParent(c parentConfig) (string, error) {
	p := &parent{socket: c.Socket}
	p.buffers.New = func() any { return new([]byte) }
	return serveHTTP(p.handle)
}

func serveHTTP(handle fasthttp.RequestHandler) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	s := &fasthttp.Server{Handler: handle, NoDefaultServerHeader: true, MaxRequestBodySize: 1 << 20}
	go func() { _ = s.Serve(ln) }() // it ends with the process
	return ln.Addr().String(), nil
}

// credential is what the reference sends with each request.
const credential = `{"credential":{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"` +
	`0000000000000000000000000000000000000000","Token":""},"request":`

func (p *parent) handle(ctx *fasthttp.RequestCtx) {
	parser := p.parsers.Get()
	defer p.parsers.Put(parser)
	v, err := parser.ParseBytes(ctx.PostBody())
	if err != nil || !valid(v) {
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return
	}
	buffer := p.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer p.buffers.Put(buffer)
	*buffer = append(startFrame(*buffer), credential...)
	*buffer = endFrame(append(v.MarshalTo(*buffer), '}'))
	if err := p.ask(ctx, parser, buffer); err != nil {
		ctx.SetStatusCode(fasthttp.StatusInternalServerError)
	}
}

// ask has one connection for one request.
func (p *parent) ask(ctx *fasthttp.RequestCtx, parser *fastjson.Parser, buffer *[]byte) error {
	c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", p.socket)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(*buffer); err != nil {
		return err
	}
	frame, err := readFrame(c, buffer)
	if err != nil {
		return err
	}
	v, err := parser.ParseBytes(frame)
	if err != nil || !v.Exists("fields") {
		return errRequest
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(v.MarshalTo(nil))
	return nil
}

func valid(v *fastjson.Value) bool {
	text := func(key string, limit int) bool {
		n := len(v.GetStringBytes(key))
		return n > 0 && n <= limit
	}
	fields := v.GetObject("fields")
	return fields != nil && fields.Len() <= wire.MaxFields && text("vault_id", wire.MaxVaultID) &&
		text("region", wire.MaxRegion) && text("suite_id", 1024) && text("encrypted_private_key", 8192)
}
