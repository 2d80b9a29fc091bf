package lambdahost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/lambda"
)

// Run serves invocations until Lambda ends the process. See [Handler].
func Run(h http.Handler, after func()) { lambda.Start(Handler(h, after)) }

// Handler makes a handler for Lambda of an http.Handler. after, unless nil, is called at the end of each invocation,
// before its answer is given: once the answer is given, Lambda freezes the process until the next event.
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
	ctx, last, cancel := early(ctx)
	defer cancel()
	r, err := e.request(ctx)
	if err != nil {
		return nil, err
	}
	w := newAnswer()
	done := make(chan bool, 1)
	go func() { done <- h.serve(w, r) }()
	select {
	case whole := <-done:
		defer clear(w.body.Bytes())
		if !whole {
			return failed(http.StatusInternalServerError, "Internal error", "internal").encode(e.second())
		}
		return w.encode(e.second())
	case <-last.Done():
		go func() {
			<-done
			clear(w.body.Bytes())
		}()
		return late(r.Method).encode(e.second())
	}
}

const (
	// margin is how long before the end of the invocation the work on it ends. lastCall is how long before that end
	// an answer is given, whatever the work does. If less than four margins are left, they are a quarter of that, and
	// a quarter of the quarter.
	margin   = time.Second
	lastCall = 4
	// maxAnswer is the largest answer that Lambda accepts, 6 MB.
	maxAnswer = 6_000_000
)

// early makes the context of the work, and the one within which an answer is still accepted. Without a deadline they
// do not end.
func early(ctx context.Context) (work, last context.Context, cancel func()) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, context.Background(), func() {}
	}
	before := min(margin, time.Until(end)/4)
	last, cancelLast := context.WithDeadline(ctx, end.Add(-before/lastCall))
	work, cancelWork := context.WithDeadline(ctx, end.Add(-before))
	return work, last, func() {
		cancelWork()
		cancelLast()
	}
}

// serve runs the handler. whole is false after a panic. The panic's value may hold parts of the request.
func (h host) serve(w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if recover() != nil {
			whole = false
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// late is the answer to a request whose outcome is not known when the time is over.
func late(method string) *answer {
	code := "outcome_unknown"
	if method == http.MethodGet || method == http.MethodHead {
		code = "deadline_exceeded"
	}
	a := failed(http.StatusServiceUnavailable, "Service unavailable", code)
	a.header.Set("Retry-After", "1")
	return a
}

// failed is an error in the form in which package httpapi writes it.
func failed(status int, message, code string) *answer {
	a := newAnswer()
	a.header.Set("Content-Type", "application/json")
	a.WriteHeader(status)
	_, _ = fmt.Fprintf(&a.body, `{"statusCode":%d,"message":%q,"code":%q}`+"\n", status, message, code)
	return a
}

func newAnswer() *answer { return &answer{header: http.Header{}, status: http.StatusOK} }

// answer collects the output of the handler.
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

// output is an answer in either format. Cookies are not used, so format 2.0 needs single headers only.
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
	a.header.Del("Content-Length") // the platform sets it: it may encode the body anew
	if second {
		out.Headers = make(map[string]string, len(a.header))
		for k, v := range a.header {
			out.Headers[k] = strings.Join(v, ", ")
		}
	} else {
		out.Multi = a.header
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&out); err != nil {
		return nil, err
	}
	if buf.Len() > maxAnswer {
		clear(buf.Bytes())
		return failed(http.StatusRequestEntityTooLarge, "Answer too large; ask for less at once",
			"answer_too_large").encode(second)
	}
	return buf.Bytes(), nil
}
