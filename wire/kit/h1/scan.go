package h1

import (
	"bytes"
	"errors"
)

// ErrMalformed is the error of reading once a peer has sent bytes that a Scanner refuses.
var ErrMalformed = errors.New("malformed http request")

// maxLine bounds the request line, and what is kept of any line that comes in parts. The longest line that a route
// accepts has a query of 1,024 characters, of up to twelve bytes each as they are sent.
const maxLine = 16 << 10

// maxChunkLine bounds the line of a chunk's size. No extension is of use here.
const maxChunkLine = 256

type state uint8

const (
	requestLine state = iota
	header
	body
	chunkSize
	chunkData
	chunkEnd
	trailer
)

// Scanner follows the bytes of one connection, request after request. The zero value is ready. It allocates only for a
// line that comes in parts.
type Scanner struct {
	state   state
	blank   bool // an empty line came before the request line
	http11  bool
	sized   bool // Content-Length was seen
	chunked bool
	left    int64 // bytes of the body, or of the chunk

	held []byte // the beginning of a line
	long bool   // the line is longer than held; the rest was checked
	cr   bool   // a long line's last byte so far is CR

	refused bool
	filler  int // see Rest
}

// Refused reports whether a line was refused. From then on the connection's Read MUST return Rest, and read no more.
func (s *Scanner) Refused() bool { return s.refused }

// Filter is for the end of a connection's Read(p), which has read n bytes. It returns what Read must return.
func (s *Scanner) Filter(p []byte, n int, err error) (int, error) {
	ok, malformed := s.scan(p[:n])
	if malformed == nil {
		return n, err
	}
	clear(p[ok:n])
	s.refused = true
	if s.state == requestLine {
		s.filler = 4
	}
	if ok > 0 {
		return ok, nil
	}
	return s.Rest(p)
}

// Rest is what Read returns once a line was refused: ErrMalformed. If the refused line is a request line, some bytes
// come before the error: servers take a connection for closed, and answer nothing, unless a request has begun.
// net/http needs four bytes.
func (s *Scanner) Rest(p []byte) (int, error) {
	n := copy(p, "XXXX"[:s.filler])
	if s.filler -= n; n > 0 {
		return n, nil
	}
	return 0, ErrMalformed
}

// scan reads the next bytes. It returns how many bytes of p may be passed on: all of them, or with ErrMalformed those
// before the refused line.
func (s *Scanner) scan(p []byte) (n int, err error) {
	for n < len(p) {
		rest := p[n:]
		if s.state == body || s.state == chunkData {
			n += s.skip(len(rest))
			continue
		}
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			if !s.hold(rest) {
				return n, ErrMalformed
			}
			return len(p), nil
		}
		if !s.end(rest[:end]) {
			return n, ErrMalformed
		}
		n += end
	}
	return n, nil
}

// skip passes on at most n bytes of a body.
func (s *Scanner) skip(n int) int {
	n = int(min(int64(n), s.left))
	if s.left -= int64(n); s.left == 0 {
		if s.state == body {
			s.next()
		} else {
			s.state = chunkEnd
		}
	}
	return n
}

// next prepares for the next request.
func (s *Scanner) next() { *s = Scanner{held: s.held} }

// hold keeps part of a line that has not ended.
func (s *Scanner) hold(part []byte) bool {
	if s.long {
		return s.more(part)
	}
	if len(s.held) == 0 && s.state == requestLine && !token[part[0]] && part[0] != '\r' {
		return false // not HTTP at all: the peer may never send a line end
	}
	if len(s.held)+len(part) <= maxLine {
		s.held = append(s.held, part...)
		return s.state != chunkSize || len(s.held) <= maxChunkLine
	}
	if s.state != header && s.state != trailer {
		return false
	}
	take := maxLine - len(s.held)
	s.held = append(s.held, part[:take]...)
	name, ok := fieldName(s.held)
	if !ok || framing(name) {
		return false
	}
	s.long = true
	return bytes.IndexByte(s.held[:maxLine-1], '\r') < 0 && s.startLong(part[take:])
}

func (s *Scanner) startLong(part []byte) bool {
	s.cr = s.held[maxLine-1] == '\r'
	s.drop()
	return s.more(part)
}

// drop forgets the held bytes: they may have been a credential.
func (s *Scanner) drop() {
	clear(s.held)
	s.held = s.held[:0]
}

