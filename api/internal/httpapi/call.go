package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/trace"
)

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
	whole  bool // the body was read to its end
	taken  int  // bytes taken of the server's room for bodies
}

// reply is what a route answers.
type reply struct {
	status int
	body   any    // written as JSON
	raw    []byte // written as it is, with the type kind; body is nil then
	kind   string
	tag    string // entity tag
	header map[string]string
	wipe   func() // called when the answer is written
}

func ok(body any) *reply { return &reply{status: http.StatusOK, body: body} }

// ttl reads the query's ttl in seconds. least is 1 if 0 has no meaning.
func (c *call) ttl(least int64) (*time.Duration, error) {
	text, ok := c.query["ttl"]
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !program.Within(n, least, int64(vault.MaxTTL/time.Second)) {
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
		if err != nil || !program.Within(n, 1, store.MaxPage) {
			return p, schema.FieldErrors{{Field: "limit", Text: "must be 1 to " + strconv.Itoa(store.MaxPage)}}
		}
		p.Limit = n
	}
	return p, nil
}

const textTags = "must be * or a list of entity tags"

// conditions reads the preconditions by entity tags. A header without a tag is refused, since its sender means a
// condition.
func (c *call) conditions() (when vault.Conditions, err error) {
	for _, h := range []struct {
		name string
		to   *[]string
	}{{"If-Match", &when.Match}, {"If-None-Match", &when.NoneMatch}} {
		lines := c.Header.Values(h.name)
		if len(lines) == 0 {
			continue
		}
		tags, ok := vault.ParseTags(strings.Join(lines, ","))
		if !ok {
			return when, schema.FieldErrors{{Field: strings.ToLower(h.name), Text: textTags}}
		}
		*h.to = tags
	}
	return when, nil
}
