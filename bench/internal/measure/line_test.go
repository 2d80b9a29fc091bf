package measure

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

func goals(t *testing.T, texts ...string) []Goal {
	t.Helper()
	out := make([]Goal, len(texts))
	for i, s := range texts {
		if err := out[i].UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestJSONGoesToStandardOutputAlone(t *testing.T) {
	var stdout, stderr bytes.Buffer
	s := NewSink(&stdout, &stderr, true, nil)
	s.Progress("one of %d", 2)
	s.Add(Value("a/p50", 12.5, "us", 3))
	s.Add(Ratio("a/ratio", 13, 4, "b", AtLeast(12)))
	s.Add(Ratio("a/missed", 11, 4, "b", AtLeast(12)))
	s.Add(Value("a/unmeasured", math.NaN(), "us", 0))
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	want := `{"name":"a/p50","value":12.5,"unit":"us","n":3,"ratio":null,"against":null,"target":null,"holds":null}
{"name":"a/ratio","value":13,"unit":"x","n":4,"ratio":13,"against":"b","target":">= 12","holds":true}
{"name":"a/missed","value":11,"unit":"x","n":4,"ratio":11,"against":"b","target":">= 12","holds":false}
`
	if stdout.String() != want {
		t.Errorf("standard output:\n%swant:\n%s", stdout.String(), want)
	}
	for _, part := range []string{"one of 2", "MISSED", "12.5 us"} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("standard error lacks %q:\n%s", part, stderr.String())
		}
	}
	lines, err := Read(&stdout)
	if err != nil || len(lines) != 3 || *lines[1].Target != *AtLeast(12) || !*lines[1].Holds || *lines[2].Holds {
		t.Errorf("read back: %v %v", lines, err)
	}
}

func TestTablesGoToStandardOutputWithoutJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	s := NewSink(&stdout, &stderr, false, nil)
	s.Add(Value("a/rate", 1234.5, "req/s", 3))
	if err := s.Finish(); err != nil || !strings.Contains(stdout.String(), "1234 req/s") && !strings.Contains(stdout.String(), "1235 req/s") {
		t.Errorf("%v %q", err, stdout.String())
	}
}

func TestGoals(t *testing.T) {
	for _, c := range []struct {
		goal string
		want error
	}{
		{"p99=5ms", nil},
		{"p99=4ms", ErrGoal},
		{"http/hot/p99=4500us", nil},
		{"rate=1000", nil},
		{"rate=1001", ErrGoal},
		{"x-ratio=12", nil},
		{"x-ratio=14", ErrGoal},
		{"allocs=2", nil},
		{"allocs=1.5", ErrGoal},
		{"p99=5", ErrGoalUnknown}, // a duration needs its unit
		{"p50=1ms", ErrGoalUnknown},
		{"ot/p99=1ms", ErrGoalUnknown}, // whole parts only
	} {
		s := NewSink(new(bytes.Buffer), new(bytes.Buffer), false, goals(t, c.goal))
		s.Add(Value("http/hot/p99", 4500, "us", 10))
		s.Add(Value("http/hot/rate", 1000, "req/s", 10))
		s.Add(Ratio("http/hot/x-ratio", 13, 10, "b", AtLeast(12)))
		s.Add(Value("http/hot/allocs", 2, "allocs/req", 10))
		if err := s.Finish(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.goal, err, c.want)
		}
	}
	for _, bad := range []string{"", "p99", "=5ms", "p99=", "p99=-5ms", "p99=NaN", "p99=x"} {
		if err := new(Goal).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTargetsReadAsWritten(t *testing.T) {
	for _, want := range []Target{*AtLeast(12), *AtMost(2.5), *AtMost(0)} {
		b, err := json.Marshal(want)
		var got Target
		if err != nil || json.Unmarshal(b, &got) != nil || got != want {
			t.Errorf("%v: %s, %v", want, b, got)
		}
	}
	for _, bad := range []string{"", "12", ">=12", "> 12", ">= x", ">= NaN"} {
		if err := new(Target).UnmarshalText([]byte(bad)); !errors.Is(err, ErrTarget) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if AtMost(1).Holds(math.NaN()) || AtLeast(1).Holds(math.NaN()) {
		t.Error("NaN holds")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"name":"a","value":1,"unit":"us","n":1,"ratio":null,"against":null,"target":"<= 2","holds":true}`))
	f.Add([]byte("\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		s := NewSink(new(bytes.Buffer), new(bytes.Buffer), true, nil)
		for _, l := range lines {
			s.Add(l)
		}
		if len(s.Lines()) != len(lines) {
			t.Error("a line that was read cannot be written")
		}
	})
}
