package h1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"redoubt/wire/kit/h1"
)

const (
	get  = "GET /health HTTP/1.1\r\nHost: x\r\n"
	post = "POST /decrypt HTTP/1.1\r\nHost: x\r\n"
)

// passed are requests that have one reading; refused those of which two parsers could make different ones, each with
// what may be passed on before it.
var passed = []string{
	get + "\r\n",
	get + "\r\n" + get + "\r\n",
	"\r\n" + get + "\r\n",
	"GET /health HTTP/1.0\r\n\r\n",
	"GET http://x/health?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /v1/vaults/x?fields=" + strings.Repeat("%F4%8F%BF%BF", 1024) + " HTTP/1.1\r\nHost: x\r\n\r\n", // the longest
	"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	"get /health HTTP/1.1\r\nhost: x\r\n\r\n", // a method of its own, as RFC 9110 has it: the routes know none such
	get + "X:\r\nY: a \t b\t\r\nZ: \xc3\xa9\r\n\r\n",
	post + "Content-Length: 5\r\n\r\na\nb\rc" + get + "\r\n",
	post + "content-length:\t0 \r\n\r\n" + get + "\r\n",
	post + "Transfer-Encoding: chunked\r\n\r\n5\r\na\nb\rc\r\n0\r\n\r\n" + get + "\r\n",
	post + "transfer-encoding: Chunked\r\n\r\n0000000A;a=\"b\"\r\n0123456789\r\n00\r\nX: y\r\n\r\n" + get + "\r\n",
	get + "X: " + strings.Repeat("y", 20<<10) + "\r\n\r\n" + get + "\r\n",
	"GET /" + strings.Repeat("y", 8000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
}

var refused = []string{
	"GET /health HTTP/1.1\nHost: x\r\n\r\n", "\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n" + get + "\r\n",
	get + "X: y\n\r\n", get + "X: y\n\n", get + "\n", "GET /health HTTP/1.1\r\nHost: x\n\r\n",
	get + "X: y\r\r\n\r\n", get + "X: a\rb: c\r\n\r\n", get + "X: a\r b\r\n\r\n", "GET /he\ralth HTTP/1.1\r\nHost: x\r\n\r\n",
	get + "X: a\r\n b\r\n\r\n", get + "X: a\r\n\tb\r\n\r\n", "GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
	get + "X : y\r\n\r\n", get + " : y\r\n\r\n", get + ": y\r\n\r\n", get + "X Y: z\r\n\r\n", get + "X\r\n\r\n", get + "X\x00: y\r\n\r\n",
	get + "(X): y\r\n\r\n", get + "Ä: y\r\n\r\n",
	"GET /health HTTP/9.9\r\nHost: x\r\n\r\n", "GET /health HTTP/2.0\r\nHost: x\r\n\r\n", "GET /health HTTP/1.2\r\nHost: x\r\n\r\n",
	"GET /health http/1.1\r\nHost: x\r\n\r\n", "GET /health HTTP/1.1 \r\nHost: x\r\n\r\n", "GET /health HTTP/01.1\r\nHost: x\r\n\r\n",
	"GET /health\r\nHost: x\r\n\r\n", "GET /health \r\nHost: x\r\n\r\n", "GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /health  HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", " GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET\t/health HTTP/1.1\r\nHost: x\r\n\r\n", "G(T /health HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00", "NONSENSE\r\n\r\n",
	"GET /" + strings.Repeat("y", 17_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
	post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", post + "Content-Length: 1, 1\r\n\r\na", post + "Content-Length: -1\r\n\r\n",
	post + "Content-Length: +1\r\n\r\na", post + "Content-Length: 0x1\r\n\r\na", post + "Content-Length:\r\n\r\n",
	post + "Content-Length: 1_0\r\n\r\na", post + "Content-Length: 9999999999999999999\r\n\r\n",
	post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", post + "Transfer-Encoding: identity\r\n\r\n",
	post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	post + "Transfer-Encoding:\r\n\r\n", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	chunks("zz\r\n"), chunks("-1\r\na\r\n"), chunks("\r\n"), chunks("0x1\r\na\r\n"), chunks("1 \r\na\r\n0\r\n\r\n"), chunks(" 1\r\na\r\n0\r\n\r\n"),
	chunks("1\na\r\n0\r\n\r\n"), chunks("1\r\na\n0\r\n\r\n"), chunks("1\r\nab\r\n0\r\n\r\n"), chunks("1\r\na0\r\n\r\n"),
	chunks("1;a\nb\r\na\r\n0\r\n\r\n"), chunks("1;a\rb\r\na\r\n0\r\n\r\n"), chunks("1;" + strings.Repeat("a", 300) + "\r\na\r\n0\r\n\r\n"),
	chunks("000000001\r\na\r\n0\r\n\r\n"), chunks("FFFFFFFFFFFFFFFF1\r\na\r\n"), chunks("0\r\nX: y\n\r\n"), chunks("0\r\n X: y\r\n\r\n"),
	chunks("0\r\nContent-Length: 5\r\n\r\n"), chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n"), chunks("0\r\nX : y\r\n\r\n"),
	get + "X: " + strings.Repeat("y", 20<<10) + "\n\r\n", get + "X: " + strings.Repeat("y", 20<<10) + "\r\r\n\r\n",
	get + "X: " + strings.Repeat("y", 10<<10) + "\ry\r\n\r\n",
	get + "Content-Length: " + strings.Repeat(" ", 20<<10) + "1\r\n\r\na",
	get + strings.Repeat("y", 20<<10) + ": y\r\n\r\n",
}

func chunks(text string) string { return post + "Transfer-Encoding: chunked\r\n\r\n" + text }

// scan gives text to a Scanner in pieces of n bytes and returns what was passed on, without what fills up a refused
// request line.
func scan(text []byte, n int) (got []byte, err error) {
	var s h1.Scanner
	buf := make([]byte, n)
	for {
		var k int
		if s.Refused() {
			k, err = s.Rest(buf)
		} else {
			k = copy(buf, text)
			text = text[k:]
			k, err = s.Filter(buf, k, nil)
		}
		got = append(got, buf[:k]...)
		if err != nil || len(text) == 0 && !s.Refused() {
			return bytes.TrimSuffix(got, []byte("XXXX")), err
		}
	}
}

var pieces = []int{1, 2, 3, 7, 100, 4096, 1 << 20}

func TestRequestsThatHaveOneReadingPass(t *testing.T) {
	for _, text := range passed {
		for _, n := range pieces {
			if got, err := scan([]byte(text), n); err != nil || string(got) != text {
				t.Errorf("%.100q in pieces of %d: %v after %.100q", text, n, err, got)
			}
		}
	}
}

func TestRequestsThatTwoParsersCouldReadDifferentlyAreRefused(t *testing.T) {
	for _, text := range refused {
		for _, n := range pieces {
			got, err := scan([]byte(text), n)
			if !errors.Is(err, h1.ErrMalformed) || !strings.HasPrefix(text, string(got)) || len(got) == len(text) {
				t.Errorf("%.100q in pieces of %d: %v", text, n, err)
			}
		}
	}
}

// TestNothingThatEndsAHeaderIsPassedOnAfterWhatIsRefused: a server must not find a whole request in what it was given.
func TestNothingThatEndsAHeaderIsPassedOnAfterWhatIsRefused(t *testing.T) {
	for _, text := range refused {
		if strings.Contains(text, "chunked") {
			continue // the header is passed on, the body is cut
		}
		for _, n := range pieces {
			got, err := scan([]byte(text), n)
			if err != nil && (bytes.Contains(got, []byte("\r\n\r\n")) && text[:4] != "\r\n\r\n" || bytes.Contains(got, []byte("\n\n"))) {
				t.Errorf("%.100q in pieces of %d: %.100q is passed on", text, n, got)
			}
		}
	}
}

func TestScanningAllocatesNothing(t *testing.T) {
	request := []byte(post + "Content-Type: application/json\r\nAuthorization: Bearer key\r\nContent-Length: 5\r\n\r\n12345")
	var s h1.Scanner
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Filter(request, len(request), nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScan(b *testing.B) {
	request := []byte(post + "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n" + strings.Repeat("x", 500))
	var s h1.Scanner
	for b.Loop() {
		_, _ = s.Filter(request, len(request), nil)
	}
}

// FuzzScan: the verdict does not depend on how the bytes come, and what passes as a whole request net/http reads with
// the same end.
func FuzzScan(f *testing.F) {
	for _, text := range append(passed, refused...) {
		f.Add([]byte(text), uint16(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, n uint16) {
		whole, err := scan(bytes.Clone(text), len(text)+1)
		parts, perr := scan(bytes.Clone(text), int(n)+1)
		if (err == nil) != (perr == nil) {
			t.Fatalf("%v, in pieces of %d %v", err, n+1, perr)
		}
		_, _ = whole, parts
		if err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(text))
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return // incomplete, or net/http asks for more than we do
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			used := len(text) - br.Buffered()
			var s h1.Scanner
			if _, err := s.Filter(bytes.Clone(text[:used]), used, nil); err != nil || !s.Between() {
				t.Fatalf("net/http ends a request at %d, we do not", used)
			}
		}
	})
}
