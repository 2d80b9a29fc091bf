package session

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/hashicorp/yamux"
)

// streams is a pair of connected yamux streams.
func streams(t *testing.T) (a, b net.Conn) {
	t.Helper()
	ca, cb := net.Pipe()
	cfg := yamux.DefaultConfig()
	cfg.MaxStreamWindowSize, cfg.LogOutput = libraryWindow, io.Discard
	sa, err := yamux.Client(ca, cfg)
	if err != nil {
		t.Fatal(err)
	}
	sb, err := yamux.Server(cb, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = sa.Close(), sb.Close() })
	if a, err = sa.OpenStream(); err != nil {
		t.Fatal(err)
	}
	if b, err = sb.AcceptStream(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func received(t *testing.T, c net.Conn) []byte {
	t.Helper()
	s, ok := c.(*scrub)
	if !ok {
		t.Fatal("this yamux keeps what it received elsewhere: scrub.go must be adapted")
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	(*s.buf).Reset()
	memory := (*s.buf).AvailableBuffer()
	return bytes.Clone(memory[:cap(memory)])
}

func TestYamuxReceiveMemoryIsWiped(t *testing.T) {
	a, b := streams(t)
	b = newScrub(b)
	for _, size := range []int{1, 100, 5000, 100_000} {
		sent := bytes.Repeat([]byte("S3NTINEL"), size/8+1)
		go func() { _, _ = a.Write(sent) }()
		got := make([]byte, len(sent))
		for at := 0; at < len(got); { // in pieces, so that some is left unread in between
			n, err := b.Read(got[at:min(len(got), at+777)])
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
		if !bytes.Equal(got, sent) {
			t.Fatal("received something else")
		}
		if bytes.Contains(received(t, b), []byte("S3NT")) {
			t.Errorf("%d bytes: still there", size)
		}
	}
}

func TestYamuxReceiveMemoryNeverGrows(t *testing.T) {
	a, b := streams(t)
	b = newScrub(b)
	before := len(received(t, b))
	const total = 20 << 20
	sum := make(chan [32]byte, 1)
	go func() {
		h := sha256.New()
		chunk := make([]byte, 300_000)
		r := rand.New(rand.NewPCG(1, 2))
		for left := total; left > 0; left -= len(chunk) {
			chunk = chunk[:min(left, 1+r.IntN(cap(chunk)))]
			for i := range chunk {
				chunk[i] = byte(r.Uint32())
			}
			h.Write(chunk)
			if _, err := a.Write(chunk); err != nil {
				return
			}
		}
		sum <- [32]byte(h.Sum(nil))
	}()
	h := sha256.New()
	buf := make([]byte, 70_000)
	r := rand.New(rand.NewPCG(3, 4))
	for got := 0; got < total; {
		n, err := b.Read(buf[:1+r.IntN(len(buf))])
		if err != nil {
			t.Fatal(err)
		}
		h.Write(buf[:n])
		got += n
	}
	if want := <-sum; [32]byte(h.Sum(nil)) != want {
		t.Error("received something else")
	}
	memory := received(t, b)
	if len(memory) != before {
		t.Errorf("grew from %d to %d", before, len(memory))
	}
	if bytes.Count(memory, []byte{0}) != len(memory) {
		t.Error("not wiped")
	}
}

func TestScrubKeepsWhatHadArrivedBefore(t *testing.T) {
	a, b := streams(t)
	if _, err := a.Write([]byte("early")); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := io.ReadFull(b, one); err != nil { // so that the rest is known to be there
		t.Fatal(err)
	}
	b = newScrub(b)
	rest := make([]byte, 4)
	if _, err := io.ReadFull(b, rest); err != nil || string(rest) != "arly" {
		t.Errorf("%q %v", rest, err)
	}
	b.(*scrub).wipe()
}
