package testkit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// client talks only to the stack: it uses no proxy, and keeps no idle connection to a process that was replaced.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// getJSON demands status 200 and, when into is not nil, reads the body into it.
func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", req.URL.Path, resp.StatusCode)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}
