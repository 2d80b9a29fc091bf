package wire

import "encoding/binary"

// HeaderSize is the size of a frame header in bytes.
const HeaderSize = 20

// Kind says what a frame's body holds. Numbers never change their meaning.
type Kind uint8

// Kinds of lane frames.
const (
	// KindDecrypt carries a [DecryptRequest], parent to enclave.
	KindDecrypt Kind = 1
	// KindDecrypted carries a [DecryptResponse], enclave to parent.
	KindDecrypted Kind = 2
	// KindCreateDomain carries a [CreateDomainRequest], parent to enclave; answered by KindCreatedDomain or KindError.
	KindCreateDomain Kind = 3
	// KindCreatedDomain carries a [CreateDomainResponse], enclave to parent.
	KindCreatedDomain Kind = 4
	// KindWrapDomain carries a [WrapDomainRequest], parent to enclave; answered by KindWrappedDomain or KindError.
	KindWrapDomain Kind = 5
	// KindWrappedDomain carries a [WrapDomainResponse], enclave to parent.
	KindWrappedDomain Kind = 6
	// KindMint carries a [MintRequest], parent to enclave; answered by KindMinted or KindError.
	KindMint Kind = 7
	// KindMinted carries a [MintResponse], enclave to parent.
	KindMinted Kind = 8
	// KindReseal carries a [ResealRequest], parent to enclave; answered by KindResealed, which may tell a failure too, or
	// KindError.
	KindReseal Kind = 9
	// KindResealed carries a [ResealResponse], enclave to parent.
	KindResealed Kind = 10
)

// Kinds of control frames.
const (
	// KindHello carries a [Hello], both ways, first on the control stream.
	KindHello Kind = 16
	// KindCredentials carries [Credentials], parent to enclave; answered by KindAck or KindError.
	KindCredentials Kind = 17
	// KindPurge carries a [Purge], parent to enclave; answered by KindPurged.
	KindPurge Kind = 18
	// KindPurged carries a [Purged], enclave to parent.
	KindPurged Kind = 19
	// KindPing carries a [Ping], parent to enclave; answered by KindPong.
	KindPing Kind = 20
	// KindPong carries a [Pong], enclave to parent.
	KindPong Kind = 21
	// KindStatsRequest has no body, parent to enclave; answered by KindStats.
	KindStatsRequest Kind = 22
	// KindStats carries [Stats], enclave to parent.
	KindStats Kind = 23
	// KindAttest carries an [AttestRequest], parent to enclave; answered by KindAttested or KindError.
	KindAttest Kind = 24
	// KindAttested carries an [AttestResponse], enclave to parent.
	KindAttested Kind = 25
	// KindLog carries a [Log], enclave to parent; not answered.
	KindLog Kind = 26
	// KindGoAway carries a [GoAway], both ways; not answered.
	KindGoAway Kind = 27
	// KindDomain carries a [DomainRecord], parent to enclave; answered by KindAck or KindError.
	KindDomain Kind = 28
)

// Kinds of frames of either.
const (
	// KindError carries an [ErrorBody] instead of the answer that was asked for.
	KindError Kind = 254
	// KindAck has no body: the request was carried out, and there is nothing to report.
	KindAck Kind = 255
)

// LaneRequest reports whether the kind is of a request that a parent sends on a lane, and the features that both sides
// must have for it.
func (k Kind) LaneRequest() (needs Features, ok bool) {
	switch k {
	case KindDecrypt:
		return 0, true
	case KindCreateDomain, KindWrapDomain, KindMint, KindReseal:
		return FeatureDomainWrites, true
	}
	return 0, false
}

// Flags of a frame. A receiver ignores bits that it does not know.
type Flags uint8

const (
	// FlagMore says that the message goes on in the next frame with the same id.
	FlagMore Flags = 1 << 0
)

// Header is the fixed part of a frame. Layout in the package doc.
type Header struct {
	// Length of the body that follows this header, at most [MaxChunk].
	Length uint32
	Kind   Kind
	Flags  Flags
	// ID ties an answer to its request. The sender of the request chooses it. It is unique among the requests in
	// flight on a stream.
	ID uint64
	// DeadlineMS is the time left when the frame was written, in milliseconds; 0 means no deadline.
	DeadlineMS uint32
}

// AppendHeader appends the header's 20 bytes.
func AppendHeader(dst []byte, h Header) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, h.Length)
	dst = append(dst, byte(h.Kind), byte(h.Flags), 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, h.ID)
	return binary.LittleEndian.AppendUint32(dst, h.DeadlineMS)
}

// ParseHeader reads the header at the start of b. It returns [ErrTruncated] if b is shorter than a header, and
// [ErrLimit] if the frame is longer than [MaxChunk], or if it says that more follow and is shorter than [MinChunk].
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrTruncated
	}
	h := Header{
		Length:     binary.LittleEndian.Uint32(b),
		Kind:       Kind(b[4]),
		Flags:      Flags(b[5]),
		ID:         binary.LittleEndian.Uint64(b[8:]),
		DeadlineMS: binary.LittleEndian.Uint32(b[16:]),
	}
	if h.Length > MaxChunk {
		return Header{}, ErrLimit
	}
	if h.Flags&FlagMore != 0 && h.Length < MinChunk {
		return Header{}, ErrLimit
	}
	return h, nil
}
