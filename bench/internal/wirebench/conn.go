package wirebench

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/valyala/fastjson"

	"redoubt/bench/internal/measure"
)

// document is a JSON object of Body bytes: the reference sends and answers JSON.
var document = func() []byte {
	const head, tail = `{"request":{"vault_id":"v_1","data":"`, `"}}`
	return []byte(head + strings.Repeat("x", Body-len(head)-len(tail)) + tail)
}()

var errFrame = errors.New("frame is too long")

// readFrame reads the reference's frame: length in eight bytes, little endian, and JSON.
func readFrame(r io.Reader, b []byte) ([]byte, error) {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(h[:])
	if n > uint64(cap(b)) {
		return nil, errFrame
	}
	_, err := io.ReadFull(r, b[:n])
	return b[:n], err
}

func writeFrame(w io.Writer, scratch, body []byte) error {
	scratch = binary.LittleEndian.AppendUint64(scratch[:0], uint64(len(body)))
	_, err := w.Write(append(scratch, body...))
	return err
}

// serveConn answers one request on each connection, after it has parsed it.
func serveConn(ln net.Listener) {
	var parsers fastjson.ParserPool
	acceptAll(ln, func(c net.Conn) {
		defer func() { _ = c.Close() }()
		b, err := readFrame(c, make([]byte, 2*Body))
		if err != nil {
			return
		}
		p := parsers.Get()
		defer parsers.Put(p)
		if v, err := p.ParseBytes(b); err == nil && v.Exists("request", "vault_id") {
			_ = writeFrame(c, make([]byte, 0, 2*Body), document)
		}
	})
}

// dialConn opens a connection for each request, and parses the answer.
func dialConn(ctx context.Context, socket string) (func() measure.Trip, func(), error) {
	c, err := dial(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	_ = c.Close() // it was only to see that one answers
	caller := func() measure.Trip {
		var p fastjson.Parser
		in, out := make([]byte, 2*Body), make([]byte, 0, 2*Body)
		return func() error {
			c, err := dial(context.Background(), socket)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			if err := writeFrame(c, out, document); err != nil {
				return err
			}
			b, err := readFrame(c, in)
			if err != nil {
				return err
			}
			if _, err := p.ParseBytes(b); err != nil {
				return err
			}
			return check(b)
		}
	}
	return caller, func() {}, nil
}
