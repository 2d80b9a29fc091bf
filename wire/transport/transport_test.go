package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/vsock"
)

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestURLsAreParsedStrictly(t *testing.T) {
	good := map[string]address{
		"vsock://3:5050":              {scheme: schemeVsock, cid: 3, port: 5050},
		"vsock://host:8000":           {scheme: schemeVsock, cid: 2, port: 8000},
		"vsock://any:5050":            {scheme: schemeVsock, cid: cidAny, port: 5050},
		"unix:///run/rd.sock":         {scheme: schemeUnix, path: "/run/rd.sock"},
		"hybrid:///run/v?port=5050":   {scheme: schemeHybrid, path: "/run/v", port: 5050},
		"vsock://4294967294:42949672": {scheme: schemeVsock, cid: 4294967294, port: 42949672},
	}
	for raw, want := range good {
		if got, err := parse(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	long := strings.Repeat("x", maxPath)
	bad := []string{
		"", "3:5050", "tcp://127.0.0.1:80", "vsock://3", "vsock://3:", "vsock://3:0", "vsock://-1:5050",
		"vsock://4294967295:5050", "vsock://3:4294967295", "vsock://3:4294967296", "vsock://3:5050/x", "vsock://3:5050?a=b",
		"vsock://u@3:5050", "vsock:3:5050", "unix://run/x", "unix:///", "unix://", "unix:///x?port=1", "unix:///a#b",
		"unix:///" + long, "hybrid:///run/v", "hybrid:///run/v?port=0", "hybrid:///run/v?port=1&port=2",
		"hybrid:///run/v?port=1&x=2", "hybrid://h/run?port=1", "hybrid:///" + long[:maxPath-3] + "?port=5050", "%zz",
		"unix:///a%00b", "vsock://99999999999:1", "vsock://0x3:1",
	}
	for _, raw := range bad {
		if got, err := parse(raw); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %+v, %v", raw, got, err)
		}
	}
	if _, err := NewDialer("vsock://any:5050"); !errors.Is(err, ErrURL) {
		t.Error("dials any")
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"vsock://3:5050", "unix:///run/rd.sock", "hybrid:///run/v?port=5050", "vsock://any:1", "%",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		a, err := parse(raw)
		if err != nil {
			if !errors.Is(err, ErrURL) || a != (address{}) {
				t.Fatal("an error that is none of ours, or half a result")
			}
			return
		}
		switch a.scheme {
		case schemeVsock:
			if a.port == 0 || a.path != "" {
				t.Fatal("vsock without port, or with path")
			}
		default:
			if a.path == "" || len(a.listenPath()) > maxPath {
				t.Fatal("path out of range")
			}
		}
	})
}

func TestUnixSocketIsPrivateReplacedWhenStaleAndKeptWhenLive(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	url := "unix://" + path
	l, err := Listen(url, ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", fi.Mode(), err)
	}
	if _, err := Listen(url, ListenConfig{}); !errors.Is(err, ErrInUse) {
		t.Fatalf("a live socket was replaced: %v", err)
	}
	roundTrip(t, url, l)
	l.Listener.(*net.UnixListener).SetUnlinkOnClose(false) // as if the process had been killed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = Listen(url, ListenConfig{})
	if err != nil {
		t.Fatalf("a stale socket stands in the way: %v", err)
	}
	roundTrip(t, url, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the socket file outlives its listener")
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(url, ListenConfig{}); !errors.Is(err, ErrNotSocket) {
		t.Fatalf("a file was replaced: %v", err)
	}
}

func roundTrip(t *testing.T, url string, l net.Listener) {
	t.Helper()
	d, err := NewDialer(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	go func() {
		for { // the look for a stale socket counts as a connection too
			c, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(c, c)
			_ = c.Close()
			if n > 0 {
				return
			}
		}
	}()
	c, err := d.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	var b [5]byte
	if _, err := io.ReadFull(c, b[:]); err != nil || string(b[:]) != "hello" {
		t.Fatal(err)
	}
}

// hybridHost stands in for Firecracker: it answers one CONNECT with answer, then echoes.
func hybridHost(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "v")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		if err != nil || line != "CONNECT 5050\n" {
			return
		}
		// Answer and first bytes in one piece: the dialer must take the answer only.
		_, _ = io.WriteString(c, answer)
		_, _ = io.Copy(c, r)
	}()
	return "hybrid://" + path + "?port=5050"
}

