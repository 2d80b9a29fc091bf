package httpapi_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/vault"
)

// hostile are bodies of almost a megabyte that no route takes.
func hostile(open, part, end string) string {
	n := (1<<20 - len(open) - len(part) - len(end)) / (len(part) + 1)
	return open + strings.Repeat(part+",", n) + part + end
}

// A body must not make the process hold much more than its own bytes, whatever it is made of. All that is allocated is
// counted, with the collector off: no less could be held.
func TestHostileBodiesCostTheirSize(t *testing.T) {
	const most = 3 // bytes allocated for a byte of a body; doubling the buffer takes two
	a := apitest.New(t)
	id := create(t, a, person)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for name, c := range map[string]struct{ method, path, body string }{
		"objects in a list":   {"POST", "/v1/vaults/" + id + "/decrypt", hostile(`{"fields":[`, `{"a":1}`, `]}`)},
		"numbers in a list":   {"POST", "/v1/vaults/" + id + "/decrypt", hostile(`{"fields":[`, `1`, `]}`)},
		"keys that are known": {"PATCH", "/v1/vaults/" + id, hostile(`{`, `"email":""`, `}`)},
		"lists in a list":     {"DELETE", "/v1/vaults/" + id, hostile(`{"fields":[`, `[[]]`, `]}`)},
		"a value to create":   {"POST", "/v1/vaults", hostile(`{"email":[`, `{}`, `]}`)},
		"nesting":             {"POST", "/v1/vaults", hostile(`{"email":`, strings.Repeat("[", 100), `}`)},
		"a long reason":       {"POST", "/v1/vaults/" + id + "/decrypt", hostile(`{"fields":[],"reason":"`, `a`, `"}`)},
		"a long key":          {"POST", "/v1/vaults", hostile(`{"`, `a`, `":""}`)},
		"an unknown member":   {"POST", "/v1/vaults/" + id + "/decrypt", hostile(`{"x":"`, `\u0031`, `"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			a.Do(c.method, c.path, c.body).WantStatus(http.StatusUnprocessableEntity)
			per := math.Inf(1) // the least of some, since what runs beside allocates too
			for range 3 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				a.Do(c.method, c.path, c.body).WantStatus(http.StatusUnprocessableEntity)
				runtime.ReadMemStats(&after)
				per = min(per, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(c.body)))
			}
			t.Logf("%.2f bytes for a byte of the body", per)
			if per > most {
				t.Errorf("%.1f bytes are allocated for a byte of the body, at most %d may be", per, most)
			}
		})
	}
}

// held is a body that stops before its end until it is let go.
type held struct {
	io.Reader
	reached chan<- struct{}
	let     <-chan struct{}
	end     io.Reader
	waited  bool
}

func (h *held) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); err == nil {
		return n, nil
	}
	if !h.waited {
		h.waited = true
		h.reached <- struct{}{}
		<-h.let
	}
	return h.end.Read(p)
}

// Bodies come out of one budget: what has no room is refused at once, and room comes back.
func TestBodiesInFlightAreBounded(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, hc *httpapi.Config) { hc.BodyMemory = 256 << 10 })
	reached, let := make(chan struct{}), make(chan struct{})
	first := make(chan int)
	pad := strings.Repeat(" ", 200<<10)
	go func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/v1/vaults",
			&held{Reader: strings.NewReader(person + pad), reached: reached, let: let, end: strings.NewReader(" ")})
		rec := httptest.NewRecorder()
		a.Handler.ServeHTTP(rec, r)
		first <- rec.Code
	}()
	<-reached
	r := a.Do("POST", "/v1/vaults", person+pad).WantStatus(http.StatusServiceUnavailable)
	if !strings.Contains(r.Body, `"code":"overloaded"`) || r.Header.Get("Retry-After") == "" ||
		r.Header.Get("Connection") != "close" {
		t.Errorf("%s %v", r.Body, r.Header)
	}
	close(let)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the request that had room: %d", status)
	}
	for range 4 {
		a.Do("POST", "/v1/vaults", person+pad).WantStatus(http.StatusOK)
	}
}

// unreadable fails the test when it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// A caller without the right, whatever the fields, is told so before a large body is read. A vault's log tells of it.
func TestForbiddenCallersAreNotReadFrom(t *testing.T) {
	reads := auth.Grant{Operations: []string{"read"}, Fields: []string{"*"}}
	all := auth.Grant{Operations: []string{"*"}, Fields: []string{"*"}}
	a := apitest.New(t, func(_ *vault.Config, h *httpapi.Config) {
		h.Authenticators = []httpapi.Authenticator{keyring{
			"r": {Name: "reader", Scope: &reads}, "o": {Name: "owner", Scope: &all},
		}}
	})
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(a.Do("POST", "/v1/vaults", person, "Authorization", "Bearer o").WantStatus(200).Body), &out); err != nil {
		t.Fatal(err)
	}
	one := "/v1/vaults/" + out.ID
	for _, route := range [][2]string{
		{"POST", "/v1/vaults"}, {"PATCH", one}, {"DELETE", one}, {"POST", one + "/decrypt"},
	} {
		for _, size := range []int64{-1, httpapi.MaxBody} {
			r := httptest.NewRequestWithContext(t.Context(), route[0], "http://localhost"+route[1], unreadable{t})
			r.ContentLength = size
			r.Header.Set("Authorization", "Bearer r")
			rec := httptest.NewRecorder()
			a.Handler.ServeHTTP(rec, r)
			if rec.Code != http.StatusForbidden || rec.Header().Get("Connection") != "close" {
				t.Errorf("%v of %d bytes: %d %v", route, size, rec.Code, rec.Header())
			}
		}
	}
	log := a.Do("GET", one+"/audit", "", "Authorization", "Bearer o").WantStatus(200).Body
	for _, event := range []string{"UpdateVault", "DeleteVault", "DecryptVault"} {
		if n := strings.Count(log, `"event":"`+event+`","outcome":"refused","code":"forbidden","principal":"reader"`); n != 1 {
			t.Errorf("%d refusals of %s in %s", n, event, log)
		}
	}
}

func TestBodiesThatWeWouldMisreadAreRefused(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"Content-Encoding", "gzip", 415},
		{"Content-Encoding", "br", 415},
		{"Content-Encoding", "identity, gzip", 415},
		{"Content-Encoding", "", 415},
		{"Content-Encoding", "identity", 200},
		{"Content-Type", "application/json; charset=utf-16", 415},
		{"Content-Type", "application/json; charset=ISO-8859-1", 415},
		{"Content-Type", "application/json; charset", 415},
		{"Content-Type", "text/plain; charset=latin1", 415},
		{"Content-Type", "application/json; charset=UTF-8", 200},
		{"Content-Type", `application/json; charset="utf-8"`, 200},
		{"Content-Type", "application/merge-patch+json", 200},
		{"Content-Type", "", 200},
	} {
		for _, at := range [][2]string{{"POST", "/v1/vaults"}, {"PATCH", "/v1/vaults/" + id}, {"DELETE", "/v1/vaults/" + id}} {
			if got := a.Do(at[0], at[1], `{}`, c.header, c.value); got.Status != c.status {
				t.Errorf("%s with %s: %s: %d %s", at[0], c.header, c.value, got.Status, got.Body)
			}
		}
	}
}
