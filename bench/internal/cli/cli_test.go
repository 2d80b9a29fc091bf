package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/bench/internal/measure"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/test/pages"
	"redoubt/wire/kit/test/proctest"
)

// TestMain lets this test binary be the child of its own measurements.
func TestMain(m *testing.M) {
	if role := os.Getenv(measure.ChildVariable); role != "" {
		if err := serveChild(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	code := m.Run()
	if binDir != "" {
		_ = os.RemoveAll(binDir)
	}
	os.Exit(code)
}

// bench runs a command with --json and returns its lines.
func bench(t *testing.T, want int, args ...string) map[string]measure.Line {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), append([]string{"--json"}, args...), "dev", &stdout, &stderr)
	if code != want {
		t.Fatalf("%v: status %d, want %d\n%s", args, code, want, stderr.String())
	}
	lines := make(map[string]measure.Line)
	for _, text := range strings.Split(strings.TrimSpace(stdout.String()), "\n") {
		if text == "" {
			continue
		}
		var l measure.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Name == "" {
			t.Fatalf("standard output has %q: %v", text, err)
		}
		lines[l.Name] = l
	}
	return lines
}

func mustHave(t *testing.T, lines map[string]measure.Line, names ...string) {
	t.Helper()
	for _, name := range names {
		if l, ok := lines[name]; !ok || !(l.Value > 0) {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestWire(t *testing.T) {
	lines := bench(t, program.OK, "wire", "--in-flight", "1,128", "--rounds", "3", "--turn", "20ms")
	for _, mode := range []string{"ours", "bare", "stream-per-request", "connection-per-request"} {
		for _, what := range []string{"rate", "p50", "p99", "p99.9", "cpu-client", "cpu-server"} {
			mustHave(t, lines, "wire/"+mode+"/128/"+what)
		}
		if _, ok := lines["wire/"+mode+"/1/allocs-server"]; !ok {
			t.Errorf("%s: no allocations", mode)
		}
	}
	for name, target := range map[string]string{
		"wire/ours-of-bare/128/rate": ">= 0.6", "wire/ours-of-stream-per-request/128/rate": ">= 12",
	} {
		l := lines[name]
		if l.Target == nil || l.Target.String() != target || l.Holds == nil || len(l.Samples) != 3 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestCrypto(t *testing.T) {
	lines := bench(t, program.OK, "crypto", "--suite", "P-256,P-384", "--fields", "1,10", "--budget", "1ms", "--min", "9")
	for _, suite := range []string{"P-256", "P-384"} {
		for _, kind := range []string{"seal", "open/cold", "open/key-cached", "open/context-cached"} {
			for _, e := range []int{2, 3} {
				for _, n := range []int{1, 10} {
					name := fmt.Sprintf("crypto/%s/%s/encoding-%d/fields-%d", suite, kind, e, n)
					mustHave(t, lines, name+"/time", name+"/x-ecdh")
				}
			}
		}
	}
	held := 0
	for _, l := range lines {
		if l.Target != nil {
			held++
		}
	}
	if held != 3 {
		t.Errorf("%d targets, want 3", held)
	}
}

func TestStatusIsOneForAMissedGoalAlone(t *testing.T) {
	args := []string{"crypto", "--suite", "P-256", "--fields", "1", "--budget", "1ms", "--min", "9"}
	bench(t, exitMissed, append(args, "--goal", "x-ecdh=0.0000001")...)
	bench(t, program.OK, append(args, "--goal", "time=10s")...)
	bench(t, program.Failed, append(args, "--goal", "p98=1ms")...)
	bench(t, program.Usage, "no-such-command")
	bench(t, program.Usage, "http")
	bench(t, program.Usage, "wire", "--in-flight", "0")
	if err := errors.Join(measure.ErrGoal, errors.New("other")); onlyGoals(err) {
		t.Error("another error hides behind a goal")
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	var stdout bytes.Buffer
	if code := run(context.Background(), []string{"--help"}, "dev", &stdout, &stdout); code != program.OK {
		t.Fatal(code)
	}
	for _, name := range []string{"wire", "crypto", "http", "record", "report", "compare", "targets", "soak", "meta", "--goal", "--json"} {
		if !strings.Contains(stdout.String(), name) {
			t.Errorf("--help lacks %s", name)
		}
	}
}

func TestReportAndCompare(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i, time := range []float64{100, 80} {
		var b bytes.Buffer
		s := measure.NewSink(&b, new(bytes.Buffer), true, nil)
		s.Add(measure.Value("a/p50", time, "us", 5).With([]float64{time, time + 1, time + 2, time + 3, time + 4}))
		path := filepath.Join(dir, fmt.Sprintf("%d.jsonl", i))
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	lines := bench(t, program.OK, "compare", files[0], files[1])
	if l := lines["compare/a/p50"]; l.Note != "better" || *l.Ratio > 0.81 {
		t.Errorf("%+v", l)
	}
	page := filepath.Join(dir, "page.html")
	bench(t, program.OK, "report", files[0], files[1], "--out", page)
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("a/p50")) {
		t.Errorf("%v", err)
	}
}

func TestMeta(t *testing.T) {
	if l := bench(t, program.OK, "meta")["meta"]; l.Meta["cpus"] == "" || l.Meta["time"] == "" || l.Meta["go"] == "" {
		t.Errorf("%+v", l)
	}
}

// binDir holds the programs of a local stack, built once.
var binDir string

func programs(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the programs of a local stack: make test, which CI runs, is never -short")
	}
	if binDir != "" {
		return binDir
	}
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"redoubt/parent", "redoubt/api", "redoubt/deploy/local"}, {"-tags", "dev", "redoubt/enclave"},
	} {
		text, err := proctest.Command(t, "go", append([]string{"build", "-o", dir + "/"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("build: %v\n%s", err, text)
		}
	}
	binDir = dir
	return dir
}

func TestHTTP(t *testing.T) {
	bin := programs(t)
	for _, mix := range []string{"hot", "cold-key", "batch", "expressions"} {
		lines := bench(t, program.OK, "http", "--local", "--bin", bin, "--mix", mix, "--in-flight", "4", "--duration", "200ms", "--items", "5")
		mustHave(t, lines, "http/"+mix+"/closed-4/rate", "http/"+mix+"/closed-4/p99")
	}
	lines := bench(t, program.OK, "http", "--local", "--bin", bin, "--rate", "200", "--duration", "300ms")
	mustHave(t, lines, "http/hot/open/offered", "http/hot/open/p50", "http/hot/open/late-p50")
}

func TestHTTPThroughTheAPI(t *testing.T) {
	// The kernel counts a process's time in ticks of 10 ms, so a parent may seem to do nothing in less.
	lines := bench(t, program.OK, "http", "--local", "--api", "--bin", programs(t), "--in-flight", "4", "--duration", "1s")
	mustHave(t, lines, "api/hot/closed-4/rate", "api/hot/closed-4/cpu-api", "api/hot/closed-4/cpu-parent")
}

func TestTargetsOfHotRequests(t *testing.T) {
	lines := bench(t, program.OK, "targets", "--rows", "hot", "--bin", programs(t), "--rounds", "3", "--turn", "50ms", "--duration", "500ms")
	for _, name := range []string{
		"http/hot-of-fasthttp/1/p50", "http/hot-of-reference-protocol/64/rate", "http/hot-of-reference-protocol+kms/64/rate",
		"http/hot/64/allocs-parent", "http/hot/open-70/p99-of-p50",
	} {
		if l := lines[name]; l.Target == nil || l.Holds == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestSoak(t *testing.T) {
	lines := bench(t, program.OK, "soak", "--bin", programs(t), "--requests", "3000")
	mustHave(t, lines, "soak/parent/memory", "soak/enclave/memory")
	if l := lines["soak/enclave/descriptors-growth"]; l.Holds == nil || !*l.Holds {
		t.Errorf("%+v", l)
	}
}

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&commands{}, "dev", io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "bench", pages.Flags(t, k.Model))
}
