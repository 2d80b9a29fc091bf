package front_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
)

// TestPathsAreMatchedAsTheyWereSent: a firewall's rule for a path covers whatever reaches the route.
func TestPathsAreMatchedAsTheyWereSent(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for target, want := range map[string]string{
		"/decrypt": "200", "/decrypt?x=y": "200", "/v1/decrypt": "200", "http://x/decrypt": "200", "HTTP://x:1/v1/decrypt?y": "200",
		"//decrypt": "404", "/%64ecrypt": "404", "/./decrypt": "404", "/x/../decrypt": "404", "/x/../v1/decrypt": "404",
		"/v1//decrypt": "404", "/v1%2Fdecrypt": "404", "/v1/%64ecrypt": "404", "/decrypt/": "404", "/decrypt;a=b": "404",
		"/decrypt%3Fx": "404", "/DECRYPT": "404", "http://x//decrypt": "404", "http://x/%64ecrypt": "404", "/decrypt%00": "404",
		"/\\decrypt": "404", "/decrypt#x": "400", "decrypt": "400", "x:decrypt": "400",
	} {
		body := encode(doc(nil))
		got := s.raw(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", target, len(body), body))
		if !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") {
			t.Errorf("%s: %.60q, want %s", target, got, want)
		}
	}
	for _, target := range []string{"//health", "/%68ealth", "/./ready", "/x/../enclaves"} {
		if got := s.raw(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
			t.Errorf("%s: %.60q", target, got)
		}
	}
}

