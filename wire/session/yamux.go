package session

import "encoding/binary"

// The frames of yamux, version 0 (github.com/hashicorp/yamux/spec.md): version, type, flags (2), stream (4),
// length (4), big endian; after a data frame's header as many bytes as its length says.
const (
	muxVersion    = 0
	muxHeaderSize = 12

	muxData   = 0
	muxWindow = 1 // the length is by how much the sender's window grows
	muxPing   = 2 // the length is what the answer repeats
	muxGoAway = 3

	muxSYN = 1
	muxACK = 2
	muxFIN = 4
	muxRST = 8

	// muxInitialWindow is the window of a stream before any update.
	muxInitialWindow = 256 << 10
	// muxMaxWindow is the largest that we let a peer open to us.
	muxMaxWindow = 1 << 31

	// controlID is the stream that a client opens first; its other streams have the odd numbers that follow.
	controlID = 1
)

type muxHeader struct {
	version, kind byte
	flags         uint16
	stream        uint32
	length        uint32
}

// parseMuxHeader reads the first muxHeaderSize bytes of b.
func parseMuxHeader(b []byte) muxHeader {
	return muxHeader{
		version: b[0], kind: b[1], flags: binary.BigEndian.Uint16(b[2:]),
		stream: binary.BigEndian.Uint32(b[4:]), length: binary.BigEndian.Uint32(b[8:]),
	}
}

func appendMuxHeader(b []byte, h muxHeader) []byte {
	b = append(b, h.version, h.kind)
	b = binary.BigEndian.AppendUint16(b, h.flags)
	b = binary.BigEndian.AppendUint32(b, h.stream)
	return binary.BigEndian.AppendUint32(b, h.length)
}
