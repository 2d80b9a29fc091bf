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
	// DefaultBodyMemory bounds the bodies of all requests together, in bytes, and the answers that are being sent.
	// The values read from a body take about three times its size in addition, until its request is answered.
	DefaultBodyMemory = 64 << 20
	// smallBody is the room that is made for a body that has not come yet, in bytes. It is also what is read for
	// callers that may not do what they ask for, so that the audit log can say what they named.
	smallBody = 64 << 10
)

// jsonTypes are the content types of a JSON body. Callers of the reference (the AWS sample that Redoubt succeeds)
// also send JSON under curl's default type and without a type, since the reference ignored it.
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

// readBody reads the body, checks its type and parses it. If the caller may not do what the route does, whatever the
// fields, nothing of a large body is read.
func (c *call) readBody() (*strictjson.Object, error) {
	if !isJSON(c.Header.Values("Content-Type")) || !plain(c.Header.Values("Content-Encoding")) {
		return nil, errMediaType
	}
	if c.ContentLength > MaxBody { // before 100 Continue asks for it
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

// isJSON reports whether the type of a body is JSON in UTF-8 (RFC 8259, section 8.1), or not given.
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

// plain reports whether a body has no content encoding: the API decodes none.
func plain(encodings []string) bool {
	return !slices.ContainsFunc(encodings, func(e string) bool {
		return !strings.EqualFold(strings.TrimSpace(e), "identity")
	})
}

// fill reads the body. It takes memory as bytes come, not as they are announced.
func (c *call) fill(from io.Reader) error {
	most := MaxBody + 1 // one more byte, so that the end is seen without growing
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

// grow makes room for this many bytes in all. It returns false if the server's room for all requests is used up.
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

// charge takes the room of an answer, which is held as long as its caller takes to read it, beside the values from
// which it was made. It returns false if the server's room for all requests is used up. A single answer always has
// room, and so has a small one.
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
