//go:build guest

package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"
)

// These run in a test guest (make test-enclave): real AF_VSOCK over the loopback CID, whose peers have CID 1.

const (
	loopback  = "vsock://1:"
	chunkSize = 31 << 10 // no single write is larger
)

func listenGuest(t *testing.T, url string, cids []uint32) (*Listener, *atomic.Uint32) {
	t.Helper()
	refused := new(atomic.Uint32)
	l, err := Listen(url, ListenConfig{AllowedCIDs: cids, OnRefused: func(r Refusal) {
		if r.Unprivileged {
			refused.Store(r.Port)
			return
		}
		refused.Store(r.CID)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, refused
}

func dialGuest(t *testing.T, url string) net.Conn {
	t.Helper()
	d, err := NewDialer(url)
	if err != nil {
		t.Fatal(err)
	}
	return dialWith(t, d)
}

func dialWith(t *testing.T, d *Dialer) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := d.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestGuestVsockCarriesChunksOf31KiBUnchanged(t *testing.T) {
	l, _ := listenGuest(t, "vsock://any:6001", []uint32{1})
	sum := make(chan [32]byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		h := sha256.New()
		_, _ = io.Copy(h, c)
		sum <- [32]byte(h.Sum(nil))
	}()
	c := dialGuest(t, loopback+"6001")
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	for rest := data; len(rest) > 0; rest = rest[min(chunkSize, len(rest)):] {
		if _, err := c.Write(rest[:min(chunkSize, len(rest))]); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	if got := <-sum; got != sha256.Sum256(data) {
		t.Fatal("8 MiB in chunks of 31 KiB came with another hash")
	}
}

func TestGuestListenerRefusesEveryOtherCID(t *testing.T) {
	l, refused := listenGuest(t, "vsock://any:6002", []uint32{3})
	accepted := make(chan error, 1)
	go func() { _, err := l.Accept(); accepted <- err }()
	c := dialGuest(t, loopback+"6002")
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = c.Write([]byte("hello"))
	var b [1]byte
	if n, err := c.Read(b[:]); n != 0 || err == nil {
		t.Fatalf("a refused peer was answered: %d bytes, %v", n, err)
	}
	if refused.Load() != 1 {
		t.Fatalf("refused CID %d, want 1", refused.Load())
	}
	select {
	case err := <-accepted:
		t.Fatalf("Accept returned: %v", err)
	default:
	}
}

// The kernel gives a socket that binds no port one above 1023.
func TestGuestListenerRefusesPortsThatNeedNoPrivilege(t *testing.T) {
	l, refused := listenGuest(t, "vsock://any:6004", []uint32{1})
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	d, err := NewDialer(loopback + "6004")
	if err != nil {
		t.Fatal(err)
	}
	high := dialWith(t, d.FromAnyPort())
	_ = high.SetDeadline(time.Now().Add(10 * time.Second))
	var b [1]byte
	if n, err := high.Read(b[:]); n != 0 || err == nil {
		t.Fatalf("a peer of %v was answered: %d bytes, %v", high.LocalAddr(), n, err)
	}
	if port := refused.Load(); port <= maxPrivileged {
		t.Fatalf("refused port %d", port)
	}
	low := dialWith(t, d)
	if port := low.LocalAddr().(*vsock.Addr).Port; port < 1 || port > maxPrivileged {
		t.Fatalf("dialled from port %d", port)
	}
	c := <-accepted
	defer c.Close()
	if port := c.RemoteAddr().(*vsock.Addr).Port; port != low.LocalAddr().(*vsock.Addr).Port {
		t.Fatalf("accepted port %d", port)
	}
}

// The thread that gives the capability up ends with its goroutine.
func TestGuestAPrivilegedPortNeedsTheCapability(t *testing.T) {
	listenGuest(t, "vsock://any:6005", []uint32{1})
	d, err := NewDialer(loopback + "6005")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var caps [2]unix.CapUserData
			if err := unix.Capget(&hdr, &caps[0]); err != nil {
				return err
			}
			caps[0].Effective &^= 1 << unix.CAP_NET_BIND_SERVICE
			if err := unix.Capset(&hdr, &caps[0]); err != nil {
				return err
			}
			_, err := d.Dial(t.Context())
			return err
		}()
	}()
	if err := <-done; !errors.Is(err, ErrPrivilege) {
		t.Fatalf("without the capability: %v", err)
	}
}

// Each dial binds another port, so one whose connection the peer's kernel still knows is not taken again at once.
func TestGuestManyConnectionsInTurnReachTheListener(t *testing.T) {
	l, _ := listenGuest(t, "vsock://any:6006", []uint32{1})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	for range 1100 {
		_ = dialGuest(t, loopback+"6006").Close()
	}
}

func TestGuestVsockHonoursDeadlines(t *testing.T) {
	l, _ := listenGuest(t, "vsock://any:6003", []uint32{1})
	go func() { // a peer that neither reads nor writes
		if c, err := l.Accept(); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	c := dialGuest(t, loopback+"6003")
	began := time.Now()
	_ = c.SetDeadline(began.Add(300 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("read past its deadline: %v", err)
	}
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	chunk := bytes.Repeat([]byte{1}, chunkSize)
	for err = nil; err == nil; {
		_, err = c.Write(chunk)
	}
	if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) > 10*time.Second {
		t.Fatalf("write past its deadline: %v after %v", err, time.Since(began))
	}
}

func TestGuestDialOfAClosedPortFailsAtOnce(t *testing.T) {
	d, err := NewDialer(loopback + "6099")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if c, err := d.Dial(ctx); err == nil {
		_ = c.Close()
		t.Fatal("connected to a port that nobody listens on")
	}
}
