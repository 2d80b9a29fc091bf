package apitest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
)

// Transport is for clients of a running API. It checks the API's answers against the document that the API serves,
// and fails the test if they differ.
type Transport struct {
	T *testing.T

	mu       sync.Mutex
	contract *Contract
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // read to its end, or broken
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.check(r, resp); err != nil {
		t.T.Errorf("%s: status %d breaks the contract: %v", r.Method, resp.StatusCode, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (t *Transport) check(r *http.Request, resp *http.Response) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.contract == nil {
		spec, err := fetch(r, "/v1/openapi.json")
		if err != nil {
			return err
		}
		if t.contract, err = NewContract(spec); err != nil {
			return err
		}
	}
	return t.contract.Check(r, resp)
}

// fetch gets a document from the server that r was sent to.
func fetch(r *http.Request, path string) ([]byte, error) {
	u := *r.URL
	u.Path, u.RawPath, u.RawQuery = path, "", ""
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, u.String(), http.NoBody) //nolint:gosec // a test's
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}
