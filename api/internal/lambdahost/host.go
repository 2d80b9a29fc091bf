package lambdahost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/lambda"
)

// Run serves invocations until Lambda ends the process. See [Handler].
func Run(h http.Handler, after func()) { lambda.Start(Handler(h, after)) }

// Handler makes Lambda's handler of ours. after, unless nil, is called at the end of each invocation, before its answer
// is given: once it is, Lambda freezes the process until the next event.
func Handler(h http.Handler, after func()) lambda.Handler {
	if after == nil {
		after = func() {}
	}
	return host{h, after}
}

type host struct {
	http.Handler
	after func()
}

// Invoke answers one event.
func (h host) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer h.after()
	e, err := parse(payload)
	if err != nil {
		return nil, err
	}
	r, err := e.request(ctx)
	if err != nil {
		return nil, err
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	defer clear(w.body.Bytes())
	return w.encode(e.second())
}

// answer collects what the handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	wrote  bool
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.wrote = true
	return a.body.Write(p)
}

// output is an answer in either format: cookies are not used, so 2.0 needs single headers only.
type output struct {
	StatusCode int                 `json:"statusCode"`
	Headers    map[string]string   `json:"headers,omitempty"`
	Multi      map[string][]string `json:"multiValueHeaders,omitempty"`
	Body       string              `json:"body"`
	Base64     bool                `json:"isBase64Encoded"`
}

func (a *answer) encode(second bool) ([]byte, error) {
	out := output{StatusCode: a.status, Body: a.body.String()}
	if !utf8.Valid(a.body.Bytes()) {
		out.Body, out.Base64 = base64.StdEncoding.EncodeToString(a.body.Bytes()), true
	}
	a.header.Del("Content-Length") // the platform's: it may encode the body anew
	if second {
		out.Headers = make(map[string]string, len(a.header))
		for k, v := range a.header {
			out.Headers[k] = strings.Join(v, ", ")
		}
	} else {
		out.Multi = a.header
	}
	return json.Marshal(out)
}