// TestWhatTwoParsersCouldReadDifferentlyIsABadRequest sends each form as a connection's first request and as a later
// one, and as one piece and byte by byte.
func TestWhatTwoParsersCouldReadDifferentlyIsABadRequest(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	const (
		get  = "GET /health HTTP/1.1\r\nHost: x\r\n"
		post = "POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	)
	chunked := post + "Transfer-Encoding: chunked\r\n\r\n"
	for name, text := range map[string]string{
		"bare LF ends the request line": "GET /health HTTP/1.1\nHost: x\r\n\r\n",
		"bare LF ends a field":          get + "X: y\n\r\n",
		"bare LF ends the header":       get + "\n",
		"bare LF everywhere":            "GET /health HTTP/1.1\nHost: x\n\n",
		"bare CR in a value":            get + "X: a\rY: b\r\n\r\n",
		"CR CR LF":                      get + "X: a\r\r\n\r\n",
		"folded":                        get + "X: a\r\n b\r\n\r\n",
		"folded by a tab":               get + "X: a\r\n\tb\r\n\r\n",
		"space before the first field":  "GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
		"space before the colon":        get + "X : y\r\n\r\n",
		"space in a name":               get + "X Y: z\r\n\r\n",
		"no name":                       get + ": y\r\n\r\n",
		"no colon":                      get + "X\r\n\r\n",
		"NUL in a name":                 get + "X\x00: y\r\n\r\n",
		"NUL in a value":                get + "X: a\x00b\r\n\r\n",
		"control in a value":            get + "X: a\x01b\r\n\r\n",
		"version 9.9":                   "GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
		"version 2.0":                   "GET /health HTTP/2.0\r\nHost: x\r\n\r\n",
		"version 1.2":                   "GET /health HTTP/1.2\r\nHost: x\r\n\r\n",
		"version in lower case":         "GET /health http/1.1\r\nHost: x\r\n\r\n",
		"no version":                    "GET /health\r\nHost: x\r\n\r\n",
		"two spaces":                    "GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
		"space in the target":           "GET /he alth HTTP/1.1\r\nHost: x\r\n\r\n",
		"tab for a space":               "GET\t/health HTTP/1.1\r\nHost: x\r\n\r\n",
		"trailing space":                "GET /health HTTP/1.1 \r\nHost: x\r\n\r\n",
		"two Hosts":                     get + "Host: x\r\n\r\n",
		"no Host":                       "GET /health HTTP/1.1\r\n\r\n",
		"two equal lengths":             post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"two lengths":                   post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"list of lengths":               post + "Content-Length: 2, 2\r\n\r\n{}",
		"signed length":                 post + "Content-Length: +2\r\n\r\n{}",
		"length too long":               post + "Content-Length: 99999999999999999999\r\n\r\n{}",
		"length and coding":             post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding and length":             post + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
		"identity":                      post + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
		"identity alone":                post + "Transfer-Encoding: identity\r\n\r\n",
		"xchunked":                      post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two codings":                   post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"coding in HTTP/1.0":            "POST /decrypt HTTP/1.0\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunk size no number":          chunked + "zz\r\n",
		"chunk size too long":           chunked + "0000000000000000000001\r\na\r\n0\r\n\r\n",
		"chunk size with 0x":            chunked + "0x1\r\na\r\n0\r\n\r\n",
		"space after the chunk size":    chunked + "2 \r\n{}\r\n0\r\n\r\n",
		"bare LF after the chunk size":  chunked + "2\n{}\r\n0\r\n\r\n",
		"bare LF after the chunk":       chunked + "2\r\n{}\n0\r\n\r\n",
		"bare LF in an extension":       chunked + "2;a\nb\r\n{}\r\n0\r\n\r\n",
		"extension without end":         chunked + "2;" + strings.Repeat("a", 4096) + "\r\n{}\r\n0\r\n\r\n",
	} {
		for _, before := range []string{"", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"} {
			for _, slowly := range []bool{false, true} {
				if got := s.answerTo(t, before, text, slowly); got != http.StatusBadRequest {
					t.Errorf("%s, after %q, slowly %t: %d", name, before, slowly, got)
				}
			}
		}
	}
	for name, text := range map[string]string{
		"HTTP/1.0":             "GET /health HTTP/1.0\r\n\r\n",
		"empty value":          get + "X:\r\n\r\n",
		"white space to trim":  get + "X: \t y \t\r\n\r\n",
		"empty line before":    "\r\n" + get + "\r\n",
		"a chunk's extension":  chunked + "1d;a=\"b\"\r\n" + strings.Repeat(" ", 29) + "\r\n0\r\nX: y\r\n\r\n",
		"LF and CR in a body":  post + "Content-Length: 4\r\n\r\n\n\r\n\n",
		"method in lower case": "get /health HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		want := map[string]int{"a chunk's extension": 400, "LF and CR in a body": 400, "method in lower case": 405}[name]
		if want == 0 {
			want = 200
		}
		// The next request is answered: the connection is still in step.
		if got := s.answerTo(t, text, get+"\r\n", false); got != http.StatusOK && name != "HTTP/1.0" {
			t.Errorf("%s: next request %d", name, got)
		}
		if got := s.answerTo(t, "", text, true); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestNothingIsReadAfterATrailerThatIsRefused: fasthttp has the whole body by then, and answers it.
func TestNothingIsReadAfterATrailerThatIsRefused(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	for _, trailer := range []string{"Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "X: a\n\r\n", " X: a\r\n\r\n"} {
		got := s.raw(t, "POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"2\r\n{}\r\n0\r\n"+trailer+"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
		if strings.Count(got, "HTTP/1.1 ") != 1 || strings.Contains(got, "200 OK") {
			t.Errorf("%q: %q", trailer, got)
		}
	}
}

// answerTo is the status of the answer to text, sent on a connection after before was answered.
func (s *stack) answerTo(t *testing.T, before, text string, slowly bool) int {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	br := bufio.NewReader(c)
	read := func() int {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if before != "" {
		_, _ = io.WriteString(c, before)
		read()
	}
	if !slowly {
		_, _ = io.WriteString(c, text)
		return read()
	}
	for i := range len(text) {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			break
		}
	}
	return read()
}

// TestARefusedBodyIsNotAskedForNorWaitedFor: the header alone tells that it will be refused.
func TestARefusedBodyIsNotAskedForNorWaitedFor(t *testing.T) {
	s := startStack(t, options(), fakeenclave.Echo)
	const json = "Content-Type: application/json\r\n"
	for text, want := range map[string]string{
		"POST /decrypt HTTP/1.1\r\nHost: x\r\n" + json + "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n":           "413",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\n" + json + "Content-Length: 1048577\r\n\r\n":                                   "413",
		"POST /decrypt HTTP/1.0\r\n" + json + "Content-Length: 1048577\r\n\r\n":                                              "413",
		"POST /v1/decrypt HTTP/1.1\r\nHost: x\r\n" + json + "Content-Length: 999999999999\r\n\r\n{":                          "413",
		"POST /v1/decrypt/batch HTTP/1.1\r\nHost: x\r\n" + json + "Content-Length: 8388609\r\n\r\n":                          "413",
		"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n":                                               "404",
		"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n":                             "404",
		"POST /decrypt HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n": "415",
	} {
		if got := s.answerTo(t, "", text, false); fmt.Sprint(got) != want {
			t.Errorf("%q: %d, want %s", text, got, want)
		}
	}
	if got := s.answerTo(t, "", "POST /v1/decrypt/batch HTTP/1.1\r\nHost: x\r\n"+json+"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n",
		false); got != http.StatusContinue {
		t.Errorf("a batch of 1 MiB: %d", got)
	}
	got := s.raw(t, "POST /v1/decrypt HTTP/1.1\r\nHost: x\r\n"+json+"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n")
	if !strings.Contains(got, "application/problem+json") || !strings.Contains(got, "body is too large") || !strings.Contains(got, "Connection: close") {
		t.Errorf("%q", got)
	}
}
