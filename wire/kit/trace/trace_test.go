package trace_test

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"redoubt/wire/kit/test/proctest"
	"redoubt/wire/kit/trace"
)

const (
	id      = "4bf92f3577b34da6a3ce929d0e0e4736"
	span    = "00f067aa0ba902b7"
	sampled = "00-" + id + "-" + span + "-01"
)

func TestTraceparentIsReadStrictly(t *testing.T) {
	for _, c := range []struct {
		header      string
		ok, sampled bool
	}{
		{sampled, true, true},
		{"00-" + id + "-" + span + "-00", true, false},
		{"00-" + id + "-" + span + "-fe", true, false}, // bits that level 1 does not define
		{"00-" + id + "-" + span + "-ff", true, true},
		{"cc-" + id + "-" + span + "-01", true, true}, // a later version
		{"cc-" + id + "-" + span + "-01-what the future will be like", true, true},
		{"cc-" + id + "-" + span + "-01.what", false, false},
		{"00-" + id + "-" + span + "-01-more", false, false},
		{"ff-" + id + "-" + span + "-01", false, false},
		{"00-" + strings.ToUpper(id) + "-" + span + "-01", false, false},
		{"00-" + id + "-" + strings.ToUpper(span) + "-01", false, false},
		{"00-" + strings.Repeat("0", 32) + "-" + span + "-01", false, false},
		{"00-" + id + "-" + strings.Repeat("0", 16) + "-01", false, false},
		{"0x-" + id + "-" + span + "-01", false, false},
		{"00_" + id + "-" + span + "-01", false, false},
		{"00-" + id + "-" + span + "-0g", false, false},
		{"00-" + id + "-" + span + "-1", false, false},
		{" " + sampled, false, false},
		{sampled + " ", false, false},
		{"", false, false},
		{"00-" + id[:31] + "-" + span + "0-01", false, false},
	} {
		got, ok := trace.Parse([]byte(c.header))
		if ok != c.ok || got.Sampled != c.sampled {
			t.Errorf("%q: %v, sampled %v", c.header, ok, got.Sampled)
		}
		if ok && (got.Trace.String() != id || got.Span.String() != span) {
			t.Errorf("%q: %s %s", c.header, got.Trace, got.Span)
		}
		if !ok && got != (trace.Context{}) {
			t.Errorf("%q: refused, and yet %v", c.header, got)
		}
	}
}

func TestContextsAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := trace.New()
		c.Sampled = rapid.Bool().Draw(t, "sampled")
		h := c.Append(nil)
		if got, ok := trace.Parse(h); !ok || got != c || len(h) != trace.Size {
			t.Fatalf("%s read as %v", h, got)
		}
		child := c.Child()
		if child.Trace != c.Trace || child.Sampled != c.Sampled || child.Span == c.Span {
			t.Fatalf("%v has a child %v", c, child)
		}
	})
}

