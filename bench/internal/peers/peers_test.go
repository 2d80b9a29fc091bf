package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"redoubt/bench/internal/measure"
)

// TestMain lets this test binary be both sides of its own comparison: ours, and one that is only called another.
func TestMain(m *testing.M) {
	if os.Getenv(measure.ChildVariable) != Role {
		os.Exit(m.Run())
	}
	out := io.Writer(os.Stdout)
	if len(os.Args) > 1 && os.Args[1] == openSSL {
		out = liar{os.Stdout}
	}
	if err := Serve(os.Stdin, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// liar changes the shared secrets of P-256 when the test asks for it.
type liar struct{ to io.Writer }

func (l liar) Write(b []byte) (int, error) {
	if os.Getenv("PEERS_LIE") == "" || len(b) != len("ok \n")+64 {
		return l.to.Write(b)
	}
	return io.WriteString(l.to, "ok "+strings.Repeat("0", 64)+"\n")
}

func lines(t *testing.T) (map[string]measure.Line, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sink := measure.NewSink(io.Discard, io.Discard, false, nil)
	err = Run(context.Background(), Options{Program: self, Production: self, Rounds: 5, Turn: time.Millisecond}, sink)
	all := make(map[string]measure.Line)
	for _, l := range sink.Lines() {
		all[l.Name] = l
	}
	return all, err
}

func TestEachOperationOfEachSideIsTimed(t *testing.T) {
	all, err := lines(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range schemes() {
		for _, what := range operations(scheme) {
			name := "peers/" + scheme + "/" + verb(scheme, what)
			for _, side := range []string{production, plain, awsLC, openSSL} {
				if l := all[name+"/"+side+"/time"]; !(l.Value > 0) || len(l.Samples) != 5 {
					t.Errorf("%s of %s: %+v", name, side, l)
				}
			}
			for _, ratio := range []string{"production-of-aws-lc", "plain-of-openssl"} {
				if l := all[name+"/"+ratio]; !(l.Value > 0) || l.Ratio == nil {
					t.Errorf("%s: no %s", name, ratio)
				}
			}
		}
	}
	if l := all["peers/hpke/P-384/open/production-of-aws-lc"]; l.Target == nil || l.Target.String() != "<= 0.75" {
		t.Errorf("the target: %+v", l)
	}
}

func TestNothingIsTimedThatComputesSomethingElse(t *testing.T) {
	t.Setenv("PEERS_LIE", "1")
	all, err := lines(t)
	if err == nil || len(all) > 0 {
		t.Errorf("a side that answers wrongly was timed: %v, %d lines", err, len(all))
	}
	if !errors.Is(err, errDiffers) || !strings.Contains(err.Error(), openSSL) {
		t.Errorf("the error does not say that %s is wrong: %v", openSSL, err)
	}
}

func TestASchemeThatASideHasNotIsLeftOut(t *testing.T) {
	if _, err := newScheme("hpke/P-999"); !errors.Is(err, errAbsent) {
		t.Errorf("an unknown scheme: %v", err)
	}
	var out strings.Builder
	if err := Serve(strings.NewReader("public hpke/P-999\ntime\nmake\nopen hpke/P-256 zz\n"), &out); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if !strings.HasPrefix(line, "no ") || (i == 0) != (line == "no absent") {
			t.Errorf("answer %d is %q", i, line)
		}
	}
}
