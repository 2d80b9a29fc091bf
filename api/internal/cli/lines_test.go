package cli

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
)

// listening serves the API of a test as serve does, and dials it.
type listening struct {
	addr  string
	roots *tls.Config // nil for plain HTTP
}

func listenFor(t *testing.T, encrypted bool, timeout time.Duration) *listening {
	t.Helper()
	l := &listening{}
	var config *tls.Config
	if encrypted {
		own := httptest.NewTLSServer(nil) // for its certificate
		own.Close()
		config = &tls.Config{Certificates: own.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS13}
		pool := x509.NewCertPool()
		pool.AddCert(own.Certificate())
		l.roots = &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS13}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = ln.Addr().String()
	handler := apitest.New(t).Handler
	s := server(handler)
	if timeout > 0 {
		s.ReadTimeout = timeout
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(strict(ln, config)) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return l
}

func (l *listening) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	if l.roots != nil {
		c = tls.Client(c, l.roots)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// answers are the statuses of what comes back for text, sent after a first request was answered, if after is set.
func (l *listening) answer(t *testing.T, after bool, text string) (status int, body string) {
	t.Helper()
	c := l.dial(t)
	defer c.Close()
	br := bufio.NewReader(c)
	read := func() (int, string) {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if after {
		_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if status, _ := read(); status != http.StatusOK {
			t.Fatalf("first request: %d", status)
		}
	}
	_, _ = io.WriteString(c, text)
	return read()
}

const (
	getHealth = "GET /health HTTP/1.1\r\nHost: localhost\r\n"
	postVault = "POST /v1/vaults HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)

func TestWhatTwoParsersCouldReadDifferentlyIsABadRequest(t *testing.T) {
	const chunked = postVault + "Transfer-Encoding: chunked\r\n\r\n"
	for _, encrypted := range []bool{false, true} {
		l := listenFor(t, encrypted, 0)
		for name, text := range map[string]string{
			"bare LF ends the request line": "GET /health HTTP/1.1\nHost: localhost\r\n\r\n",
			"bare LF ends a field":          getHealth + "X: y\n\r\n",
			"bare LF everywhere":            "GET /health HTTP/1.1\nHost: localhost\n\n",
			"bare CR in a value":            getHealth + "X: a\rY: b\r\n\r\n",
			"CR CR LF":                      getHealth + "X: a\r\r\n\r\n",
			"folded":                        getHealth + "X: a\r\n b\r\n\r\n",
			"space before the colon":        getHealth + "X : y\r\n\r\n",
			"space in a name":               getHealth + "X Y: z\r\n\r\n",
			"NUL in a value":                getHealth + "X: a\x00b\r\n\r\n",
			"control in a value":            getHealth + "X: a\x01b\r\n\r\n",
			"version 9.9":                   "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
			"version 1.2":                   "GET /health HTTP/1.2\r\nHost: localhost\r\n\r\n",
			"two spaces":                    "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"space in the target":           "GET /he alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"two Hosts":                     getHealth + "Host: localhost\r\n\r\n",
			"no Host":                       "GET /health HTTP/1.1\r\n\r\n",
			"two equal lengths":             postVault + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
			"signed length":                 postVault + "Content-Length: +2\r\n\r\n{}",
			"length and coding":             postVault + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			"identity":                      postVault + "Transfer-Encoding: identity\r\n\r\n",
			"xchunked":                      postVault + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
			"coding in HTTP/1.0":            "POST /v1/vaults HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"chunk size no number":          chunked + "zz\r\n",
			"bare LF after the chunk size":  chunked + "2\n{}\r\n0\r\n\r\n",
			"space after the chunk size":    chunked + "2 \r\n{}\r\n0\r\n\r\n",
			"length as a trailer":           chunked + "2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
		} {
			for _, after := range []bool{false, true} {
				if got, _ := l.answer(t, after, text); got != http.StatusBadRequest {
					t.Errorf("%s, tls %t, as a later request %t: %d", name, encrypted, after, got)
				}
			}
		}
		if got, _ := l.answer(t, true, "GET /health HTTP/1.0\r\n\r\n"); got != http.StatusForbidden { // names no host
			t.Errorf("HTTP/1.0: %d", got)
		}
		if got, body := l.answer(t, true, chunked+"2;a\r\n{}\r\n0\r\nX: y\r\n\r\n"); got != http.StatusOK {
			t.Errorf("chunked: %d %s", got, body)
		}
	}
}

func TestPathsAreMatchedAsTheyWereSent(t *testing.T) {
	l := listenFor(t, false, 0)
	_, body := l.answer(t, false, postVault+"Content-Length: 2\r\n\r\n{}")
	_, id, _ := strings.Cut(body, `"id":"`)
	if id, _, _ = strings.Cut(id, `"`); id == "" {
		t.Fatal(body)
	}
	for target, want := range map[string]int{
		"/v1/vaults/" + id: 200, "/vaults/" + id + "/": 200, "http://localhost/v1/vaults/" + id + "/audit": 200,
		"/v1/vaults/" + id + "%2Faudit": 404, "/v1/vaults/" + id + "%2faudit": 404, "/v1/vaults%2F" + id: 404, "/v1/%76aults/" + id: 404,
		"//v1/vaults/" + id: 404, "/v1//vaults/" + id: 404, "/v1/./vaults/" + id: 404, "/x/../v1/vaults/" + id: 404,
		"/v1/vaults/" + id + "/.": 404, "/v1/vaults/" + id + ";a=b": 404, "/v1/vaults/" + id + "/../" + id: 404, "/V1/vaults/" + id: 404,
		"/v1/vaults/" + id + "/audit%3Flimit=1": 404, "/v1/vaults/" + strings.Replace(id, "v_", "v%5F", 1): 404, "/%68ealth": 404,
		"//health": 404, "/health": 200,
	} {
		if got, body := l.answer(t, false, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target)); got != want {
			t.Errorf("%s: %d %s, want %d", target, got, body, want)
		}
	}
}

// TestARefusedBodyIsNotAskedForNorWaitedFor: no 100 Continue comes before the answer, which the header alone decides.
func TestARefusedBodyIsNotAskedForNorWaitedFor(t *testing.T) {
	l := listenFor(t, false, 0)
	for text, want := range map[string]int{
		postVault + "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n":                           413,
		postVault + "Content-Length: 1048577\r\n\r\n":                                                   413,
		postVault + "Content-Length: 99999999999\r\n\r\n{":                                              413,
		"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n":                        404,
		"POST /v1/vaults HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5\r\n\r\n":                   403,
		"POST /v1/vaults HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n": 415,
		postVault + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n":                                 100,
	} {
		began := time.Now()
		if got, body := l.answer(t, false, text); got != want || time.Since(began) > 10*time.Second {
			t.Errorf("%q: %d %s after %v, want %d", text, got, body, time.Since(began), want)
		}
	}
}

func TestABodyThatDoesNotComeIsATimeout(t *testing.T) {
	l := listenFor(t, false, 200*time.Millisecond)
	for _, text := range []string{"Content-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{"} {
		if got, body := l.answer(t, false, postVault+text); got != http.StatusRequestTimeout || !strings.Contains(body, "request_timeout") {
			t.Errorf("%q: %d %s", text, got, body)
		}
	}
}

func TestHTTP2IsStillServed(t *testing.T) {
	l := listenFor(t, true, 0)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: l.roots, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + l.addr + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("%d over %s", resp.StatusCode, resp.Proto)
	}
}
