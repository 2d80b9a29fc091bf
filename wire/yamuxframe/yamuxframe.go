// Package yamuxframe encodes and decodes the headers of yamux's frames, for package mux and for tests that read the
// bytes of a connection.
//
// A frame is a header of 12 bytes, big endian, after which a data frame has as many bytes as its length says:
//
//	0        1     2        4          8         12
//	version │ kind │ flags │ stream id │ length │ data
//
// The length has four meanings. In a data frame it counts the bytes that follow. In a window frame it is how many bytes
// more the receiver of the frame may send. In a ping it is a value that the answer repeats. In a go-away it is a
// [Reason]. The codec takes any bytes and judges nothing. Package mux decides which frame is allowed where.
//
// Source: github.com/hashicorp/yamux/spec.md, version 0. The vectors in testdata are bytes that the library wrote. The
// test has the library write them again and compares.
package yamuxframe

import "encoding/binary"

const (
	// Version is the only version of the protocol.
	Version = 0
	// HeaderSize is the size of a header in bytes.
	HeaderSize = 12
	// InitialWindow is how many bytes may be sent on a stream before any window frame.
	InitialWindow = 256 << 10
	// MaxWindow is the largest window that a peer may open.
	MaxWindow = 1 << 31
)

// Kind says what a frame is.
type Kind uint8

// The kinds of frames.
const (
	Data   Kind = 0
	Window Kind = 1
	Ping   Kind = 2
	GoAway Kind = 3
)

// Flags go with a frame; several may be set.
type Flags uint16

// The flags of frames. SYN and ACK open a stream, and tell a ping from its answer; FIN says that the sender sends no
// more on the stream, RST that the stream is gone.
const (
	SYN Flags = 1
	ACK Flags = 2
	FIN Flags = 4
	RST Flags = 8
)

// Reason is the length field of a go-away.
type Reason = uint32

// The reasons of a go-away.
const (
	Normal        Reason = 0
	ProtocolError Reason = 1
	InternalError Reason = 2
)

// Header is what each frame begins with.
type Header struct {
	Version uint8
	Kind    Kind
	Flags   Flags
	Stream  uint32
	Length  uint32
}

// Has reports whether any of f is set.
func (h Header) Has(f Flags) bool { return h.Flags&f != 0 }

// Parse reads a header from the first [HeaderSize] bytes of b, which must be there.
func Parse(b []byte) Header {
	_ = b[HeaderSize-1]
	return Header{
		Version: b[0], Kind: Kind(b[1]), Flags: Flags(binary.BigEndian.Uint16(b[2:])),
		Stream: binary.BigEndian.Uint32(b[4:]), Length: binary.BigEndian.Uint32(b[8:]),
	}
}

// Append appends the header's bytes to b.
func Append(b []byte, h Header) []byte {
	b = append(b, h.Version, byte(h.Kind))
	b = binary.BigEndian.AppendUint16(b, uint16(h.Flags))
	b = binary.BigEndian.AppendUint32(b, h.Stream)
	return binary.BigEndian.AppendUint32(b, h.Length)
}
