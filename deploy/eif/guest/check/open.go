package check

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// Request is the body that opens fields of a vault.
type Request = parentapi.Request[string]

// Seal seals fields in an encoding (1, 2 or 3) and returns the request that opens them.
func (v *Vault) Seal(encoding int, fields map[string]string) (*Request, error) {
	plain := make(map[string][]byte, len(fields))
	for name, value := range fields {
		plain[name] = []byte(value)
	}
	write := sealed.Encoding(max(encoding, 2))
	blobs, err := sealed.Seal(write, v.Suite, v.Public, v.ID, plain)
	if err != nil {
		return nil, err
	}
	b64, id := base64.StdEncoding.EncodeToString, v.Suite.ID()
	r := &Request{
		VaultID: v.ID, Region: Region, SuiteID: b64(id[:]), WrappedKey: b64(v.Wrapped),
		Encoding: strconv.Itoa(encoding), Fields: map[string]string{},
	}
	if v.Context {
		r.KeyContext = 1
	}
	for name, blob := range blobs {
		r.Fields[name] = b64(blob)
		if encoding == 1 {
			n := v.Suite.EncSize()
			r.Fields[name] = hex.EncodeToString(blob[:n]) + "#" + hex.EncodeToString(blob[n:])
		}
	}
	return r, nil
}

// Answer is what the parent says: fields, or a typed error.
type Answer struct {
	Status int
	Fields map[string]any `json:"fields"`
	Code   any            `json:"code"`
}

// Open posts the request to a path of the parent.
func (t *Target) Open(ctx context.Context, path string, r *Request) (*Answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return t.OpenBody(ctx, path, body)
}

// OpenBody posts a body that is made already.
func (t *Target) OpenBody(ctx context.Context, path string, body []byte) (*Answer, error) {
	status, raw, err := t.post(ctx, path, body)
	if err != nil {
		return nil, err
	}
	a := &Answer{Status: status}
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, fmt.Errorf("answer of status %d is not JSON", status)
	}
	return a, nil
}

// BatchItem is the answer to one item of a batch.
type BatchItem struct {
	Status int            `json:"status"`
	Fields map[string]any `json:"fields"`
	Error  struct {
		Code string `json:"code"`
	} `json:"error"`
}

// OpenBatch posts requests as one batch and returns their answers in the same order.
func (t *Target) OpenBatch(ctx context.Context, items []*Request) ([]BatchItem, error) {
	body, err := json.Marshal(&parentapi.Batch[string]{Items: items})
	if err != nil {
		return nil, err
	}
	status, raw, err := t.post(ctx, parentapi.PathBatch, body)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("batch: status %d", status)
	}
	var a struct {
		Items []BatchItem `json:"items"`
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, errors.New("batch: the answer is not JSON")
	}
	if len(a.Items) != len(items) {
		return nil, fmt.Errorf("batch: %d answers to %d items", len(a.Items), len(items))
	}
	return a.Items, nil
}

func (t *Target) post(ctx context.Context, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Parent+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return t.do(req)
}

// Attestation is a document that the enclave made for a nonce, as the parent passes it on.
func (t *Target) Attestation(ctx context.Context, nonce []byte) ([]byte, error) {
	status, body, err := t.get(ctx, "/v1/attestation?nonce="+hex.EncodeToString(nonce))
	if err != nil {
		return nil, err
	}
	var a struct {
		Document []byte `json:"document"`
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("attestation: status %d: %s", status, body)
	}
	return a.Document, json.Unmarshal(body, &a)
}

// Metric is the sum of a metric's series in the listener's exposition whose labels contain label.
func (t *Target) Metric(ctx context.Context, listener, name, label string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, listener+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	_, body, err := t.do(req)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		base, labels, _ := strings.Cut(series, "{")
		if !ok || base != name || !strings.Contains(labels, label) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s with %q", name, label)
	}
	return sum, nil
}
