package tiers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/valyala/fasthttp"
)

// relayRole and answererRole are two processes that together do the least that an answer from a second process takes.
// The first passes a request's body on over a connection that it keeps, with the goroutine that serves the request
// and no other. The second answers with given bytes. They are the floor of a request through two tiers.
const (
	relayRole    = "relay"
	answererRole = "answerer"
)

// answererConfig is what the answering process is told.
type answererConfig struct {
	Socket string `json:"socket"`
	Body   []byte `json:"body"`
}

// serveAnswerer is the child that answers; its own answer is empty.
func serveAnswerer(c answererConfig) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", c.Socket)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	frame := endFrame(append(startFrame(nil), c.Body...))
	go func() { // it ends with the process
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go answerAll(conn, frame)
		}
	}()
	return "", nil
}

func answerAll(conn net.Conn, frame []byte) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	var buffer []byte
	for {
		if _, err := readFrame(r, &buffer); err != nil {
			return
		}
		if _, err := conn.Write(frame); err != nil {
			return
		}
	}
}

// relayConfig is what the relaying process is told.
type relayConfig struct {
	Socket string `json:"socket"`
}

// serveRelay is the child that relays: it listens and returns its host:port. One request at a time.
func serveRelay(c relayConfig) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "unix", c.Socket)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	var mu sync.Mutex
	r := bufio.NewReader(conn)
	var out, in []byte
	return serveHTTP(func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		defer mu.Unlock()
		out = endFrame(append(startFrame(out), ctx.PostBody()...))
		_, err := conn.Write(out)
		var body []byte
		if err == nil {
			body, err = readFrame(r, &in)
		}
		if err != nil {
			ctx.SetStatusCode(fasthttp.StatusInternalServerError)
			return
		}
		answerHeaders(ctx)
		ctx.SetBody(body)
	})
}

// staticRole is a fasthttp server that answers given bytes by itself.
const staticRole = "static"

// staticConfig is what it answers.
type staticConfig struct {
	Body []byte `json:"body"`
}

// serveStatic is the child: it listens and returns its host:port. Its answer has as many headers as a parent's.
func serveStatic(c staticConfig) (string, error) {
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
