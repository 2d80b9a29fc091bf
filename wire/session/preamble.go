package session

import (
	"encoding/binary"
	"fmt"
	"io"

	"redoubt/wire"
)

// streamType is the third byte of a stream's preamble.
type streamType byte

const (
	streamControl streamType = 1
	streamLane    streamType = 2
	streamBatch   streamType = 3
	streamEgress  streamType = 4
)

// preambleSize is the size of what begins each stream: 'R', 'd', type, 0.
const preambleSize = 4

func preamble(t streamType) []byte { return []byte{'R', 'd', byte(t), 0} }

func readPreamble(r io.Reader) (streamType, error) {
	var b [preambleSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("read preamble: %w", err)
	}
	return parsePreamble(b[:])
}

// parsePreamble reads the preambleSize bytes of b.
func parsePreamble(b []byte) (streamType, error) {
	if b[0] != 'R' || b[1] != 'd' {
		return 0, ErrProtocol
	}
	return streamType(b[2]), nil
}

// writeHello writes the hello frame, in one piece with the preamble when t is not zero.
func writeHello(w io.Writer, t streamType, h *wire.Hello) error {
	var b []byte
	if t != 0 {
		b = preamble(t)
	}
	body := h.Append(nil)
	b = wire.AppendHeader(b, wire.Header{Length: uint32(len(body)), Kind: wire.KindHello})
	_, err := w.Write(append(b, body...))
	return err
}

// readHello reads exactly one frame, which must be a hello.
func readHello(r io.Reader) (wire.Hello, error) {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return wire.Hello{}, fmt.Errorf("read hello: %w", err)
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil || h.Kind != wire.KindHello || h.Flags&wire.FlagMore != 0 {
		return wire.Hello{}, ErrProtocol
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(r, body); err != nil {
		return wire.Hello{}, fmt.Errorf("read hello: %w", err)
	}
	var m wire.Hello
	if err := m.Decode(body); err != nil {
		return wire.Hello{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return m, nil
}

// egress answers, one byte each.
const (
	egressOK          = 0
	egressRefused     = 1
	egressUnreachable = 2
)

func appendTarget(b []byte, target string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(target)))
	return append(b, target...)
}

func readTarget(r io.Reader) (string, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", fmt.Errorf("read egress target: %w", err)
	}
	size := binary.LittleEndian.Uint16(n[:])
	if size == 0 || size > wire.MaxHostPort {
		return "", ErrProtocol
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", fmt.Errorf("read egress target: %w", err)
	}
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return "", ErrProtocol
		}
	}
	return string(b), nil
}
