package httpload

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Limits of an answer.
const (
	maxHead   = 64 << 10
	maxAnswer = 64 << 20
)

// answered is a complete answer that was read. body borrows from what was parsed. What follows the answer is length
// bytes further on.
type answered struct {
	status int
	body   []byte
	length int // of head and body
	last   bool
}

var (
	errHTTP     = errors.New("malformed answer")
	headEnd     = []byte("\r\n\r\n")
	lineEnd     = []byte("\r\n")
	version     = []byte("HTTP/1.1 ")
	lengthName  = []byte("content-length")
	closeName   = []byte("connection")
	codingName  = []byte("transfer-encoding")
	closeValue  = []byte("close")
	chunkedCode = []byte("chunked")
)

// parse reads an answer of HTTP/1.1 (RFC 9112) from the beginning of b. It returns false if the answer is not
// complete yet.
func parse(b []byte) (a answered, whole bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) > maxHead {
			return a, false, fmt.Errorf("%w: its head is too long", errHTTP)
		}
		return a, false, nil
	}
	status, head, _ := bytes.Cut(b[:end], lineEnd)
	if len(status) < len(version)+3 || !bytes.HasPrefix(status, version) {
		return a, false, errHTTP
	}
	if a.status, err = strconv.Atoi(string(status[len(version) : len(version)+3])); err != nil {
		return a, false, errHTTP
	}
	from := end + len(headEnd)
	length, chunked, err := a.headers(head)
	switch {
	case err != nil:
		return a, false, err
	case chunked:
		return a.chunks(b, from)
	case length < 0:
		return a, false, fmt.Errorf("%w: it has no length", errHTTP)
	case len(b) < from+length:
		return a, false, nil
	}
	a.length = from + length
	a.body = b[from:a.length]
	return a, true, nil
}

// headers reads what says where the answer ends; length is -1 when none is given.
func (a *answered) headers(head []byte) (length int, chunked bool, err error) {
	length = -1
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, lineEnd)
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case !ok:
			return 0, false, errHTTP
		case bytes.EqualFold(name, lengthName):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > maxAnswer {
				return 0, false, errHTTP
			}
		case bytes.EqualFold(name, closeName):
			a.last = bytes.EqualFold(value, closeValue)
		case bytes.EqualFold(name, codingName):
			chunked = bytes.EqualFold(value, chunkedCode)
		}
	}
	return length, chunked, nil
}

// chunks reads a chunked body that begins at from.
func (a answered) chunks(b []byte, from int) (answered, bool, error) {
	a.body = nil
	for rest := b[from:]; ; {
		line, after, ok := bytes.Cut(rest, lineEnd)
		if !ok {
			return a, false, nil
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil || len(a.body)+int(n) > maxAnswer {
			return a, false, errHTTP
		}
		if len(after) < int(n)+len(lineEnd) {
			return a, false, nil
		}
		if !bytes.HasPrefix(after[n:], lineEnd) {
			return a, false, errHTTP
		}
		a.body = append(a.body, after[:n]...)
		if rest = after[int(n)+len(lineEnd):]; n == 0 {
			a.length = len(b) - len(rest)
			return a, true, nil
		}
	}
}

// roomToRead makes room behind what has been read.
func roomToRead(b []byte) []byte {
	const some = 4 << 10
	if cap(b)-len(b) >= some {
		return b
	}
	return append(make([]byte, 0, 2*cap(b)+some), b...)
}

// StatusError reports an answer that ends a run.
type StatusError struct {
	Status int
	Body   string // its beginning: a parent's errors hold static texts alone
}

func (e *StatusError) Error() string { return fmt.Sprintf("answered %d: %s", e.Status, e.Body) }

func (a *answered) statusError() error {
	return &StatusError{a.status, string(a.body[:min(len(a.body), 300)])}
}
