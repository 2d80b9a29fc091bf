package apistack

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// Held is a parent that holds every decrypt until it is released.
type Held struct {
	URL     string
	Entered chan struct{} // gets a value for each decrypt that has arrived
	Release chan struct{} // closed to let them continue
}

// Hold puts a Held in front of a parent, for the test's duration.
func Hold(t *testing.T, parent string) *Held {
	t.Helper()
	to, err := url.Parse(parent)
	if err != nil {
		t.Fatal(err)
	}
	h := &Held{Entered: make(chan struct{}), Release: make(chan struct{})}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !h.hold(r.Context()) {
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	h.URL = s.URL
	return h
}

// hold waits for the release. It returns false if the caller gave up.
func (h *Held) hold(ctx context.Context) bool {
	select {
	case h.Entered <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	select {
	case <-h.Release:
		return true
	case <-ctx.Done():
		return false
	}
}
