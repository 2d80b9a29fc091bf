package yamuxframe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

var update = flag.Bool("update", false, "write testdata/vectors.txt from what the library says")

const vectorsFile = "testdata/vectors.txt"

// recorder is a connection that keeps what is written to it.
type recorder struct {
	net.Conn
	wrote chan []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote <- bytes.Clone(b)
	return r.Conn.Write(b)
}

// frame is the next frame that the library writes, header and body together.
func (r *recorder) frame(t *testing.T) []byte {
	t.Helper()
	next := func() []byte {
		select {
		case b := <-r.wrote:
			return b
		case <-time.After(10 * time.Second):
			t.Fatal("the library writes nothing")
			return nil
		}
	}
	b := next()
	for h := Parse(b); h.Kind == Data && len(b) < HeaderSize+int(h.Length); {
		b = append(b, next()...)
	}
	return b
}

// library has hashicorp/yamux say one frame of each sort.
func library(t *testing.T) (names []string, frames [][]byte) {
	t.Helper()
	x, y := net.Pipe()
	a := &recorder{x, make(chan []byte, 100)}
	b := &recorder{y, make(chan []byte, 100)}
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive, cfg.LogOutput, cfg.StreamCloseTimeout = false, io.Discard, 50*time.Millisecond
	client, err := yamux.Client(a, cfg)
	if err != nil {
		t.Fatal(err)
	}
	server, err := yamux.Server(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	add := func(name string, from *recorder) {
		names, frames = append(names, name), append(frames, from.frame(t))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st, err := client.OpenStream()
	must(err)
	add("a stream is opened", a)
	far, err := server.AcceptStream()
	must(err)
	add("and accepted", b)
	_, err = st.Write([]byte("hello"))
	must(err)
	add("data", a)
	big := make([]byte, InitialWindow-5)
	go func() { _, _ = st.Write(big) }()
	_, err = io.ReadFull(far, make([]byte, InitialWindow))
	must(err)
	if h := Parse(a.frame(t)); h.Kind != Data || h.Length != uint32(len(big)) {
		t.Fatalf("%+v", h)
	}
	add("a window", b)
	go func() { _, _ = client.Ping() }()
	add("a ping", a)
	add("its answer", b)
	must(client.GoAway())
	add("a go-away", a)
	must(st.Close())
	add("an end", a)
	add("a reset", a) // the other side does not close within StreamCloseTimeout
	return names, frames
}

// TestVectorsAreWhatTheLibraryWrites compares the file with the library, and the codec with the file.
func TestVectorsAreWhatTheLibraryWrites(t *testing.T) {
	names, frames := library(t)
	var now strings.Builder
	now.WriteString("# Frames that hashicorp/yamux writes, in hex; made by `go test ./wire/yamuxframe -update`.\n")
	for i, name := range names {
		h := Parse(frames[i])
		fmt.Fprintf(&now, "%s: %s = version %d kind %d flags %d stream %d length %d\n",
			name, hex.EncodeToString(frames[i]), h.Version, h.Kind, h.Flags, h.Stream, h.Length)
		if got := Append(nil, h); !bytes.Equal(got, frames[i][:HeaderSize]) {
			t.Errorf("%s: %x, not %x", name, got, frames[i])
		}
		if size := len(frames[i]) - HeaderSize; h.Kind == Data && size != int(h.Length) || h.Kind != Data && size != 0 {
			t.Errorf("%s: %d bytes after the header", name, size)
		}
	}
	if *update {
		if err := os.WriteFile(vectorsFile, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if now.String() != string(file) {
		t.Errorf("the library writes\n%s\nand the file has\n%s", now.String(), file)
	}
}

// TestTheNumbersAreTheSpecs holds the constants to yamux's spec.
func TestTheNumbersAreTheSpecs(t *testing.T) {
	h := Header{Kind: Window, Flags: SYN | FIN, Stream: 0x01020304, Length: 0x05060708}
	if got := hex.EncodeToString(Append(nil, h)); got != "000100050102030405060708" {
		t.Error(got)
	}
	if (GoAway != 3) || (Ping != 2) || (ACK != 2) || (RST != 8) || (InternalError != 2) {
		t.Error("numbers of the wire have changed")
	}
	if !h.Has(SYN|ACK) || h.Has(ACK|RST) {
		t.Error("flags are told wrongly")
	}
}

// FuzzHeader: any 12 bytes are a header, which is those bytes again.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x05\x01\x02\x03\x04\x05\x06\x07\x08 more"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderSize {
			return
		}
		if got := Append(nil, Parse(b)); !bytes.Equal(got, b[:HeaderSize]) {
			t.Fatalf("%x, not %x", got, b)
		}
	})
}

// TestBothEndsOfTheLibraryTakeTheFrames has the library read what the codec writes.
func TestBothEndsOfTheLibraryTakeTheFrames(t *testing.T) {
	x, y := net.Pipe()
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive, cfg.LogOutput = false, io.Discard
	s, err := yamux.Server(y, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = s.Close(), x.Close() }()
	go func() { _, _ = io.Copy(io.Discard, x) }()
	b := Append(nil, Header{Kind: Window, Flags: SYN, Stream: 1})
	b = append(Append(b, Header{Kind: Data, Stream: 1, Length: 5}), "hello"...)
	b = Append(b, Header{Kind: Window, Flags: FIN, Stream: 1})
	go func() { _, _ = x.Write(b) }()
	st, err := s.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(st); string(got) != "hello" || err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(string(got), err)
	}
}
