package trace

import (
	"encoding/hex"
	"math/rand/v2"
)

// ID names a trace; zero is none.
type ID [16]byte

// SpanID names a span within a trace; zero is none.
type SpanID [8]byte

// String is 32 lower-case hex digits.
func (t ID) String() string { return hex.EncodeToString(t[:]) }

// String is 16 lower-case hex digits.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// Context is a place in a trace. For an incoming request Span is the caller's span; for an outgoing one it is our
// own.
type Context struct {
	Trace   ID
	Span    SpanID
	Sampled bool
}

// Size of a version 00 traceparent in bytes.
const Size = 2 + 1 + 32 + 1 + 16 + 1 + 2

// These are the offsets at which a traceparent's parts begin, after the version and after each dash.
const (
	atTrace = 3
	atSpan  = 36
	atFlags = 53

	flagSampled = 1
)

// Parse reads a traceparent header (section 3.2.2). From a version above 00 it reads the parts that 00 defines
// (section 4.3). h is not kept.
func Parse(h []byte) (c Context, ok bool) {
	if len(h) < Size || h[atTrace-1] != '-' || h[atSpan-1] != '-' || h[atFlags-1] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	if !lowerHex(version[:], h[:2]) || !lowerHex(c.Trace[:], h[atTrace:atSpan-1]) ||
		!lowerHex(c.Span[:], h[atSpan:atFlags-1]) || !lowerHex(flags[:], h[atFlags:Size]) {
		return Context{}, false
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(h) != Size, len(h) > Size && h[Size] != '-':
		return Context{}, false
	case c.Trace == ID{}, c.Span == SpanID{}:
		return Context{}, false
	}
	c.Sampled = flags[0]&flagSampled != 0
	return c, true
}

// lowerHex decodes src, of twice dst's length, and refuses capitals.
func lowerHex(dst, src []byte) bool {
	for i := range dst {
		hi, ok1 := digit(src[2*i])
		lo, ok2 := digit(src[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// Append appends the traceparent header for c.
func (c Context) Append(dst []byte) []byte {
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, c.Trace[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, c.Span[:])
	if c.Sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

// Child returns a context of the same trace with a new span.
func (c Context) Child() Context {
	c.Span = newSpan()
	return c
}

// New begins a trace that is not sampled.
func New() Context {
	var c Context
	for c.Trace == (ID{}) {
		put(c.Trace[:8], rand.Uint64()) //nolint:gosec // an id for logs, not a secret
		put(c.Trace[8:], rand.Uint64()) //nolint:gosec // as above
	}
	c.Span = newSpan()
	return c
}

func newSpan() (s SpanID) {
	for s == (SpanID{}) {
		put(s[:], rand.Uint64()) //nolint:gosec // an id for logs, not a secret
	}
	return s
}

func put(dst []byte, n uint64) {
	for i := range dst {
		dst[i] = byte(n)
		n >>= 8
	}
}

// MaxRequestID bounds a caller's request id, in bytes.
const MaxRequestID = 128

// RequestIDSize is the length of an id made here, in bytes.
const RequestIDSize = 32

// ValidRequestID reports whether a caller's id is safe to echo and to log: 1 to [MaxRequestID] ASCII letters, digits
// and -._:= (which gateways use), beginning with a letter or digit.
func ValidRequestID[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > MaxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case decimal(c), lower(c), c >= 'A' && c <= 'Z':
		case i > 0 && (c == '-' || c == '.' || c == '_' || c == ':' || c == '='):
		default:
			return false
		}
	}
	return true
}

// AppendRequestID appends a new request id, [RequestIDSize] lower-case hex digits.
func AppendRequestID(dst []byte) []byte {
	var id [RequestIDSize / 2]byte
	put(id[:8], rand.Uint64()) //nolint:gosec // an id for logs, not a secret
	put(id[8:], rand.Uint64()) //nolint:gosec // as above
	return hex.AppendEncode(dst, id[:])
}
