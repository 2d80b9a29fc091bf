package front

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/h1"
	"redoubt/wire/kit/trace"
)

type unobserved struct{}

func (unobserved) Request(Route, int, string, time.Duration, trace.ID) {}
func (unobserved) BatchItem(int, string)                               {}
func (unobserved) ConnectionShed(h1.Shed)                              {}

// TestLargeBodiesShareABudget: what large requests may take of memory is bounded over all connections; past it they
// are refused at once, and small ones are not.
func TestLargeBodiesShareABudget(t *testing.T) {
	s := New(Options{
		Observer: unobserved{}, Log: slog.New(slog.DiscardHandler), RequestTimeout: time.Minute, BatchTimeout: time.Minute,
		HeaderTimeout: time.Minute, BodyTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxConnections: 10, BatchFanOut: 1,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(size int) (status int, retry string) {
		t.Helper()
		body := "[]" + strings.Repeat(" ", size-2)
		resp, err := client.Post("http://"+ln.Addr().String()+"/v1/decrypt", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Retry-After")
	}
	if status, _ := post(200 << 10); status != 422 {
		t.Fatalf("%d", status)
	}
	if left := s.bodies.Left(); left != bodyBudget {
		t.Errorf("%d bytes of the budget were not given back", bodyBudget-left)
	}
	if !s.bodies.Take(bodyBudget - 100<<10) {
		t.Fatal("the budget is not whole")
	}
	if status, retry := post(200 << 10); status != 503 || retry == "" {
		t.Errorf("past the budget: %d %q", status, retry)
	}
	if status, _ := post(10 << 10); status != 422 {
		t.Errorf("small beside it: %d", status)
	}
	if left := s.bodies.Left(); left != 100<<10 {
		t.Errorf("a refused body changed the budget to %d", left)
	}
}
