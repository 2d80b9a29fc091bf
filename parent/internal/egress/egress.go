// Package egress connects enclaves to KMS, and to nothing else, for the parent.
//
// # Guarantees
//
// A connection is made only to a target on the allow list. One kind of entry is kms.REGION.amazonaws.com, or a name
// that differs from it in a suffix of its first label (kms-fips, for instance), port 443, for the configured regions.
// The other kind is a HOST:PORT that the operator has listed, matched exactly. A region's name must resolve to
// addresses outside this host and its metadata service. Loopback, link-local (169.254.169.254, fd00:ec2::254
// included), multicast and unspecified addresses are all refused, after resolution, so that a poisoned resolver
// cannot turn KMS's name into another target. An explicit entry is exempt, since the operator chose it. An address in
// place of a name is refused unless it is listed.
//
// Connections are limited in number and end when idle. TLS ends in the enclave. So what passes here is ciphertext,
// and only its bytes are counted.
//
// # Against whom
//
// It protects against an enclave that was made to ask for a wrong target. Against a hostile parent it does not help:
// the enclave verifies KMS's certificate itself.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire/session"
)

// Observer is told of connections. Methods must be quick and safe for concurrent use.
type Observer interface {
	EgressOpened()
	EgressClosed()
	// EgressRefused counts targets that are not on the list, and connections beyond the limit.
	EgressRefused()
	EgressFailed()
	// EgressBytes counts the bytes that enclaves sent and received.
	EgressBytes(sent, received int)
}

// Options of a Proxy.
type Options struct {
	// Regions whose KMS may be reached.
	Regions []string
	// Allow lists further targets, "host:port", compared without regard to case.
	Allow []string
	// MaxConns bounds the connections open at once. Idle bounds the time for which one may carry nothing.
	MaxConns int
	Idle     time.Duration
	// Observer MUST NOT be nil.
	Observer Observer
	// Resolve looks a name up; nil for the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address; nil for the system's dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Proxy makes egress connections. Its Dial method fits session.ClientConfig.OnEgress.
type Proxy struct {
	o       Options
	allow   []string
	regions atomic.Pointer[[]string]
	open    atomic.Int64
}

// dialTimeout bounds name resolution and connecting.
const dialTimeout = 5 * time.Second

// ErrOptions is returned by New for a malformed region or target.
var ErrOptions = errors.New("malformed egress rule")

// New checks the options and makes a Proxy.
func New(o Options) (*Proxy, error) {
	p := &Proxy{o: o}
	if err := p.SetRegions(o.Regions); err != nil {
		return nil, err
	}
	for _, a := range o.Allow {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || port == "" || strings.ContainsAny(a, "*?/ ") {
			return nil, fmt.Errorf("%w: target %q is not host:port", ErrOptions, a)
		}
		p.allow = append(p.allow, strings.ToLower(a))
	}
	if o.Resolve == nil {
		p.o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Dial == nil {
		p.o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	return p, nil
}

// SetRegions replaces the regions whose KMS may be reached.
func (p *Proxy) SetRegions(regions []string) error {
	for _, r := range regions {
		if !validLabel(r) {
			return fmt.Errorf("%w: region %q", ErrOptions, r)
		}
	}
	p.regions.Store(&regions)
	return nil
}

// Dial connects to target or refuses: then the error wraps session.ErrRefused.
func (p *Proxy) Dial(ctx context.Context, target string) (net.Conn, error) {
	target = strings.ToLower(target)
	listed := slices.Contains(p.allow, target)
	if !listed && !p.kms(target) {
		p.o.Observer.EgressRefused()
		return nil, session.ErrRefused
	}
	if p.open.Add(1) > int64(p.o.MaxConns) {
		p.open.Add(-1)
		p.o.Observer.EgressRefused()
		return nil, fmt.Errorf("%w: too many connections", session.ErrRefused)
	}
	c, err := p.connect(ctx, target, listed)
	if err != nil {
		p.open.Add(-1)
		if errors.Is(err, session.ErrRefused) {
			p.o.Observer.EgressRefused()
		} else {
			p.o.Observer.EgressFailed()
		}
		return nil, err
	}
	p.o.Observer.EgressOpened()
	return &conn{Conn: c, proxy: p}, nil
}

// connect resolves and connects. For the name of a region's KMS it uses the addresses that were checked.
func (p *Proxy) connect(ctx context.Context, target string, listed bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if listed {
		return p.o.Dial(ctx, "tcp", target)
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, session.ErrRefused
	}
	addrs, err := p.o.Resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	if len(addrs) == 0 || slices.ContainsFunc(addrs, forbidden) {
		return nil, session.ErrRefused
	}
	for _, a := range addrs {
		var c net.Conn
		if c, err = p.o.Dial(ctx, "tcp", net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// metadataV6 is the IPv6 address of the instance metadata service.
var metadataV6 = netip.MustParseAddr("fd00:ec2::254")

// forbidden reports whether KMS cannot be at the address.
func forbidden(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() ||
		a.WithZone("") == metadataV6 || a.Is4() && a.As4()[0] == 0 || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// kms reports whether target is a KMS endpoint of a configured region, on port 443.
func (p *Proxy) kms(target string) bool {
	host, isTLS := strings.CutSuffix(target, ":443")
	if !isTLS {
		return false
	}
	first, rest, _ := strings.Cut(host, ".")
	if first != "kms" && (!strings.HasPrefix(first, "kms-") || !validLabel(first)) {
		return false
	}
	for _, r := range *p.regions.Load() {
		if rest == r+".amazonaws.com" || strings.HasPrefix(r, "cn-") && rest == r+".amazonaws.com.cn" {
			return true
		}
	}
	return false
}

// validLabel reports whether s is a DNS label in lower case.
func validLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-'
}

// conn counts bytes and ends when idle. Both directions share one clock: a download that keeps coming keeps the
// connection, although nothing is sent.
type conn struct {
	net.Conn
	proxy *Proxy
	once  sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.proxy.o.Idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.proxy.o.Observer.EgressBytes(0, n)
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.proxy.o.Idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	c.proxy.o.Observer.EgressBytes(n, 0)
	return n, err
}

// CloseWrite ends the direction towards KMS, if the connection can do that.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.proxy.open.Add(-1)
		c.proxy.o.Observer.EgressClosed()
	})
	return err
}
