package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"redoubt/wire/yamuxframe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func socketpair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var cs [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		cs[i], err = net.FileConn(f)
		_ = f.Close()
		if err != nil {
			tb.Fatal(err)
		}
	}
	return cs[0], cs[1]
}

// tube is a Handler that keeps what comes and sends what it is given.
type tube struct {
	st *Stream

	mu    sync.Mutex
	got   []byte
	send  []byte
	ended error
	wiped bool
	echo  bool
	deny  bool // refuses its stream
}

func (t *tube) Data(b []byte, _ time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deny {
		t.st.Refuse()
		return nil
	}
	t.got = append(t.got, b...)
	if t.echo {
		t.send = append(t.send, b...)
		t.st.Say()
	}
	return nil
}

func (t *tube) Take(dst []byte, limit int) (out []byte, frames int, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(limit, len(t.send))
	dst = append(dst, t.send[:n]...)
	clear(t.send[:n])
	t.send = t.send[n:]
	return dst, 1, len(t.send) > 0
}

func (*tube) Check(time.Time) error { return nil }

func (t *tube) Ended(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = err
}

func (t *tube) Wipe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wiped = true
	clear(t.got)
}

func (t *tube) say(b []byte) {
	t.mu.Lock()
	t.send = append(t.send, b...)
	t.mu.Unlock()
	t.st.Say()
}

func (t *tube) heard() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.got)
}

// rig is a connection under test and the bytes of its peer.
type rig struct {
	tb    testing.TB
	c     *Conn
	peer  net.Conn
	first *tube

	mu    sync.Mutex
	lanes map[uint32]*tube
}

// newRig makes one side, which hears its peer's first byte when start is called. refuse makes it refuse lanes.
func newRig(tb testing.TB, client bool, change func(r *rig, cfg *Config)) *rig {
	tb.Helper()
	own, peer := socketpair(tb)
	r := &rig{tb: tb, peer: peer, lanes: map[uint32]*tube{}}
	cfg := Config{
		Client: client, WriteTimeout: 10 * time.Second, Tick: 10 * time.Millisecond, Window: 512 << 10,
		Alone: func() bool { return true }, OnPanic: func(v any) { tb.Error("a panic", v) },
	}
	if client {
		cfg.AcceptForeign = func() error { return nil }
	} else {
		cfg.Accept = func(s *Stream) (Handler, error) { return r.lane(s), nil }
	}
	if change != nil {
		change(r, &cfg)
	}
	r.c = NewConn(own, cfg)
	st := r.c.NewStream(FirstID, yamuxframe.InitialWindow)
	r.first = &tube{st: st}
	if client {
		r.c.Open(st, r.first)
	} else {
		r.c.Await(st, r.first)
	}
	tb.Cleanup(func() {
		_ = peer.Close()
		r.c.Close()
	})
	return r
}

func (r *rig) lane(s *Stream) *tube {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &tube{st: s}
	r.lanes[s.ID()] = t
	return t
}

func (r *rig) laneOf(id uint32) *tube {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lanes[id]
}

// open makes a rig that is open, with a stream 3 of ours.
func openRig(tb testing.TB, client bool, change func(r *rig, cfg *Config)) *rig {
	tb.Helper()
	r := newRig(tb, client, change)
	r.c.Move(Open)
	if client {
		st := r.c.NewStream(3, 512<<10)
		r.c.Open(st, r.lane(st))
		r.c.Start()
		return r
	}
	r.c.Start()
	r.write(window(yamuxframe.SYN, 1, 0), window(yamuxframe.SYN, 3, 0))
	r.alive()
	return r
}

func (r *rig) write(frames ...[]byte) {
	r.tb.Helper()
	for _, b := range frames {
		if _, err := r.peer.Write(b); err != nil && r.c.Err() == nil {
			r.tb.Fatal(err)
		}
	}
}

func window(f yamuxframe.Flags, stream, by uint32) []byte {
	return yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.Window, Flags: f, Stream: stream, Length: by})
}

func data(f yamuxframe.Flags, stream uint32, b string) []byte {
	return append(yamuxframe.Append(nil, yamuxframe.Header{Flags: f, Stream: stream, Length: uint32(len(b))}), b...)
}

// frame reads what the connection under test says next.
func (r *rig) frame() (yamuxframe.Header, string, error) {
	_ = r.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, yamuxframe.HeaderSize)
	if _, err := io.ReadFull(r.peer, b); err != nil {
		return yamuxframe.Header{}, "", err
	}
	h := yamuxframe.Parse(b)
	if h.Kind != yamuxframe.Data {
		return h, "", nil
	}
	body := make([]byte, h.Length)
	_, err := io.ReadFull(r.peer, body)
	return h, string(body), err
}

// alive shows by a ping that the connection has handled all that was sent, and lives. It drops what comes before.
func (r *rig) alive() {
	r.tb.Helper()
	if err := r.ping(); err != nil {
		r.tb.Fatal(err, r.c.Err())
	}
}

func (r *rig) ping() error {
	r.write(yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.Ping, Flags: yamuxframe.SYN, Length: 77}))
	for {
		h, _, err := r.frame()
		if err != nil {
			return err
		}
		if h.Kind == yamuxframe.Ping && h.Flags == yamuxframe.ACK && h.Length == 77 {
			return nil
		}
	}
}

// ends waits for the end and its reason.
func (r *rig) ends(want error) {
	r.tb.Helper()
	select {
	case <-r.c.Done():
	case <-time.After(20 * time.Second):
		r.tb.Fatal("it does not end")
	}
	if !errors.Is(r.c.Err(), want) {
		r.tb.Errorf("ended by %v, not by %v", r.c.Err(), want)
	}
}

// until waits for something that another goroutine brings about.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			tb.Fatal("in vain: " + what)
		}
	}
}
