package session

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"redoubt/wire"
)

type frameSeen struct {
	h    wire.Header
	body string
}

func readAll(b []byte, n int) (seen []frameSeen, err error) {
	var c cutter
	for len(b) > 0 && err == nil {
		k := min(n, len(b))
		err = c.feed(b[:k], time.Now(), func(h wire.Header, body []byte) error {
			seen = append(seen, frameSeen{h, string(body)})
			return nil
		})
		b = b[k:]
		if err == nil && (c.since.Load() != 0) != (len(c.part) > 0) {
			panic("the half received frame is not counted")
		}
	}
	return seen, streamErr(err)
}

// FuzzFrames: however a stream is cut by the transport, the same frames come out, and they are those that are in it.
func FuzzFrames(f *testing.F) {
	one := frame(wire.Header{Kind: wire.KindDecrypt, ID: 1}, []byte("body"))
	f.Add(one, uint16(1))
	f.Add(append(one, chunk(2)...), uint16(7))
	f.Add(rawHeader(wire.MaxChunk+1, 1, 0, 1), uint16(3))
	f.Add(one[:10], uint16(100))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		whole, err := readAll(b, len(b)+1)
		cut, cutErr := readAll(b, int(n)+1)
		if len(whole) != len(cut) || errors.Is(err, ErrProtocol) != errors.Is(cutErr, ErrProtocol) {
			t.Fatalf("%d frames, %v; cut %d, %v", len(whole), err, len(cut), cutErr)
		}
		var again []byte
		for i, s := range whole {
			if s != cut[i] {
				t.Fatal("frames depend on how they are cut")
			}
			again = append(wire.AppendHeader(again, s.h), s.body...)
		}
		b = bytes.Clone(b[:len(again)])
		for off := 0; off < len(b); { // reserved bytes are not kept
			b[off+6], b[off+7] = 0, 0
			h, _ := wire.ParseHeader(b[off:])
			off += wire.HeaderSize + int(h.Length)
		}
		if !bytes.Equal(again, b) {
			t.Fatal("frames are not those of the stream")
		}
	})
}

// FuzzAssembler feeds any sequence of frames: it never holds more than its bounds.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{1, 2, 1, 0, 1, 0x80})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const maxBody, maxBytes, maxParts = 40_000, 100_000, 4
		a := newAssembler(maxBody, maxBytes, maxParts)
		body := make([]byte, wire.MaxChunk)
		for len(ops) >= 2 {
			id, op := uint64(ops[0]%8), ops[1]
			ops = ops[2:]
			h := wire.Header{Kind: wire.Kind(1 + op&1), ID: id}
			if op&2 != 0 {
				h.Flags = wire.FlagMore
			}
			_, owned, _, done, err := a.add(h, body[:int(op)<<6], time.Now(), func(id uint64) bool { return id != 3 })
			if err != nil {
				break
			}
			if done && owned != nil {
				if len(owned) > maxBody {
					t.Fatal("message beyond the limit")
				}
				putBuffer(owned)
			}
			held := 0
			for _, p := range a.parts {
				held += len(p.buf)
			}
			if held != a.bytes || held > maxBytes || len(a.parts) > maxParts || (a.since.Load() != 0) != (len(a.parts) > 0) {
				t.Fatalf("holds %d bytes of %d messages, counts %d", held, len(a.parts), a.bytes)
			}
		}
		a.drop()
	})
}

func FuzzPreambleHelloTarget(f *testing.F) {
	var hello bytes.Buffer
	_ = writeHello(&hello, 0, plainHello())
	f.Add(hello.Bytes())
	f.Add(append(preamble(streamControl), append(hello.Bytes(), 1, 2, 3)...))
	f.Add(preamble(streamEgress))
	f.Add(appendTarget(nil, "kms.us-east-1.amazonaws.com:443"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if typ, err := readPreamble(bytes.NewReader(b)); err == nil && typ != streamType(b[2]) {
			t.Fatal("wrong type")
		}
		for _, opened := range []bool{false, true} {
			whole, rest, err := newGreeting(opened).feed(b)
			if err == nil && whole != nil {
				if err := whole.Validate(); err != nil {
					t.Fatal(err)
				}
			}
			g := newGreeting(opened) // however it is cut
			var cut *wire.Hello
			var left []byte
			var cutErr error
			for i := range b {
				if cut, left, cutErr = g.feed(b[i : i+1]); cut != nil || cutErr != nil {
					left = b[i+1:]
					break
				}
			}
			if (whole == nil) != (cut == nil) || (err == nil) != (cutErr == nil) || whole != nil && !bytes.Equal(rest, left) {
				t.Fatal("a hello depends on how it is cut", err, cutErr)
			}
		}
		if s, err := readTarget(bytes.NewReader(b)); err == nil && (s == "" || len(s) > wire.MaxHostPort) {
			t.Fatal("target out of range")
		}
	})
}

