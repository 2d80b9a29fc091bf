package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/wire/session"
)

type counts struct{ opened, closed, refused, failed, sent, received atomic.Int64 }

func (c *counts) EgressOpened()  { c.opened.Add(1) }
func (c *counts) EgressClosed()  { c.closed.Add(1) }
func (c *counts) EgressRefused() { c.refused.Add(1) }
func (c *counts) EgressFailed()  { c.failed.Add(1) }
func (c *counts) EgressBytes(sent, received int) {
	c.sent.Add(int64(sent))
	c.received.Add(int64(received))
}

// fixture is a proxy whose resolver and dialer are the test's.
func fixture(t *testing.T, o Options) (*Proxy, *counts, *[]string) {
	t.Helper()
	c := &counts{}
	var dialled []string
	o.Observer = c
	if o.MaxConns == 0 {
		o.MaxConns = 10
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.Resolve == nil {
		o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
		}
	}
	if o.Dial == nil {
		o.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			a, b := net.Pipe()
			t.Cleanup(func() { a.Close(); b.Close() })
			return a, nil
		}
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p, c, &dialled
}

func TestOnlyKMSOfTheConfiguredRegionsIsReached(t *testing.T) {
	p, c, dialled := fixture(t, Options{Regions: []string{"us-east-1", "cn-north-1"}, Allow: []string{"VPCE-1.kms.internal:8443", "127.0.0.1:9301"}})
	for target, want := range map[string]string{
		"kms.us-east-1.amazonaws.com:443":      "192.0.2.7:443",
		"KMS.us-east-1.AmazonAWS.com:443":      "192.0.2.7:443",
		"kms-fips.us-east-1.amazonaws.com:443": "192.0.2.7:443",
		"kms.cn-north-1.amazonaws.com.cn:443":  "192.0.2.7:443",
		"vpce-1.kms.internal:8443":             "vpce-1.kms.internal:8443",
		"127.0.0.1:9301":                       "127.0.0.1:9301",
	} {
		*dialled = nil
		conn, err := p.Dial(context.Background(), target)
		if err != nil || len(*dialled) != 1 || (*dialled)[0] != want {
			t.Errorf("%s: %v %v", target, *dialled, err)
			continue
		}
		conn.Close()
	}
	*dialled = nil
	before := c.refused.Load()
	refused := []string{
		"", ":443", "kms.us-east-1.amazonaws.com", "kms.us-east-1.amazonaws.com:80", "kms.us-east-1.amazonaws.com:4433",
		"kms.us-east-1.amazonaws.com:0443", "kms.us-west-2.amazonaws.com:443", "kms.us-east-1.amazonaws.com.cn:443",
		"kms.us-east-1.amazonaws.com.evil.example:443", "evil.kms.us-east-1.amazonaws.com:443", "kmsevil.us-east-1.amazonaws.com:443",
		"kms-.us-east-1.amazonaws.com:443", "kms-a.b.us-east-1.amazonaws.com:443", "kms.us-east-1.amazonaws.com.:443",
		"kms_x.us-east-1.amazonaws.com:443", "s3.us-east-1.amazonaws.com:443", "169.254.169.254:80", "169.254.169.254:443",
		"[fd00:ec2::254]:80", "127.0.0.1:9302", "localhost:9301", "192.0.2.7:443", "kms..amazonaws.com:443", "kms.amazonaws.com:443",
		"kms.us-east-1.amazonaws.com:443\x00", "kms.us-east-1.amazonaws.com:443@evil:443", "user@kms.us-east-1.amazonaws.com:443",
		"kms.us-east-1.amazonaws.com%2e:443", "http://kms.us-east-1.amazonaws.com:443",
	}
	for _, target := range refused {
		if _, err := p.Dial(context.Background(), target); !errors.Is(err, session.ErrRefused) {
			t.Errorf("%q: %v", target, err)
		}
	}
	if len(*dialled) != 0 {
		t.Errorf("dialled %v", *dialled)
	}
	if n := c.refused.Load() - before; n != int64(len(refused)) {
		t.Errorf("%d refusals counted of %d", n, len(refused))
	}
}

