package expr

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// sentinel is a text that must be nowhere but in results that show it.
const sentinel = "S3NT1NEL-4711-Zw"

// TestErrorsShowNothing (SECURITY.md, check 22): for every example and every hostile source over fields that hold a sentinel, a
// failed expression leaves no byte of it, neither in the output nor in the spare capacity behind it.
func TestErrorsShowNothing(t *testing.T) {
	e := newTest(t, Config{MAC: testMAC{}})
	var sources []string
	for _, file := range []string{"testdata/reference.json", "testdata/differences.json"} {
		for _, x := range loadExamples(t, file) {
			sources = append(sources, x.Expression)
		}
	}
	files, err := filepath.Glob("testdata/hostile/*.cel")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, strings.TrimSuffix(string(data), "\n"))
	}
	sources = append(sources, "1 + name", "name + 1", "name.date()", "{'a':1}[name]", "{'a':1}.b + name", "int(name)",
		"[name, name].map(x, int(x))", "[name, 0.0/0.0]", "{name: name, 'x': 0.0/0.0}", "duration(name)",
		"{name: 1, 1: 0.0/0.0}", "timestamp(name)", "name.hex_decode()", "[name][0] - 1", "name < 1", "name.map(x, x)",
		"name.first(1/0)")
	fields := fieldsOf("name", sentinel, "email", sentinel, "dob", sentinel, "birth_date", sentinel, "ssn9", sentinel)
	for _, source := range sources {
		out, results := evalRaw(t, e, fields, exprsOf("result", source))
		if results[0].Err == KindNone {
			continue
		}
		if bytes.Contains(out[:cap(out)], []byte(sentinel[:6])) {
			t.Errorf("%.60s (%v): leaves the value behind", source, results[0].Err)
		}
		if text := fmt.Sprintf("%v %s %+v", results[0], results[0].Err.Text(), results[0]); strings.Contains(text, sentinel[:6]) {
			t.Errorf("%.60s: shows the value", source)
		}
	}
}

// TestGrowthLeavesNothing: when the output outgrows the caller's buffer, that buffer holds no value afterwards.
func TestGrowthLeavesNothing(t *testing.T) {
	e := newTest(t, Config{})
	fields := fieldsOf("name", sentinel)
	p, err := e.Prepare(fields, exprsOf("a", "name", "b", "name + name", "c", "[name, name]"))
	if err != nil {
		t.Fatal(err)
	}
	small := make([]byte, 0, 20)
	out, results := p.Eval(fields, time.Time{}, small, nil)
	if results[2].Err != KindNone || !bytes.Contains(out, []byte(sentinel)) {
		t.Fatalf("%s %v", out, results)
	}
	if bytes.Contains(small[:cap(small)], []byte(sentinel[:3])) {
		t.Error("the outgrown buffer holds the value")
	}
}

// TestConcurrentRequestsKeepTheirValues (SECURITY.md, check 23): goroutines that share plans, programs and work spaces each get their
// own values, and errors for their own failures only.
func TestConcurrentRequestsKeepTheirValues(t *testing.T) {
	e := newTest(t, Config{Limits: Limits{Cache: 64 << 10}, Now: time.Now})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			out, results := make([]byte, 0, 256), make([]Result, 0, 8)
			for i := range 500 {
				id := fmt.Sprintf("%d-%d", g, i)
				fields := fieldsOf("id", id, "n", nil, "bad", "x"+id)
				exprs := exprsOf("up", "low + '!'", "low", "id.to_lowercase()", "fails", "n.sha256()", "loop",
					"[id, low].map(x, x + up)", "wrong", "date(bad)", "not", "!id", fmt.Sprintf("own%d", i%50), "id")
				p, err := e.Prepare(fields, exprs)
				if err != nil {
					t.Error(err)
					return
				}
				out, results = p.Eval(fields, time.Now().Add(time.Minute), out[:0], results[:0])
				want := []string{id + "!", id, "", fmt.Sprintf(`["%s%s!","%s%s!"]`, id, id, id, id), "", "", id}
				for j, r := range results {
					if got := string(out[r.Start:r.End]); got != want[j] || (want[j] == "") != (r.Err != KindNone) {
						t.Errorf("%s: %q is %q (%v), want %q", id, exprs[j].Name, got, r.Err, want[j])
					}
				}
				clear(out[:cap(out)])
			}
		})
	}
	wg.Wait()
}
