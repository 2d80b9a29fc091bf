package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"redoubt/wire/kit/trace"
)

const (
	dialTimeout = time.Second
	idleTimeout = 90 * time.Second // below the 350 s after which a network load balancer forgets a flow
	// maxAnswerHeader bounds the header of an answer, in bytes.
	maxAnswerHeader = 16 << 10
	userAgent       = "redoubt-api"
)

// connections are the connections to the parent. fasthttp pools them and reads and writes HTTP. The Do of its own
// client takes no context, so it could not end a request whose caller has left.
//
// The goroutine that asks writes the request and reads the answer. net/http's client has two more goroutines for each
// connection, which took twice the CPU time.
type connections struct {
	pool          *fasthttp.HostClient
	host          string
	path          string // prefix of each request's path
	authorization string // empty: none
}

func connect(u *url.URL, config *tls.Config, token string) connections {
	secure := u.Scheme == "https"
	c := connections{
		host: u.Host, path: strings.TrimRight(u.EscapedPath(), "/"),
		pool: &fasthttp.HostClient{
			Addr:                fasthttp.AddMissingPort(u.Host, secure),
			MaxConns:            math.MaxInt, // the API's own limits bound its requests
			MaxIdleConnDuration: idleTimeout,
			ReadBufferSize:      maxAnswerHeader,
			DialTimeout:         (&dialer{secure: secure, config: config}).dial,
		},
	}
	switch {
	case token != "":
		c.authorization = "Bearer " + token
	case u.User != nil:
		password, _ := u.User.Password()
		c.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return c
}

type dialer struct {
	secure bool
	config *tls.Config
}

// dial opens a connection, within limit if limit is above 0.
func (d *dialer) dial(address string, limit time.Duration) (net.Conn, error) {
	end := time.Now().Add(3 * dialTimeout) // one dialTimeout for TCP, two for TLS
	if limit > 0 {
		end = time.Now().Add(min(limit, 3*dialTimeout))
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil || !d.secure {
		return conn, err
	}
	secured := tls.Client(conn, d.named(address))
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// named is the TLS configuration for the host of address.
func (d *dialer) named(address string) *tls.Config {
	config := d.config.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	return config
}

// request makes a request with its id and its place in its trace. The caller releases it.
func (c *connections) request(ctx context.Context, method, path string) *fasthttp.Request {
	req := fasthttp.AcquireRequest()
	h := &req.Header
	h.SetMethod(method)
	h.SetRequestURI(c.path + path)
	h.SetHost(c.host)
	h.SetUserAgent(userAgent)
	if c.authorization != "" {
		h.Set("Authorization", c.authorization)
	}
	r := trace.From(ctx)
	if r == nil {
		return req
	}
	h.SetBytesV("Traceparent", r.Append(nil))
	if r.State != "" {
		h.Set("Tracestate", r.State)
	}
	if r.ID != "" {
		h.Set("X-Request-Id", r.ID)
	}
	return req
}

// longAgo, set as a deadline, ends reading and writing.
var longAgo = time.Unix(1, 0)

// exchange sends a request and reads its answer, until deadline or the end of ctx. connected reports whether there
// was a connection, perhaps a dead one.
func (c *connections) exchange(ctx context.Context, deadline time.Time, req *fasthttp.Request,
	resp *fasthttp.Response,
) (connected bool, err error) {
	limit := time.Until(deadline)
	if limit <= 0 {
		return false, os.ErrDeadlineExceeded
	}
	of, err := c.pool.AcquireConn(limit, false)
	if err != nil {
		return false, err
	}
	conn := of.Conn() // of belongs to another request once it is given back
	keep := false
	if err = conn.SetDeadline(deadline); err == nil {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })
		keep, err = c.turn(conn, req, resp)
		keep = stop() && keep
	}
	if keep {
		c.pool.ReleaseConn(of)
	} else {
		c.pool.CloseConn(of)
	}
	return true, err
}

// turn writes a request and reads its answer. keep reports whether the connection can be used again.
func (c *connections) turn(conn net.Conn, req *fasthttp.Request, resp *fasthttp.Response) (keep bool, err error) {
	w := c.pool.AcquireWriter(conn)
	sent := req.Write(w)
	if sent == nil {
		sent = w.Flush()
	}
	c.pool.ReleaseWriter(w)
	// A parent may answer before the whole body has come, and close. That answer counts.
	r := c.pool.AcquireReader(conn)
	defer c.pool.ReleaseReader(r)
	err = resp.ReadLimitBody(r, maxAnswer)
	if errors.Is(err, fasthttp.ErrBodyTooLarge) || err == nil && resp.StatusCode() != http.StatusOK &&
		len(resp.Body()) > maxErrorAnswer {
		return false, errTooLarge
	}
	if err != nil {
		return false, cmp.Or(sent, err)
	}
	return sent == nil && r.Buffered() == 0 && !resp.ConnectionClose(), nil
}

// release wipes an answer and gives its memory back.
func release(resp *fasthttp.Response) {
	clear(resp.Body())
	fasthttp.ReleaseResponse(resp)
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
