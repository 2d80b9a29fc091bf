package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"

	"redoubt/wire/rawio"
)

// fakeSocket is an AF_VSOCK socket without a kernel: this package's tests open none on the machine that runs them. Once
// connected it is one end of a pair of unix sockets.
type fakeSocket struct {
	*socket.Conn
	bindErr func(port uint32) error
	connect func(ctx context.Context) error

	bound, peer uint32
	tried       []uint32
	closed      bool
}

func (f *fakeSocket) Bind(sa unix.Sockaddr) error {
	vm := sa.(*unix.SockaddrVM)
	if vm.CID != unix.VMADDR_CID_ANY {
		return unix.EADDRNOTAVAIL
	}
	f.tried = append(f.tried, vm.Port)
	if f.bindErr != nil {
		if err := f.bindErr(vm.Port); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	f.bound = vm.Port
	return nil
}

func (f *fakeSocket) Connect(ctx context.Context, sa unix.Sockaddr) (unix.Sockaddr, error) {
	f.peer = sa.(*unix.SockaddrVM).Port
	if f.connect != nil {
		return nil, f.connect(ctx)
	}
	return sa, nil
}

func (f *fakeSocket) Getsockname() (unix.Sockaddr, error) {
	return &unix.SockaddrVM{CID: 3, Port: f.bound}, nil
}

func (f *fakeSocket) Close() error {
	f.closed = true
	if f.Conn == nil {
		return nil
	}
	return f.Conn.Close()
}

func fakeDialer(t *testing.T, s *fakeSocket, p *privilegedPorts) *Dialer {
	t.Helper()
	d, err := NewDialer("vsock://16:5050")
	if err != nil {
		t.Fatal(err)
	}
	if d.ports == nil {
		t.Fatal("a dialer binds no port unless it is told to")
	}
	d.open, d.ports = func() (vsockSocket, error) { return s, nil }, p
	return d
}

func TestDialBindsTheNextFreePrivilegedPortDownward(t *testing.T) {
	p := new(privilegedPorts)
	taken := []uint32{1023, 1022, 1020}
	var got []uint32
	for range 3 {
		s := &fakeSocket{bindErr: func(port uint32) error {
			if slices.Contains(taken, port) {
				return unix.EADDRINUSE
			}
			return nil
		}}
		c, err := fakeDialer(t, s, p).Dial(t.Context())
		if err != nil || s.peer != 5050 {
			t.Fatal(err, s.peer)
		}
		if c.LocalAddr().String() == "" || c.RemoteAddr().String() != "vm(16):5050" {
			t.Errorf("from %v to %v", c.LocalAddr(), c.RemoteAddr())
		}
		got = append(got, s.bound)
	}
	// A port that was given up is not the next to be taken: its old connection may be known to the peer still.
	if want := []uint32{1021, 1019, 1018}; !slices.Equal(got, want) {
		t.Errorf("bound %v, want %v", got, want)
	}
}

func TestDialTriesEachPrivilegedPortOnceAndNoOther(t *testing.T) {
	p := new(privilegedPorts)
	p.taken.Store(1<<32 - 500) // the counter wraps around
	s := &fakeSocket{bindErr: func(uint32) error { return unix.EADDRINUSE }}
	if _, err := fakeDialer(t, s, p).Dial(t.Context()); !errors.Is(err, ErrPorts) || !s.closed {
		t.Fatalf("%v, closed %v", err, s.closed)
	}
	if len(s.tried) != maxPrivileged || slices.Min(s.tried) < 1 || slices.Max(s.tried) > 1023 {
		t.Errorf("%d tries, from %d to %d", len(s.tried), slices.Min(s.tried), slices.Max(s.tried))
	}
}

func TestDialWithoutTheCapabilitySaysWhichIsNeeded(t *testing.T) {
	s := &fakeSocket{bindErr: func(uint32) error { return unix.EACCES }}
	d := fakeDialer(t, s, new(privilegedPorts))
	_, err := d.Dial(t.Context())
	if !errors.Is(err, ErrPrivilege) || !errors.Is(err, unix.EACCES) || !s.closed || len(s.tried) != 1 {
		t.Fatalf("%v, closed %v, tried %v", err, s.closed, s.tried)
	}
	free := &fakeSocket{}
	d.open = func() (vsockSocket, error) { return free, nil }
	if _, err := d.FromAnyPort().Dial(t.Context()); err != nil || free.tried != nil {
		t.Errorf("from any port: %v, tried %v", err, free.tried)
	}
	if d.ports == nil {
		t.Error("FromAnyPort changed the dialer that it was asked of")
	}
}

func TestADialThatFailsOrWhoseContextEndsLeavesNoSocket(t *testing.T) {
	for name, connect := range map[string]func(ctx context.Context) error{
		"refused": func(context.Context) error { return os.NewSyscallError("connect", unix.ECONNRESET) },
		"ended":   func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := &fakeSocket{connect: connect}
		_, err := fakeDialer(t, s, new(privilegedPorts)).Dial(ctx)
		if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, context.Canceled) || !s.closed {
			t.Errorf("%s: %v, closed %v", name, err, s.closed)
		}
	}
}

// connected is a dialled connection, and its other end.
func connected(t *testing.T) (net.Conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, err := socket.New(fds[0], "vsock")
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { _ = far.Close() })
	c, err := fakeDialer(t, &fakeSocket{Conn: near}, new(privilegedPorts)).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, far
}

func TestADialledConnectionBehavesAsOneOfPackageNet(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"as it is": func(c net.Conn) net.Conn { return c },
		"by rawio": func(c net.Conn) net.Conn {
			r, ok := rawio.New(c)
			if !ok {
				t.Fatal("it has no descriptor that does not block")
			}
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, far := connected(t)
			c = wrap(c)
			buf := make([]byte, 8)
			if _, err := c.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if n, err := far.Read(buf); err != nil || string(buf[:n]) != "ping" {
				t.Fatal(n, err)
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			var timeout net.Error
			if _, err := c.Read(buf); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("past its deadline: %v", err)
			}
			_ = c.SetDeadline(time.Time{})
			_ = far.Close()
			if n, err := c.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("its peer ended it: %d, %v", n, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	c, _ := connected(t)
	done := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); done <- err }()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	c, far := connected(t)
	b := make([]byte, 1)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
