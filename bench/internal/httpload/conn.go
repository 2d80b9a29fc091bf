// Package httpload offers load to a parent or an API over HTTP/1.1 for bench, checks every answer, and reports what
// was measured: closed loops, open loops, the search for the peak, overload (loops.go).
//
// Each caller has a connection of its own, kept open, and sends requests that were made before the run. So the load
// itself costs only a write, a read and a comparison, since it shares the machine with what it measures. Over http
// one thread does this for all callers (loop.go). Over https, and where single requests are timed, each caller has a
// goroutine. The first answer to a request is decoded and compared with the record's plaintexts. Later answers must
// be equal to it, or are decoded too.
package httpload

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"
)

// answerTimeout ends a caller whose answer does not come.
const answerTimeout = 60 * time.Second

// Endpoint is where load goes: http, or https with TLS's own configuration.
type Endpoint struct {
	address string
	host    string
	tls     *tls.Config
}

// ErrURL reports an endpoint that is not an http or https URL of a host.
var ErrURL = errors.New("the URL must be http://HOST:PORT or https://HOST")

// NewEndpoint reads a URL; roots may be nil for http.
func NewEndpoint(raw string, config *tls.Config) (*Endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ErrURL
	}
	e := &Endpoint{address: u.Host, host: u.Host}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
		e.tls = config.Clone()
		if e.tls == nil {
			e.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		e.tls.ServerName = u.Hostname()
	}
	if u.Port() == "" {
		e.address = net.JoinHostPort(u.Hostname(), port)
	}
	return e, nil
}

// conn is one caller's connection.
type conn struct {
	endpoint *Endpoint
	c        net.Conn
	in       []byte // what has been read of the answer
}

func (e *Endpoint) newConn() *conn { return &conn{endpoint: e} }

func (c *conn) dial() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var err error
	if c.endpoint.tls == nil {
		c.c, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.endpoint.address)
	} else {
		c.c, err = (&tls.Dialer{Config: c.endpoint.tls}).DialContext(ctx, "tcp", c.endpoint.address)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}

// do sends a request and returns the answer, which is valid until the next do.
func (c *conn) do(raw []byte) (a answered, err error) {
	if c.c == nil {
		if err := c.dial(); err != nil {
			return a, err
		}
	}
	if err := c.c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return a, err
	}
	if _, err := c.c.Write(raw); err != nil {
		return a, fmt.Errorf("send: %w", err)
	}
	c.in = c.in[:0]
	for {
		c.in = roomToRead(c.in)
		n, err := c.c.Read(c.in[len(c.in):cap(c.in)])
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return a, fmt.Errorf("answer: %w", err)
		}
		c.in = c.in[:len(c.in)+n]
		a, whole, err := parse(c.in)
		if err != nil {
			return a, fmt.Errorf("answer: %w", err)
		}
		if whole {
			if a.last {
				c.close()
			}
			return a, nil
		}
	}
}
