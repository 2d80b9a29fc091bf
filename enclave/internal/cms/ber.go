package cms

// This is a reader of the part of BER (X.690 section 8) that CMS messages use: tags of one byte, definite lengths in
// their shortest form, indefinite lengths, strings in one piece or in segments. Everything else is an error.

// Tags. Where a type is always constructed, its tag has the bit for that.
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagNull        = 0x05
	tagOID         = 0x06
	tagSequence    = 0x30
	tagSet         = 0x31
	tagContext0    = 0x80
	tagContext1    = 0x81
	constructed    = 0x20

	// maxDepth bounds nesting. The deepest element of an envelope of KMS lies at depth 8.
	maxDepth = 12
)

// A reader takes elements off the front of an encoding. After an error it stays failed and returns nothing more.
type reader struct {
	data   []byte
	depth  int
	failed bool
}

func (r *reader) fail() ([]byte, bool) {
	r.data, r.failed = nil, true
	return nil, false
}

// empty reports whether everything was read without an error.
func (r *reader) empty() bool { return !r.failed && len(r.data) == 0 }

// peek returns the tag of the next element, and 0 at the end.
func (r *reader) peek() byte {
	if len(r.data) == 0 {
		return 0
	}
	return r.data[0]
}

// element takes the next element, which must have this tag. It returns its content without end-of-contents octets.
func (r *reader) element(tag byte) ([]byte, bool) {
	if r.failed || r.peek() != tag {
		return r.fail()
	}
	content, size, ok := split(r.data, r.depth)
	if !ok {
		return r.fail()
	}
	r.data = r.data[size:]
	return content, true
}

// inside takes the next element and returns a reader of its content.
func (r *reader) inside(tag byte) *reader {
	content, ok := r.element(tag)
	return &reader{data: content, depth: r.depth + 1, failed: !ok}
}

// octets takes a string: primitive, or constructed of primitive segments of type OCTET STRING (X.690 section 8.7).
// The result shares memory with the input if it is in one piece.
func (r *reader) octets(tag byte) ([]byte, bool) {
	if r.peek() == tag {
		return r.element(tag)
	}
	segments := r.inside(tag | constructed)
	var whole []byte
	for !segments.failed && len(segments.data) > 0 {
		segment, ok := segments.element(tagOctetString)
		if !ok {
			return r.fail()
		}
		whole = append(whole, segment...)
	}
	if segments.failed {
		return r.fail()
	}
	return whole, true
}

// split finds the content and the whole size of the first element of data.
func split(data []byte, depth int) (content []byte, size int, ok bool) {
	if len(data) < 2 || depth > maxDepth || data[0]&0x1f == 0x1f {
		return nil, 0, false
	}
	if data[1] == 0x80 {
		if data[0]&constructed == 0 {
			return nil, 0, false
		}
		return splitIndefinite(data, depth)
	}
	length, header, ok := definiteLength(data)
	if !ok || length > len(data)-header {
		return nil, 0, false
	}
	return data[header : header+length : header+length], header + length, true
}

// splitIndefinite walks the inner elements up to the end-of-contents octets of this element.
func splitIndefinite(data []byte, depth int) (content []byte, size int, ok bool) {
	const header, end = 2, 2
	at := header
	for {
		if len(data)-at < end {
			return nil, 0, false
		}
		if data[at] == 0 {
			if data[at+1] != 0 {
				return nil, 0, false
			}
			return data[header:at:at], at + end, true
		}
		_, n, ok := split(data[at:], depth+1)
		if !ok {
			return nil, 0, false
		}
		at += n
	}
}

// definiteLength reads a length in its shortest form, of at most 64 KiB. It also returns the size of tag and length.
func definiteLength(data []byte) (length, header int, ok bool) {
	first := data[1]
	if first < 0x80 {
		return int(first), 2, true
	}
	n := int(first & 0x7f)
	if n == 0 || n > 2 || len(data) < 2+n {
		return 0, 0, false
	}
	for _, b := range data[2 : 2+n] {
		length = length<<8 | int(b)
	}
	shortest := length >= 0x80 && (n == 1 || length >= 0x100)
	return length, 2 + n, shortest
}
