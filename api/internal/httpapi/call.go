package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/strictjson"
	"redoubt/api/internal/vault"
	"redoubt/wire/trace"
)

// MaxBody is the largest request body in bytes.
const MaxBody = 1 << 20

// call is one request on its way through a route.
type call struct {
	*http.Request
	w      http.ResponseWriter
	server *Server
	route  *route
	id     string // vault id, if the route has one
	query  map[string]string
	caller vault.Caller
	trace  *trace.Request
	body   []byte
}

// reply is what a route answers.
type reply struct {
	status int
	body   any    // written as JSON
	raw    []byte // written as it is, with kind; body is nil then
	kind   string
	tag    string // entity tag
	header map[string]string
	wipe   func() // called when the answer is written
}

func ok(body any) *reply { return &reply{status: http.StatusOK, body: body} }

// jsonTypes are the content types of a JSON body. Callers of the reference send JSON under curl's default and without
// a type too, since it never looked.
var jsonTypes = []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded"}

// readBody reads the body, checks its type and parses it.
func (c *call) readBody() (*strictjson.Object, error) {
	kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		kind = c.Header.Get("Content-Type")
	}
	if !slices.Contains(jsonTypes, kind) && !strings.HasSuffix(kind, "+json") {
		return nil, refusal(http.StatusUnsupportedMediaType, "Unsupported media type", "unsupported_media_type")
	}
	if c.ContentLength > MaxBody { // before it is asked for with 100 Continue
		return nil, errTooLarge
	}
	if c.ContentLength > 0 {
		c.body = make([]byte, 0, c.ContentLength+1)
	}
	limited := http.MaxBytesReader(c.w, c.Body, MaxBody)
	for {
		if len(c.body) == cap(c.body) {
			grown := make([]byte, len(c.body), max(4096, 2*cap(c.body)))
			copy(grown, c.body)
			clear(c.body)
			c.body = grown
		}
		n, err := limited.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bodyError(err)
		}
	}
	return strictjson.Parse(c.body)
}

// Refusals of a body that cannot be read.
var (
	errTooLarge  = refusal(http.StatusRequestEntityTooLarge, "Request too large", "too_large")
	errLate      = refusal(http.StatusRequestTimeout, "Request did not arrive in time", "request_timeout")
	errMalformed = refusal(http.StatusBadRequest, "Malformed HTTP request", "bad_request")
)

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

// ttl reads the query's ttl in seconds. least is 1 where 0 has no meaning.
func (c *call) ttl(least int64) (*time.Duration, error) {
	text, ok := c.query["ttl"]
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > int64(vault.MaxTTL/time.Second) {
		return nil, schema.FieldErrors{{Field: "ttl", Text: "must be a number of seconds within its limits"}}
	}
	d := time.Duration(n) * time.Second
	return &d, nil
}

// page reads the query's cursor and limit.
func (c *call) page() (store.Page, error) {
	p := store.Page{Cursor: c.query["cursor"]}
	if text, ok := c.query["limit"]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > store.MaxPage {
			return p, schema.FieldErrors{{Field: "limit", Text: "must be 1 to " + strconv.Itoa(store.MaxPage)}}
		}
		p.Limit = n
	}
	return p, nil
}

// ifMatch reads the entity tag that a write is conditional on. Of a list of tags none is understood.
func (c *call) ifMatch() string { return strings.TrimSpace(c.Header.Get("If-Match")) }
