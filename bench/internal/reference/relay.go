package reference

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/valyala/fasthttp"
)

// RelayRole and AnswererRole are two processes that do between them the least that answering from a second process
// takes: the first passes a request's body on over a connection that it keeps, by the goroutine that serves the
// request and no other, and the second answers with given bytes. They are the floor of a request through two tiers.
const (
	RelayRole    = "relay"
	AnswererRole = "answerer"
)

// AnswererConfig is what the answering process is told.
type AnswererConfig struct {
	Socket string `json:"socket"`
	Body   []byte `json:"body"`
}

// ServeAnswerer is the child that answers; its own answer is empty.
func ServeAnswerer(c AnswererConfig) (string, error) {
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
			go answer(conn, frame)
		}
	}()
	return "", nil
}

func answer(conn net.Conn, frame []byte) {
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

// RelayConfig is what the relaying process is told.
type RelayConfig struct {
	Socket string `json:"socket"`
}

// ServeRelay is the child that relays: it listens and returns its host:port. One request at a time.
func ServeRelay(c RelayConfig) (string, error) {
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
