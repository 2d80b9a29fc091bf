package expr

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// seeds adds all expressions of testdata to a fuzzer's corpus.
func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/hostile/*.cel")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 1000 {
			f.Add(string(data))
		}
	}
	for _, s := range []string{
		"name.to_uppercase() + email", "[1, 2].map(x, x * 2)", "{'a': name}['a'].mask()", "date(dob).age() > 18u",
		"name == note ? name : email", "max(1, 2u, 3.0)", "'x' in name", "b'\\xff'.string()", "duration('1h') + timestamp('2020-01-01T00:00:00Z')",
	} {
		f.Add(s)
	}
}

// FuzzCompile compiles any text: cel-go does not panic, and it ends soon (0.5 ms for 1 KiB; the bound is for a busy
// machine).
func FuzzCompile(f *testing.F) {
	seeds(f)
	e := newTest(f, Config{})
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		p := e.program([]byte(source))
		if took := time.Since(start); took > soon {
			t.Errorf("took %v", took)
		}
		if (p.prog == nil) == (p.err == KindNone) {
			t.Errorf("neither a program nor an error: %v", p.err)
		}
		if p.err == KindInternal {
			t.Error("cel-go panicked")
		}
	})
}

// FuzzEval evaluates any text over fields that hold a sentinel: a result or an error entry, within the limits, and never a
// value beside an error.
func FuzzEval(f *testing.F) {
	seeds(f)
	e := newTest(f, Config{})
	fields := fieldsOf("name", sentinel, "email", sentinel, "dob", "1979-04-05", "note", nil)
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		out, results := evalRaw(t, e, fields, exprsOf("result", source, "name", "name.redact()", "uses", "result == 1"))
		if took := time.Since(start); took > soon {
			t.Errorf("took %v", took)
		}
		for _, r := range results {
			if r.Err == KindInternal {
				t.Error("cel-go panicked")
			}
			if len(out) > e.limits.RequestOutput {
				t.Errorf("%d bytes", len(out))
			}
			render(t, out, r)
		}
		if results[0].Err != KindNone && bytes.Contains(out[:cap(out)], []byte(sentinel[:6])) {
			t.Errorf("an error (%v) leaves the value", results[0].Err)
		}
		if name := results[1]; string(out[name.Start:name.End]) != Redacted {
			t.Errorf("the next expression: %v", name)
		}
	})
}

// FuzzDate: any text is a date that reads back, or an error.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"1979-04-05", "1979-4-5", "+1-1-1", "-0-1-1", " 1979- 04-\t05", "99999999999999999999-1-1", "2023-02-30"} {
		f.Add(s)
	}
	e := newTest(f, Config{})
	f.Fuzz(func(t *testing.T, s string) {
		fields := fieldsOf("s", s)
		got := eval1(t, e, fields, "s.date()")
		if got == "error: input" {
			return
		}
		if again := eval1(t, e, fields, "string(s.date()).first(10).date() == s.date()"); again != "true" {
			t.Errorf("%q: %s, %s", s, got, again)
		}
	})
}