// TestQueueAndReaderAreInverse: messages of any sizes, pushed in any order, come out whole and each once.
func TestQueueAndReaderAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 100_000), 1, 20).Draw(t, "sizes")
		q := newOutQueue(wire.MaxAssembly, func() {})
		want := map[uint64][]byte{}
		for i, n := range sizes {
			body := bytes.Repeat([]byte{byte(i + 1)}, n)
			want[uint64(i)] = body
			if _, err := q.push(wire.Header{Kind: 1, ID: uint64(i), DeadlineMS: uint32(i)}, body); err != nil {
				t.Fatal(err)
			}
		}
		var out []byte
		for left := true; left; {
			out, _, left = q.take(out, rapid.IntRange(1, pieceSize).Draw(t, "taken"))
		}
		if q.queued != 0 {
			t.Fatalf("%d bytes counted in an empty queue", q.queued)
		}
		in := newInbox(&Config{Hello: wire.Hello{MaxBody: wire.MaxBody}}, len(sizes))
		in.handle = func(head wire.Header, body []byte, _ bool) error {
			if !bytes.Equal(body, want[head.ID]) || head.DeadlineMS != uint32(head.ID) {
				t.Fatal("a message changed on its way")
			}
			delete(want, head.ID)
			return nil
		}
		for n := rapid.IntRange(1, 70_000).Draw(t, "pieces"); len(out) > 0; out = out[min(n, len(out)):] {
			if err := in.feed(out[:min(n, len(out))], time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if len(want) > 0 {
			t.Fatalf("%d messages did not arrive", len(want))
		}
	})
}

func TestShortMessagesDoNotWaitForLongOnes(t *testing.T) {
	q := newOutQueue(wire.MaxAssembly, func() {})
	if _, err := q.push(wire.Header{Kind: 1, ID: 1}, make([]byte, wire.MaxBody)); err != nil {
		t.Fatal(err)
	}
	_, _, _ = q.take(nil, pieceSize)
	if _, err := q.push(wire.Header{Kind: 1, ID: 2}, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if b, _, _ := q.take(nil, pieceSize); !bytes.Contains(b, []byte("short")) || len(b) > pieceSize {
		t.Fatal("the short message is behind the long one")
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newOutQueue(wire.MaxBody, func() {})
	for i := 0; ; i++ {
		if _, err := q.push(wire.Header{Kind: 1}, make([]byte, 400)); err != nil {
			if !errors.Is(err, ErrQueueFull) || i < 4000 || q.queued > wire.MaxBody {
				t.Fatal(i, q.queued, err)
			}
			return
		}
	}
}

func TestConfigurationsOutOfRangeAreRefused(t *testing.T) {
	for name, cfg := range map[string]ClientConfig{
		"lanes":      {Lanes: 17},
		"in flight":  {MaxInFlight: 1 << 16},
		"timeout":    {Config: Config{WriteTimeout: -1}},
		"queue":      {Config: Config{QueueBytes: 1}},
		"hello body": {Config: Config{Hello: wire.Hello{MaxBody: 1}}},
		"build id":   {Config: Config{Hello: wire.Hello{BuildID: make([]byte, 1000)}}},
	} {
		a, b := socketpair(t)
		if _, err := NewClient(t.Context(), a, cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if n, _ := b.Read(make([]byte, 1)); n != 0 {
			t.Errorf("%s: the connection is not closed", name)
		}
		_ = b.Close()
	}
	a, b := socketpair(t)
	if _, err := NewServer(t.Context(), a, ServerConfig{}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	_ = b.Close()
}
