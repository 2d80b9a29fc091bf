// Package lambda stands in for AWS Lambda in tests: it plays the service's side of the custom runtime API
// (2018-06-01), one event at a time.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

// patience is how long an invocation waits for the function to ask for its event, and then for its answer.
const patience = 30 * time.Second

// These are the errors of Invoke.
var (
	ErrNotAsked    = errors.New("the function asks for no event")
	ErrNotAnswered = errors.New("the function does not answer")
)

// Runtime is a runtime API on loopback.
type Runtime struct {
	*httptest.Server
	events  chan string
	answers chan string
	number  int // of the invocation; only one is under way
}

// New starts a runtime API that ends with the test.
func New(t *testing.T) *Runtime {
	t.Helper()
	r := &Runtime{events: make(chan string), answers: make(chan string, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, req *http.Request) {
		select {
		case e := <-r.events:
			r.number++
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprintf("invocation-%d", r.number))
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(10*time.Second).UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:api")
			_, _ = io.WriteString(w, e)
		case <-req.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{end}", func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		w.WriteHeader(http.StatusAccepted)
		r.answers <- req.PathValue("end") + " " + string(body)
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

// Invoke sends an event through the runtime's loop. It returns how the invocation ended ("response" or "error"), a
// space, and what the function sent with that. Errors: ErrNotAsked, ErrNotAnswered, the context's before it is asked.
func (r *Runtime) Invoke(ctx context.Context, event string) (string, error) {
	select {
	case r.events <- event:
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(patience):
		return "", ErrNotAsked
	}
	select {
	case a := <-r.answers:
		return a, nil
	case <-time.After(patience):
		return "", ErrNotAnswered
	}
}