func TestHybridHandshake(t *testing.T) {
	d, err := NewDialer(hybridHost(t, "OK 1073741824\nfirst"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := d.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var b [5]byte
	if _, err := io.ReadFull(c, b[:]); err != nil || string(b[:]) != "first" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestHybridHandshakeThatFailsIsTyped(t *testing.T) {
	for _, answer := range []string{
		"", "\n", "OK\n", "OK x\n", "NO 1\n", "ok 1\n", strings.Repeat("O", 100), "OK 99999999999\n",
	} {
		d, err := NewDialer(hybridHost(t, answer))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		_, err = d.Dial(ctx)
		cancel()
		if !errors.Is(err, ErrHandshake) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestHybridListenerIsReachedAtPathAndPort(t *testing.T) {
	path := filepath.Join(shortDir(t), "v")
	l, err := Listen("hybrid://"+path+"?port=8000", ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	roundTrip(t, "unix://"+path+"_8000", l)
}

type fakeListener struct{ conns chan net.Conn }

func (f *fakeListener) Accept() (net.Conn, error) {
	c, ok := <-f.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (f *fakeListener) Close() error   { return nil }
func (f *fakeListener) Addr() net.Addr { return &vsock.Addr{ContextID: 16, Port: 5050} }

type fakeConn struct {
	net.Conn
	remote net.Addr
	closed *bool
}

func (f fakeConn) RemoteAddr() net.Addr { return f.remote }
func (f fakeConn) Close() error         { *f.closed = true; return nil }

func TestVsockListenerAcceptsOnlyItsParent(t *testing.T) {
	peers := []struct {
		addr net.Addr
		ok   bool
	}{
		{&vsock.Addr{ContextID: 16, Port: 1}, false},
		{&net.UnixAddr{Name: "/x"}, false},
		{nil, false},
		{&vsock.Addr{ContextID: 3, Port: 1}, true},
		{&vsock.Addr{ContextID: 2, Port: 1}, false},
		{&vsock.Addr{ContextID: 3, Port: 1023}, true},
		{&vsock.Addr{ContextID: 3, Port: 1024}, false},
		{&vsock.Addr{ContextID: 3, Port: 1<<32 - 1}, false},
	}
	f := &fakeListener{conns: make(chan net.Conn, len(peers))}
	closed := make([]bool, len(peers))
	for i, p := range peers {
		f.conns <- fakeConn{remote: p.addr, closed: &closed[i]}
	}
	close(f.conns)
	var refused []string
	l := &Listener{Listener: f, vs: true, cfg: ListenConfig{
		AllowedCIDs: []uint32{3},
		OnRefused: func(r Refusal) {
			refused = append(refused, fmt.Sprintf("%d:%d:%v", r.CID, r.Port, r.Unprivileged))
		},
	}}
	var accepted int
	for {
		c, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Fatal(err)
			}
			break
		}
		if a := c.RemoteAddr().(*vsock.Addr); a.ContextID != 3 {
			t.Fatalf("accepted context id %d", a.ContextID)
		}
		accepted++
	}
	for i, p := range peers {
		if closed[i] == p.ok {
			t.Errorf("peer %d: closed %v", i, closed[i])
		}
	}
	want := "16:1:false 4294967295:4294967295:false 4294967295:4294967295:false 2:1:false 3:1024:true 3:4294967295:true"
	if got := strings.Join(refused, " "); accepted != 2 || got != want {
		t.Errorf("accepted %d, refused %s", accepted, got)
	}
	l.cfg.AnyPort = true
	if !l.allowed(&vsock.Addr{ContextID: 3, Port: 1024}) || l.allowed(&vsock.Addr{ContextID: 2, Port: 1024}) {
		t.Error("any port: not the parent's, or not the parent's alone")
	}
	if _, err := Listen("vsock://any:5050", ListenConfig{}); !errors.Is(err, ErrAllowList) {
		t.Error("listens without an allow list")
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	path := filepath.Join(shortDir(t), "v")
	l, err := net.Listen("unix", path) // never accepts, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	d, err := NewDialer("hybrid://" + path + "?port=1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