func TestResolverCannotTurnKMSsNameIntoAnotherTarget(t *testing.T) {
	for _, addr := range []string{
		"127.0.0.1", "169.254.169.254", "fd00:ec2::254", "fe80::1", "::1", "::", "0.0.0.0", "0.1.2.3", "224.0.0.1", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "255.255.255.255", "fd00:ec2::254%eth0",
	} {
		p, c, dialled := fixture(t, Options{Regions: []string{"us-east-1"}, Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr(addr)}, nil
		}})
		if _, err := p.Dial(context.Background(), "kms.us-east-1.amazonaws.com:443"); !errors.Is(err, session.ErrRefused) {
			t.Errorf("%s: %v", addr, err)
		}
		if len(*dialled) != 0 || c.refused.Load() != 1 {
			t.Errorf("%s: dialled %v", addr, *dialled)
		}
	}
	// A VPC endpoint has a private address: that is as it should be.
	p, _, dialled := fixture(t, Options{Regions: []string{"us-east-1"}, Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.1.2")}, nil
	}})
	if _, err := p.Dial(context.Background(), "kms.us-east-1.amazonaws.com:443"); err != nil || (*dialled)[0] != "10.0.1.2:443" {
		t.Errorf("%v %v", *dialled, err)
	}
}

func TestNextAddressIsTriedWhenOneFails(t *testing.T) {
	var tries []string
	p, c, _ := fixture(t, Options{
		Regions: []string{"us-east-1"},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, nil
		},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			tries = append(tries, address)
			return nil, errors.New("refused")
		},
	})
	if _, err := p.Dial(context.Background(), "kms.us-east-1.amazonaws.com:443"); err == nil || errors.Is(err, session.ErrRefused) {
		t.Errorf("%v", err)
	}
	if len(tries) != 2 || c.failed.Load() != 1 || p.open.Load() != 0 {
		t.Errorf("%v, %d failed, %d open", tries, c.failed.Load(), p.open.Load())
	}
}

func TestConnectionsAreLimitedAndCounted(t *testing.T) {
	p, c, _ := fixture(t, Options{Allow: []string{"kms:1"}, MaxConns: 2})
	a, err := p.Dial(context.Background(), "kms:1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Dial(context.Background(), "kms:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Dial(context.Background(), "kms:1"); !errors.Is(err, session.ErrRefused) {
		t.Errorf("third: %v", err)
	}
	a.Close()
	a.Close() // twice counts once
	if d, err := p.Dial(context.Background(), "kms:1"); err != nil {
		t.Errorf("after a close: %v", err)
	} else {
		d.Close()
	}
	b.Close()
	if c.opened.Load() != 3 || c.closed.Load() != 3 || p.open.Load() != 0 {
		t.Errorf("opened %d closed %d open %d", c.opened.Load(), c.closed.Load(), p.open.Load())
	}
}

func TestBytesAreCarriedAndCounted(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		b, _ := io.ReadAll(c)
		_, _ = c.Write(append(b, b...))
		c.Close()
	}()
	c := &counts{}
	p, err := New(Options{Allow: []string{ln.Addr().String()}, MaxConns: 1, Idle: time.Minute, Observer: c})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := p.Dial(context.Background(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil || string(b) != "hellohello" {
		t.Errorf("%q %v", b, err)
	}
	if c.sent.Load() != 5 || c.received.Load() != 10 {
		t.Errorf("sent %d received %d", c.sent.Load(), c.received.Load())
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	p, _, _ := fixture(t, Options{Allow: []string{"kms:1"}, Idle: 30 * time.Millisecond})
	conn, err := p.Dial(context.Background(), "kms:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v", err)
	}
}

func TestMalformedRulesAreRefused(t *testing.T) {
	for _, o := range []Options{
		{Regions: []string{""}},
		{Regions: []string{"us-east-1.evil"}},
		{Regions: []string{"US-EAST-1"}},
		{Regions: []string{"*"}},
		{Allow: []string{"kms"}},
		{Allow: []string{":443"}},
		{Allow: []string{"kms:"}},
		{Allow: []string{"*.amazonaws.com:443"}},
		{Allow: []string{"https://kms:443"}},
	} {
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
