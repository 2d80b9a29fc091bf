// Package apitest is what tests of the API stand on. Keys are real, and fields are really sealed and opened; what is
// played is the enclave, and for some tests KMS. There are three ways in:
//
//   - [NewWorld] plays KMS and the enclave in the test's process, for tests of what the API does with them. A test can
//     let either fail, and see what it was asked.
//   - [New] is an API over a World and a true embedded store: a handler, without a network.
//   - [NewStack] is for tests of the api binary, on loopback: the KMS stand-in, and a [Parent] that asks it for keys
//     under a policy that allows this to tests.
//
// Expressions are not evaluated. One whose source is "fail" fails, "len(NAME)" gives a field's length, a field's name
// its value, anything else its own text. Tests of all tiers together use deploy/local/testkit, where the enclave is
// true.
//
// Every answer that passes through an [API], or through a [Transport] to a running one, is checked against the OpenAPI
// document that the handler generates: its status and content type must be documented. Under the build tag "contract"
// (make test-contract, which CI runs) an independent validator also checks headers and body. The tag exists because
// that validator takes minutes to compile under the race detector.
package apitest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/internal/domains"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store/bolt"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/proctest"
)

// API is a handler under test.
type API struct {
	T       *testing.T
	World   *World
	Store   *bolt.Store
	Vault   *vault.Service
	Metrics *httpapi.Metrics
	Domains *domains.Registry
	Handler http.Handler // validates its answers
	Spec    []byte
	Log     *proctest.Buffer

	contract *Contract
}

// UnderDomain is an Option: new vaults are under the domain of this id, which [API.Domain] makes.
func UnderDomain(id string) Option {
	return func(v *vault.Config, _ *httpapi.Config) { v.Mode, v.Domain = vault.KeysDomain, id }
}

// Domain makes a generation of a domain for suites P-256 and X-Wing.
func (a *API) Domain(id string, generation uint16) *domains.Domain {
	a.T.Helper()
	record, err := a.World.Make(id, generation, sealed.P256, sealed.XWing)
	if err != nil {
		a.T.Fatal(err)
	}
	d, err := a.Domains.Add(a.T.Context(), record, nil)
	if err != nil {
		a.T.Fatal(err)
	}
	return d
}

// Option changes what New builds.
type Option func(*vault.Config, *httpapi.Config)

// New builds an API for the test's duration.
func New(t *testing.T, options ...Option) *API {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := &API{T: t, World: NewWorld(), Store: db, Metrics: httpapi.NewMetrics("test"), Log: &proctest.Buffer{}}
	a.Domains = domains.New(db, a.World)
	vc := vault.Config{
		Store: db, Keys: a.World, Opener: a.World, Schema: schema.Default(), Suite: sealed.P256,
		Encoding: sealed.EncodingRecord, KeyConfig: vault.KeyConfig{Domains: a.Domains, Enclave: a.World},
	}
	hc := httpapi.Config{
		Version: "test", Metrics: a.Metrics, Log: program.NewLogger(a.Log, slog.LevelDebug),
	}
	for _, o := range options {
		o(&vc, &hc)
	}
	if a.Vault, err = vault.New(vc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Vault.Close(context.Background()) })
	a.Metrics.Keyed(a.Vault.Counts)
	hc.Vault = a.Vault
	s, err := httpapi.New(hc)
	if err != nil {
		t.Fatal(err)
	}
	a.Spec = s.Spec()
	if a.contract, err = NewContract(a.Spec); err != nil {
		t.Fatal(err)
	}
	a.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(s, w, r) })
	return a
}

// callerGone is the status of a request whose caller has gone. Nobody reads it, and the document does not have it.
const callerGone = 499

// serve answers and validates.
func (a *API) serve(h http.Handler, w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	if rec.Body.Len() > 0 {
		if _, err := w.Write(rec.Body.Bytes()); err != nil {
			a.T.Errorf("write: %v", err)
		}
	}
	if err := a.contract.Check(r, rec.Result()); err != nil {
		a.T.Errorf("%s %s: status %d breaks the contract: %v", r.Method, r.URL.Path, rec.Code, err)
	}
}

// Do sends one request with a JSON body (or none) and returns the answer. Headers are given in pairs.
func (a *API) Do(method, path, body string, headers ...string) *Answer {
	a.T.Helper()
	r := httptest.NewRequestWithContext(a.T.Context(), method, "http://localhost"+path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:4711"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	rec := httptest.NewRecorder()
	a.Handler.ServeHTTP(rec, r)
	return &Answer{T: a.T, Status: rec.Code, Header: rec.Header(), Body: strings.TrimSuffix(rec.Body.String(), "\n")}
}

// Answer is the answer to a request.
type Answer struct {
	T      *testing.T
	Status int
	Header http.Header
	Body   string
}

// Want fails the test unless the answer has this status and body.
func (a *Answer) Want(status int, body string) *Answer {
	a.T.Helper()
	if a.Status != status || a.Body != body {
		a.T.Fatalf("answer %d %s\nwant   %d %s", a.Status, a.Body, status, body)
	}
	return a
}

// WantStatus fails the test unless the answer has this status.
func (a *Answer) WantStatus(status int) *Answer {
	a.T.Helper()
	if a.Status != status {
		a.T.Fatalf("status %d %s, want %d", a.Status, a.Body, status)
	}
	return a
}