func TestReadingAndMakingContextsAllocatesNothing(t *testing.T) {
	h, buf, rid := []byte(sampled), make([]byte, 0, 64), []byte("abc-1")
	if n := testing.AllocsPerRun(100, func() {
		c, _ := trace.Parse(h)
		buf = c.Child().Append(buf[:0])
		buf = trace.New().Append(buf[:0])
		if trace.ValidRequestID(rid) {
			buf = trace.AppendRequestID(buf[:0])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTracestateIsPassedOnWholeOrNotAtAll(t *testing.T) {
	long := strings.Repeat("v", 256)
	for _, c := range []struct {
		in   []string
		want string
	}{
		{nil, ""},
		{[]string{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{[]string{"rojo=1 ,\tcongo=2", "a=3"}, "rojo=1,congo=2,a=3"},
		{[]string{"rojo=1,,congo=2,"}, "rojo=1,congo=2"},
		{[]string{"0tenant@sys=x y"}, "0tenant@sys=x y"},
		{[]string{"a*/_-9=!"}, "a*/_-9=!"},
		{[]string{"a=" + long}, "a=" + long},
		{[]string{"a=" + long + "v"}, ""},
		{[]string{"a=1,a=2"}, ""},
		{[]string{"a=1", "a=2"}, ""},
		{[]string{"A=1"}, ""},
		{[]string{"0a=1"}, ""},
		{[]string{"a@0s=1"}, ""},
		{[]string{"a@=1"}, ""},
		{[]string{"@s=1"}, ""},
		{[]string{"a=1=2"}, ""},
		{[]string{"a="}, ""},
		{[]string{"a"}, ""},
		{[]string{"a=\x01"}, ""},
		{[]string{"a=\xc3\xa9"}, ""},
		{[]string{strings.Repeat("k", 257) + "=1"}, ""},
		{[]string{strings.Repeat("k", 242) + "@s=1"}, ""},
		{[]string{"a@" + strings.Repeat("s", 15) + "=1"}, ""},
		{[]string{"a=" + long + ",b=" + long + ",c=" + long + ",d=" + long}, ""},
	} {
		if got := trace.State(c.in...); got != c.want {
			t.Errorf("%q gives %q, want %q", c.in, got, c.want)
		}
	}
	var members []string
	for i := range 33 {
		members = append(members, "k"+strings.Repeat("x", i)+"=1")
	}
	if trace.State(members[:32]...) == "" || trace.State(members...) != "" {
		t.Error("the limit of 32 members does not hold")
	}
}

func TestRequestIDsAreOfASafeCharset(t *testing.T) {
	for _, good := range []string{"a", "0", "abc-123_4.5:6", "Root=1-67891233-abcdef012345678912345678", strings.Repeat("x", 128)} {
		if !trace.ValidRequestID(good) || !trace.ValidRequestID([]byte(good)) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "a b", `a"b`, "a\tb", "a\nb", "-x", ":x", "=", "é", "a/b", "a<b", strings.Repeat("x", 129)} {
		if trace.ValidRequestID(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
	a, b := trace.AppendRequestID(nil), trace.AppendRequestID(nil)
	if len(a) != trace.RequestIDSize || !trace.ValidRequestID(a) || string(a) == string(b) {
		t.Errorf("made %s and %s", a, b)
	}
}

// sink records spans, and samples all or nothing.
type sink struct {
	all   bool
	spans []trace.Span
}

func (s *sink) Sample(trace.ID) bool       { return s.all }
func (s *sink) Record(spans ...trace.Span) { s.spans = append(s.spans, spans...) }

func TestARequestJoinsItsCallersTraceOrBeginsOne(t *testing.T) {
	off := &sink{}
	r, parent := trace.Begin([]string{sampled}, []string{"a=1"}, off)
	if r.Trace.String() != id || parent.String() != span || !r.Sampled || r.State != "a=1" || r.Span == parent {
		t.Errorf("%+v under %s", r, parent)
	}
	for _, bad := range [][]string{nil, {"nonsense"}, {sampled, sampled}} {
		r, parent = trace.Begin(bad, []string{"a=1"}, off)
		if r.Trace.String() == id || r.Trace == (trace.ID{}) || parent != (trace.SpanID{}) || r.State != "" || r.Sampled {
			t.Errorf("%q: %+v under %s", bad, r, parent)
		}
	}
	if r, _ = trace.Begin(nil, nil, &sink{all: true}); !r.Sampled {
		t.Error("the sink's decision is not taken")
	}
	unsampled := strings.TrimSuffix(sampled, "1") + "0"
	if r, _ = trace.Begin([]string{unsampled}, nil, &sink{all: true}); r.Sampled {
		t.Error("the caller's decision is not kept")
	}
	if r, _ = trace.Begin([]string{sampled}, nil, nil); !r.Sampled || r.Recorded() {
		t.Error("without a sink the decision is passed on, and nothing recorded")
	}
}

func TestStepsNest(t *testing.T) {
	s := &sink{}
	r, _ := trace.Begin([]string{sampled}, []string{"a=1"}, s)
	outer, endOuter := trace.Step(trace.With(t.Context(), &r), trace.KindInternal, "outer")
	inner, endInner := trace.Step(outer, trace.KindClient, "inner")
	endInner(true, "denied")
	endOuter(false, "ok")
	if len(s.spans) != 2 {
		t.Fatalf("%d spans", len(s.spans))
	}
	in, out := s.spans[0], s.spans[1]
	if in.Parent != out.Context.Span || out.Parent != r.Span || in.Context.Trace != r.Trace || !in.Failed || out.Failed ||
		in.State != "a=1" || in.Attrs[0].Text != "denied" || in.End.Before(in.Start) {
		t.Errorf("%+v in %+v", in, out)
	}
	if trace.From(inner).Context != in.Context {
		t.Error("the step's context is not that of its span")
	}
	if ctx, end := trace.Step(context.Background(), trace.KindClient, "x"); ctx != context.Background() {
		end(false, "")
		t.Error("a step of no request changes the context")
	}
	r.Sampled = false
	if _, end := trace.Step(trace.With(t.Context(), &r), trace.KindClient, "x"); end != nil {
		end(false, "ok")
	}
	if len(s.spans) != 2 {
		t.Error("a span of a trace that is not sampled is recorded")
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add([]byte(sampled))
	f.Add([]byte("cc-" + id + "-" + span + "-01-x"))
	f.Fuzz(func(t *testing.T, h []byte) {
		c, ok := trace.Parse(h)
		if !ok {
			return
		}
		again, ok := trace.Parse(c.Append(nil))
		if !ok || again != c {
			t.Errorf("%q is passed on as %q", h, c.Append(nil))
		}
	})
}

func FuzzTracestate(f *testing.F) {
	f.Add("a=1,b@c=2", "d=3")
	f.Fuzz(func(t *testing.T, a, b string) {
		s := trace.State(a, b)
		if len(s) > 1024 || strings.ContainsAny(s, "\r\n\x00") {
			t.Errorf("%q and %q give %q", a, b, s)
		}
		if trace.State(s) != s {
			t.Errorf("%q is not what is made of it", s)
		}
	})
}

// TestTheEnclaveHasNoTracing: neither contexts nor an exporter are in the measured program.
func TestTheEnclaveHasNoTracing(t *testing.T) {
	out, err := proctest.Command(t, "go", "list", "-deps", "redoubt/enclave").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "redoubt/wire/session\n") {
		t.Fatalf("not the enclave's list: %s", out)
	}
	for p := range strings.Lines(string(out)) {
		if strings.HasPrefix(p, "redoubt/wire/kit/trace") || strings.Contains(p, "opentelemetry") {
			t.Errorf("the enclave has %s", p)
		}
	}
}
