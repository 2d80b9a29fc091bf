package session

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// TestYamuxGivesBodiesThatAreItsOwn holds yamux to what groupConn relies on: a header and its body are two writes, and
// the body is a copy that may be wiped.
func TestYamuxGivesBodiesThatAreItsOwn(t *testing.T) {
	a, b := socketpair(t)
	g := newGroupConn(a, time.Second)
	cs, err := yamux.Client(g, yamuxConfig())
	if err != nil {
		t.Fatal(err)
	}
	ss, err := yamux.Server(b, yamuxConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cs.Close(), ss.Close() }()
	st, err := cs.Open()
	if err != nil {
		t.Fatal(err)
	}
	far, err := ss.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("body"), 5000)
	mine := bytes.Clone(sent)
	if _, err := st.Write(mine); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mine, sent) {
		t.Fatal("yamux passes its callers' memory on: it must not be wiped")
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatal("body differs", err)
	}
}

// writes records what reaches a connection.
type writes struct {
	net.Conn
	got [][]byte
}

func (w *writes) Write(b []byte) (int, error) {
	w.got = append(w.got, bytes.Clone(b))
	return len(b), nil
}

func (w *writes) SetWriteDeadline(time.Time) error { return nil }

func TestHeaderAndBodyAreOneWrite(t *testing.T) {
	w := &writes{}
	g := newGroupConn(w, time.Second)
	write := func(b []byte) {
		t.Helper()
		if n, err := g.Write(b); err != nil || n != len(b) {
			t.Fatal(n, err)
		}
	}
	write(muxDataFrame(1, 5, nil))
	if len(w.got) != 0 {
		t.Fatal("the header went out alone")
	}
	write([]byte("hello"))
	write([]byte{0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0}) // a window update has no body
	write(muxDataFrame(1, 0, nil))                    // nor has this
	write(muxDataFrame(1, 100_000, nil))
	write(make([]byte, 100_000))
	if len(w.got) != 3+4 || string(w.got[0][muxHeaderSize:]) != "hello" || len(w.got[3]) != 31<<10 {
		t.Fatalf("%d writes", len(w.got))
	}
	var all []byte
	for _, b := range w.got {
		all = append(all, b...)
	}
	if len(all) != muxHeaderSize+5+muxHeaderSize+muxHeaderSize+muxHeaderSize+100_000 {
		t.Fatal("bytes are lost")
	}
}

func TestReadWipesTheRestOfItsCallersBuffer(t *testing.T) {
	a, b := socketpair(t)
	defer func() { _, _ = a.Close(), b.Close() }()
	g := newGroupConn(a, time.Second)
	sent := muxDataFrame(controlID, 3, []byte("new"))
	if _, err := b.Write(sent); err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte("old"), 100)
	n, err := g.Read(p)
	if err != nil || !bytes.Equal(p[:n], sent) || !isZero(p[n:]) {
		t.Fatal(n, err)
	}
	_ = b.Close()
	if _, err := g.Read(p); !errors.Is(err, io.EOF) || !errors.Is(*g.cause.Load(), io.EOF) {
		t.Fatal(err)
	}
}
