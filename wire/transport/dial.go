package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Dialer connects to one address. Make one with NewDialer.
type Dialer struct {
	url  string
	addr address
	// These are for vsock: open opens a socket, and ports are those from which it may connect; nil for any.
	open  func() (vsockSocket, error)
	ports *privilegedPorts
}

// NewDialer parses a URL. It does not connect. Over vsock the dialer connects from a port below 1024, since an
// enclave accepts only such peers as its parent. Errors wrap ErrURL and do not quote the URL.
func NewDialer(rawURL string) (*Dialer, error) {
	a, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	if a.scheme == schemeVsock && a.cid == cidAny {
		return nil, fmt.Errorf("%w: a context id is needed to dial", ErrURL)
	}
	return &Dialer{url: rawURL, addr: a, open: openVsock, ports: ports}, nil
}

// FromAnyPort returns a dialer to the same address that binds no port and needs no privilege. It is for a peer that
// does not check the port.
func (d *Dialer) FromAnyPort() *Dialer {
	free := *d
	free.ports = nil
	return &free
}

// Dial connects, within ctx. It is safe for concurrent use. Errors: the system's, ErrHandshake, the context's, and over
// vsock ErrPrivilege and ErrPorts.
func (d *Dialer) Dial(ctx context.Context) (net.Conn, error) {
	switch d.addr.scheme {
	case schemeVsock:
		c, err := d.dialVsock(ctx)
		if err != nil {
			return nil, fmt.Errorf("dial enclave: %w", err)
		}
		return c, nil
	case schemeHybrid:
		return d.dialHybrid(ctx)
	}
	return d.dialUnix(ctx)
}

// String returns the URL.
func (d *Dialer) String() string { return d.url }

func (d *Dialer) dialUnix(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", d.addr.path)
	if err != nil {
		return nil, fmt.Errorf("dial enclave: %w", err)
	}
	return c, nil
}

func (d *Dialer) dialHybrid(ctx context.Context) (net.Conn, error) {
	c, err := d.dialUnix(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err = handshake(c, d.addr.port)
	if !stop() {
		return nil, errors.Join(fmt.Errorf("dial enclave: %w", context.Cause(ctx)), c.Close())
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// maxLine is more than "OK 4294967295\n".
const maxLine = 32

// handshake asks for the port and reads the answer byte by byte, since the bytes after it belong to the caller.
func handshake(c io.ReadWriter, port uint32) error {
	if _, err := io.WriteString(c, "CONNECT "+strconv.FormatUint(uint64(port), 10)+"\n"); err != nil {
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	var line []byte
	var b [1]byte
	for len(line) < maxLine {
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		if b[0] == '\n' {
			return checkOK(string(line))
		}
		line = append(line, b[0])
	}
	return ErrHandshake
}

func checkOK(line string) error {
	n, ok := strings.CutPrefix(line, "OK ")
	if !ok {
		return ErrHandshake
	}
	if _, err := strconv.ParseUint(strings.TrimSuffix(n, "\r"), 10, 32); err != nil {
		return ErrHandshake
	}
	return nil
}