// more checks the next part of a long line: CR must stand before LF and nowhere else.
func (s *Scanner) more(part []byte) bool {
	if len(part) == 0 {
		return true
	}
	if s.cr {
		return len(part) == 1 && part[0] == '\n'
	}
	i := bytes.IndexByte(part, '\r')
	if i < 0 {
		return part[len(part)-1] != '\n'
	}
	s.cr = i == len(part)-1
	return s.cr || i == len(part)-2 && part[i+1] == '\n'
}

// end takes the rest of a line, up to its LF.
func (s *Scanner) end(rest []byte) bool {
	if s.long {
		ok := s.more(rest)
		s.long, s.cr = false, false
		return ok
	}
	if len(s.held) == 0 {
		return s.line(rest)
	}
	if len(s.held)+len(rest) > maxLine && s.state != header && s.state != trailer {
		return false
	}
	s.held = append(s.held, rest...)
	ok := s.line(s.held)
	s.drop()
	return ok
}

// line takes a whole line.
func (s *Scanner) line(b []byte) bool {
	cr := len(b) - 2
	if cr < 0 || bytes.IndexByte(b, '\r') != cr {
		return false
	}
	b = b[:cr]
	switch s.state {
	case requestLine:
		return s.request(b)
	case header:
		return s.header(b)
	case chunkSize:
		return s.chunk(b)
	case chunkEnd:
		s.state = chunkSize
		return len(b) == 0
	case trailer:
		return s.trailer(b)
	case body, chunkData:
	}
	return false
}

// request takes the request line. It ignores one empty line before it (RFC 9112, section 2.2).
func (s *Scanner) request(b []byte) bool {
	if len(b) == 0 && !s.blank {
		s.blank = true
		return true
	}
	if len(b) > maxLine {
		return false
	}
	method, rest, _ := bytes.Cut(b, space)
	target, version, _ := bytes.Cut(rest, space)
	s.http11 = string(version) == "HTTP/1.1"
	if !s.http11 && string(version) != "HTTP/1.0" || !isToken(method) || !isTarget(target) {
		return false
	}
	s.state = header
	return true
}

// header takes a line of the header section.
func (s *Scanner) header(b []byte) bool {
	if len(b) == 0 {
		return s.begin()
	}
	name, ok := fieldName(b)
	switch {
	case !ok:
		return false
	case !framing(name):
		return true
	case len(b) > maxName:
		return false
	}
	value := bytes.Trim(b[len(name)+1:], " \t")
	if len(name) == len(contentLength) {
		return s.length(value)
	}
	return s.encoding(value)
}

// begin begins the body.
func (s *Scanner) begin() bool {
	switch {
	case s.chunked && (s.sized || !s.http11):
		return false
	case s.chunked:
		s.state = chunkSize
	case s.left > 0:
		s.state = body
	default:
		s.next()
	}
	return true
}

// framing reports whether a header field frames the message.
func framing(name []byte) bool {
	return len(name) == len(contentLength) && bytes.EqualFold(name, contentLength) ||
		len(name) == len(transferEncoding) && bytes.EqualFold(name, transferEncoding)
}

func (s *Scanner) length(value []byte) bool {
	if s.sized || len(value) == 0 || len(value) > 18 {
		return false
	}
	for _, d := range value {
		if d < '0' || d > '9' {
			return false
		}
		s.left = 10*s.left + int64(d-'0')
	}
	s.sized = true
	return true
}

func (s *Scanner) encoding(value []byte) bool {
	if s.chunked || !bytes.EqualFold(value, chunkedCoding) {
		return false
	}
	s.chunked = true
	return true
}

// chunk takes the line with a chunk's size. It ignores extensions (RFC 9112, section 7.1.1).
func (s *Scanner) chunk(b []byte) bool {
	if len(b) > maxChunkLine {
		return false
	}
	digits, _, _ := bytes.Cut(b, semicolon)
	if len(digits) == 0 || len(digits) > 8 {
		return false
	}
	s.left = 0
	for _, d := range digits {
		v := bytes.IndexByte(hexDigits, d|0x20)
		if v < 0 {
			return false
		}
		s.left = s.left<<4 | int64(v)
	}
	s.state = chunkData
	if s.left == 0 {
		s.state = trailer
	}
	return true
}

// trailer takes a line after the last chunk.
func (s *Scanner) trailer(b []byte) bool {
	if len(b) == 0 {
		s.next()
		return true
	}
	name, ok := fieldName(b)
	return ok && !framing(name)
}
