//go:build !contract

package apitest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// Contract checks answers against an OpenAPI document: statuses and content types.
type Contract struct {
	paths map[string]map[string]operation
}

type operation struct {
	Responses map[string]struct {
		Content map[string]any `json:"content"`
	} `json:"responses"`
}

// NewContract reads the document.
func NewContract(spec []byte) (*Contract, error) {
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal(spec, &doc); err != nil {
		return nil, err
	}
	return &Contract{doc.Paths}, nil
}

// Check checks one answer. Paths and methods that the document does not have must be answered 404 and 405.
func (c *Contract) Check(r *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == callerGone {
		return nil
	}
	op, ok := c.find(strings.ToLower(r.Method), strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), "/v1"), "/"))
	if !ok {
		if resp.StatusCode == http.StatusNotFound {
			return nil
		}
		return errors.New("operation not documented")
	}
	documented, ok := op.Responses[strconv.Itoa(resp.StatusCode)]
	if !ok {
		return errors.New("status not documented")
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode == http.StatusNotModified && kind == "" {
		return nil // it has no content
	}
	if _, ok := documented.Content[kind]; !ok {
		return errors.New("content type not documented")
	}
	return nil
}

func (c *Contract) find(method, path string) (operation, bool) {
	parts := strings.Split(path, "/")
	for pattern, methods := range c.paths {
		want := strings.Split(pattern, "/")
		if len(want) != len(parts) {
			continue
		}
		same := true
		for i, w := range want {
			same = same && (w == parts[i] || strings.HasPrefix(w, "{") && parts[i] != "")
		}
		if op, ok := methods[method]; ok && same {
			return op, true
		}
	}
	return operation{}, false
}
