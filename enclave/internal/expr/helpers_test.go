package expr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// noon is the time at which tests run.
var noon = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

// testMAC has the bytes 0 to 31 as its key.
type testMAC struct{}

func (testMAC) HMACSHA256(dst, message []byte) ([]byte, error) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	h := hmac.New(sha256.New, key)
	if _, err := h.Write(message); err != nil {
		return nil, err
	}
	return h.Sum(dst), nil
}

// noKey is a MAC whose key is not there at the moment.
type noKey struct{}

func (noKey) HMACSHA256([]byte, []byte) ([]byte, error) { return nil, errors.New("no key") }

// brokenMAC panics.
type brokenMAC struct{}

func (brokenMAC) HMACSHA256(_, message []byte) ([]byte, error) { panic(string(message)) }

func newTest(t testing.TB, cfg Config) *Evaluator {
	t.Helper()
	if cfg.MAC == nil {
		cfg.MAC = testMAC{}
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fieldsOf makes fields in the order of pairs: name, value, ... A nil value is null.
func fieldsOf(pairs ...any) []Field {
	var fields []Field
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		value, ok := pairs[i+1].(string)
		fields = append(fields, Field{Name: []byte(name), Value: []byte(value), Null: !ok})
	}
	return fields
}

// exprsOf makes expressions in the order of pairs: name, source, ...
func exprsOf(pairs ...string) []Expression {
	var exprs []Expression
	for i := 0; i < len(pairs); i += 2 {
		exprs = append(exprs, Expression{Name: []byte(pairs[i]), Source: []byte(pairs[i+1])})
	}
	return exprs
}

// render shows a result: JSON of the value, or the kind of the error.
func render(t testing.TB, out []byte, r Result) string {
	t.Helper()
	if r.Err != KindNone {
		if r.Kind != Absent || r.Start != r.End {
			t.Errorf("failed expression has a value")
		}
		return "error: " + r.Err.String()
	}
	value := out[r.Start:r.End]
	switch r.Kind {
	case String:
		quoted, err := json.Marshal(string(value))
		if err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted))
	case JSON:
		if !json.Valid(value) {
			t.Errorf("result is not JSON: %s", value)
		}
		return string(value)
	default:
		t.Errorf("expression has neither value nor error")
		return ""
	}
}

// evalAll evaluates exprs and renders each result.
func evalAll(t testing.TB, e *Evaluator, fields []Field, exprs []Expression) []string {
	t.Helper()
	p, err := e.Prepare(fields, exprs)
	if err != nil {
		t.Fatal(err)
	}
	out, results := p.Eval(fields, time.Time{}, nil, nil)
	if len(results) != len(exprs) {
		t.Fatalf("%d results for %d expressions", len(results), len(exprs))
	}
	shown := make([]string, len(results))
	for i, r := range results {
		shown[i] = render(t, out, r)
	}
	return shown
}

// eval1 evaluates one expression named "result".
func eval1(t testing.TB, e *Evaluator, fields []Field, source string) string {
	t.Helper()
	return evalAll(t, e, fields, exprsOf("result", source))[0]
}

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
