package rawio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tcp returns both ends of a connection, the first as a Conn accepted by a Listener.
func tcp(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := Listener{ln}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	c, ok := near.(*Conn)
	if !ok {
		t.Fatal("a TCP connection is not a Conn")
	}
	return c, far
}

func TestBytesArriveBothWaysWhateverTheirNumber(t *testing.T) {
	c, far := tcp(t)
	sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16) // more than sockets hold
	errs := make(chan error, 2)
	go func() {
		_, err := c.Write(sent)
		errs <- errors.Join(err, c.CloseWrite())
	}()
	go func() {
		_, err := io.Copy(far, io.LimitReader(far, int64(len(sent))))
		errs <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatal("bytes differ", err)
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	if n, err := c.Read(got); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Fatal("an empty read", n, err)
	}
}

func TestTryWriteComesBackFromAFullSocket(t *testing.T) {
	c, far := tcp(t)
	piece := make([]byte, 1<<20)
	total := 0
	for {
		n, err := c.TryWrite(piece)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	if n, err := io.CopyN(io.Discard, far, int64(total)); err != nil {
		t.Fatal(n, err)
	}
}

func TestDeadlinesAndCloseEndWhatWaits(t *testing.T) {
	c, _ := tcp(t)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n == 64<<20 {
		t.Fatal(n, err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	_ = c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.TryWrite([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestErrorsOfTheSocketAreTold(t *testing.T) {
	c, far := tcp(t)
	tc, ok := far.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP connection")
	}
	_ = tc.SetLinger(0) // reset
	_ = far.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, unix.EPIPE) {
		t.Fatal(err)
	}
}

func TestOnlySocketsThatDoNotBlockAreTaken(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, ok := New(a); ok {
		t.Fatal("a pipe without descriptor")
	}
	if err := (&Conn{Conn: a}).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	c, far := tcp(t)
	blocking := func(fd uintptr) { _ = unix.SetNonblock(int(fd), false) }
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(blocking); err != nil {
		t.Fatal(err)
	}
	if _, ok := New(c.Conn); ok {
		t.Fatal("a socket that blocks would stop a processor")
	}
	_ = far.Close()
}

func TestNothingIsAllocated(t *testing.T) {
	c, far := tcp(t)
	b := make([]byte, 100)
	n := testing.AllocsPerRun(200, func() {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, b); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Fatalf("%v allocations", n)
	}
}

// TestOneWaitsToReadWhileAnotherTakesWhatIsThere: what comes afterwards wakes the one that waits, and a deadline does.
func TestOneWaitsToReadWhileAnotherTakesWhatIsThere(t *testing.T) {
	c, far := tcp(t)
	b := make([]byte, 8)
	if n, err := c.TryRead(b); n != 0 || err != nil {
		t.Fatal("an empty socket", n, err)
	}
	asked := make(chan struct{}, 100)
	taken := make(chan bool, 1)
	done := make(chan error, 1)
	go func() {
		done <- c.WaitRead(func() bool {
			asked <- struct{}{}
			select {
			case all := <-taken:
				return all
			default:
				return false
			}
		})
	}()
	<-asked // it has looked once
	if _, err := far.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for end := time.Now().Add(10 * time.Second); len(got) < 3 && time.Now().Before(end); {
		n, err := c.TryRead(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	taken <- true
	if _, err := far.Write([]byte("d")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || string(got) != "abc" {
		t.Fatal(err, string(got))
	}
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitRead(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("waits past its deadline", err)
	}
	_ = far.Close()
	for n, err := 1, error(nil); !errors.Is(err, io.EOF); n, err = c.TryRead(b) {
		if err != nil || n > 1 {
			t.Fatal(n, err)
		}
	}
}
