//go:build dev

package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// traceHash is a hash over what happened and when.
type traceHash struct{ sum hash.Hash }

func (t *traceHash) add(at time.Duration, what string) {
	if t.sum == nil {
		t.sum = sha256.New()
	}
	_, _ = fmt.Fprintf(t.sum, "%d %s\n", at, what)
}

func (t *traceHash) String() string {
	if t.sum == nil {
		return ""
	}
	return hex.EncodeToString(t.sum.Sum(nil)[:8])
}

// maxAnswer bounds the body of an answer.
const maxAnswer = 4 << 20

// read makes a request and reads the whole answer.
func read(c *http.Client, req *http.Request) (a answer) {
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); a.err == nil {
		a.status, a.header = resp.StatusCode, resp.Header
	}
	return a
}

// samples are the names of samples above 0 in the text format: the metric's alone, and with each of its labels.
func samples(text string) (names []string) {
	for line := range strings.SplitSeq(text, "\n") {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err != nil || v <= 0 {
			continue
		}
		name, labels, _ := strings.Cut(strings.TrimSuffix(line[:at], "}"), "{")
		names = append(names, name)
		for label := range strings.SplitSeq(labels, ",") {
			names = append(names, name+"{"+label+"}")
		}
	}
	return names
}

// metric sums a metric's samples in the text format.
func metric(text, name string) (sum float64, found bool) {
	for line := range strings.SplitSeq(text, "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err == nil {
			sum, found = sum+v, true
		}
	}
	return sum, found
}
