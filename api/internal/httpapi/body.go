package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"redoubt/api/internal/strictjson"
)

const (
	// MaxBody is the largest request body in bytes.
	MaxBody = 1 << 20
	// DefaultBodyMemory bounds the bodies of all requests together, in bytes, and the answers that are being sent. The
	// values read from a body take about three times its size more, until its request is answered.
	DefaultBodyMemory = 64 << 20
	// smallBody is the room that is made for a body that has not come yet, in bytes, and what is read for callers that
	// may not do what they ask for: of them the audit log tells what they named.
	smallBody = 64 << 10
)

// jsonTypes are the content types of a JSON body. Callers of the reference send JSON under curl's default and without
// a type too, since it never looked.
var jsonTypes = []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded"}

// Refusals of a body that cannot be read.
var (
	errTooLarge  = refusal(http.StatusRequestEntityTooLarge, "Request too large", "too_large")
	errLate      = refusal(http.StatusRequestTimeout, "Request did not arrive in time", "request_timeout")
	errMalformed = refusal(http.StatusBadRequest, "Malformed HTTP request", "bad_request")
	errMediaType = refusal(http.StatusUnsupportedMediaType, "Unsupported media type", "unsupported_media_type")
	errNoRoom    = &httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "overloaded", retry: retryDefault,
	}
)

// readBody reads the body, checks its type and parses it. Of a large one nothing is read for a caller that may not do
// what the route does, whatever the fields.
func (c *call) readBody() (*strictjson.Object, error) {
	if !isJSON(c.Header.Values("Content-Type")) || !plain(c.Header.Values("Content-Encoding")) {
		return nil, errMediaType
	}
	if c.ContentLength > MaxBody { // before it is asked for with 100 Continue
		return nil, errTooLarge
	}
	if c.ContentLength < 0 || c.ContentLength > smallBody {
		if err := c.server.vault.Granted(c.Context(), &c.caller, c.route.operation, c.id); err != nil {
			return nil, err
		}
	}
	if err := c.fill(http.MaxBytesReader(c.w, c.Body, MaxBody)); err != nil {
		return nil, err
	}
	return strictjson.Parse(c.body, c.route.values)
}

// isJSON reports whether a body is said to be JSON in UTF-8 (RFC 8259, section 8.1), or nothing is said of it.
func isJSON(contentTypes []string) bool {
	if len(contentTypes) > 1 {
		return false
	}
	contentType := strings.Join(contentTypes, "")
	kind, parameters, err := mime.ParseMediaType(contentType)
	if contentType != "" && err != nil {
		return false
	}
	charset := strings.ToLower(parameters["charset"])
	return (slices.Contains(jsonTypes, kind) || strings.HasSuffix(kind, "+json")) &&
		slices.Contains([]string{"", "utf-8", "us-ascii"}, charset)
}

// plain reports whether a body is sent as it is: we decode none.
func plain(encodings []string) bool {
	return !slices.ContainsFunc(encodings, func(e string) bool {
		return !strings.EqualFold(strings.TrimSpace(e), "identity")
	})
}

// fill reads the body. Memory is taken as bytes come, not as they are announced.
func (c *call) fill(from io.Reader) error {
	most := MaxBody + 1 // one more, so that the end is seen without growing
	if c.ContentLength >= 0 {
		most = int(c.ContentLength) + 1
	}
	for {
		if len(c.body) == cap(c.body) && !c.grow(min(most, max(smallBody, 2*cap(c.body)))) {
			return errNoRoom
		}
		n, err := from.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		if errors.Is(err, io.EOF) {
			c.whole = true
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
	}
}

// grow makes room for so many bytes in all; false when all requests together have no more.
func (c *call) grow(room int) bool {
	if !c.server.bodies.Take(room - c.taken) {
		return false
	}
	c.taken = room
	grown := make([]byte, len(c.body), room)
	copy(grown, c.body)
	clear(c.body)
	c.body = grown
	return true
}

// charge takes the room of an answer, which is held for as long as its caller takes to read it, beside the values that
// it was made of; false when all requests together have no more. An answer alone always has room, and a small one.
func (c *call) charge(size int) bool {
	if size <= smallBody {
		return true
	}
	room := min(2*size, c.server.memory/2)
	if !c.server.bodies.Take(room) {
		return false
	}
	c.taken += room
	return true
}

// release wipes the body and gives its room back.
func (c *call) release() {
	clear(c.body)
	c.server.bodies.Give(c.taken)
}

func bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errLate
	}
	return errMalformed
}
