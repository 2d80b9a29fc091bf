package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// answer is what a parent said: of /v1/decrypt, of /decrypt, or an error of either.
type answer struct {
	Status int
	Header http.Header
	Raw    []byte
	Fields map[string]any
	Errors json.RawMessage // a map on /v1, a list on /decrypt
	Code   any             // a word on /v1, a number on /decrypt
}

// errorCodes are the codes of the errors of /v1/decrypt by name.
func (a *answer) errorCodes(t *testing.T) map[string]string {
	t.Helper()
	var in map[string]struct{ Code string }
	if err := json.Unmarshal(a.Errors, &in); err != nil {
		t.Fatalf("errors %s: %v", a.Errors, err)
	}
	out := make(map[string]string, len(in))
	for name, e := range in {
		out[name] = e.Code
	}
	return out
}

func (r *rig) post(route string, body []byte) (*answer, error) {
	resp, err := r.client.Post("http://"+r.Addresses.Parent+route, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Raw, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(a.Raw, a); err != nil {
		return a, fmt.Errorf("status %d is not JSON: %w", resp.StatusCode, err)
	}
	return a, nil
}

func (r *rig) ask(t *testing.T, route string, body *parentapi.Request[string]) *answer {
	t.Helper()
	data, err := body.JSON()
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.post(route, data)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *rig) seal(t *testing.T, opts testkit.RecordOptions) *testkit.Record {
	t.Helper()
	if opts.VaultID == "" {
		opts.VaultID = "v_e2e"
	}
	if opts.Fields == nil {
		opts.Fields = person("")
	}
	opts.Key = kms.AliasSymmetric
	rec, err := testkit.Seal(ctx, r.kms, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// person is a set of plaintexts of its own.
func person(tag string) map[string]string {
	return map[string]string{
		"first_name": sentinel + " Ada " + tag, "ssn9": sentinel + tag + "078051120", "dob": "1990-12-10",
		"note": sentinel + tag + " ünïcödé \" \\ \n \u2028 </script>",
	}
}

// wantFields demands exactly these values.
func wantFields(t *testing.T, a *answer, want map[string]string) {
	t.Helper()
	if a.Status != http.StatusOK || len(a.Fields) != len(want) {
		t.Fatalf("status %d with %d fields, want 200 with %d: %s", a.Status, len(a.Fields), len(want), a.Raw)
	}
	for name, value := range want {
		if a.Fields[name] != value {
			t.Fatalf("field %s is another", name)
		}
	}
}

// curl asks as the printed lines do; a status of 0 is no answer.
func curl(t *testing.T, url string, body []byte) (text string, status int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return "", 0
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0
	}
	return string(out), resp.StatusCode
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
