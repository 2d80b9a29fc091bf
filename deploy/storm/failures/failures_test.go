package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = `package p

import "errors"

func open(bad bool) (int, error) {
	if bad {
		return 0, errors.New("bad")
	}
	return 1, nil
}

func twice(a, b bool) (err error) {
	if a {
		return err
	}
	if b {
		return err
	}
	return err
}

func job() {
	refuseIt()
	f := func() error { return errMade }
	_ = f
}
`

// tier writes a source file, a profile of it with these runs of lines, and a list; it runs the command there.
func tier(t *testing.T, list string, runs map[string]int, args ...string) (status int, out, problems string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	profile := "mode: atomic\n"
	for at, n := range runs {
		profile += "redoubt/tier/a.go:" + at + " 1 " + string(rune('0'+n)) + "\n"
	}
	for name, text := range map[string]string{"tier/a.go": source, "cover.out": profile, "list.txt": list} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var o, p bytes.Buffer
	status = run(append([]string{"-tiers", "tier", "-list", "list.txt"}, args...), &o, &p)
	return status, o.String(), p.String()
}

var reached = map[string]int{
	"5.34,6.9": 1, "6.9,8.3": 1, "9.2,9.15": 1, "12.35,13.7": 1, "13.7,15.3": 1, "16.7,18.3": 1, "22.12,25.7": 1, "24.20,24.39": 1,
}

func without(at ...string) map[string]int {
	out := map[string]int{}
	for k, n := range reached {
		out[k] = n
	}
	for _, k := range at {
		out[k] = 0
	}
	return out
}

func TestWhatNoTestReachesFailsUnlessItIsListed(t *testing.T) {
	const reason = "= nothing in a test can cause this\n"
	for what, c := range map[string]struct {
		list string
		runs map[string]int
		says string // empty: all is well
	}{
		"all reached":            {"", reached, ""},
		"an error":               {"", without("6.9,8.3"), `no test reaches tier/a.go:7: return 0, errors.New("bad") (in open)`},
		"a refusal":              {"", without("22.12,25.7"), "no test reaches tier/a.go:23: refuseIt() (in job)"},
		"an error in a closure":  {"", without("24.20,24.39"), "return errMade (in job)"},
		"a file of no profile":   {"", nil, "no test reaches tier/a.go:7"},
		"listed":                 {reason + "tier/a.go | open | return 0, errors.New(\"bad\")\n", without("6.9,8.3"), ""},
		"listed, one of two":     {reason + "tier/a.go | twice | return err\n", without("13.7,15.3", "16.7,18.3"), "no test reaches tier/a.go:14,17"},
		"listed, both":           {reason + "tier/a.go | twice | return err x2\n", without("13.7,15.3", "16.7,18.3"), ""},
		"listed, but reached":    {reason + "tier/a.go | twice | return err\n", reached, "list, line 2: a test reaches it"},
		"sometimes reached":      {"= sometimes: two goroutines race\ntier/a.go | twice | return err\n", reached, ""},
		"listed, but gone":       {reason + "tier/a.go | once | return err\n", reached, "there are 0 such statements"},
		"listed without reason":  {"tier/a.go | twice | return err\n", reached, "a reason in words"},
		"listed twice":           {reason + strings.Repeat("tier/a.go | twice | return err\n", 2), without("13.7,15.3"), "is there twice"},
		"a reason of no meaning": {"= no\ntier/a.go | twice | return err\n", reached, "a reason in words"},
	} {
		status, out, problems := tier(t, c.list, c.runs, "cover.out")
		if (status == 0) != (c.says == "") || !strings.Contains(problems, c.says) {
			t.Errorf("%s: status %d, %s%s", what, status, out, problems)
		}
	}
}

func TestTheListIsCheckedWithoutProfiles(t *testing.T) {
	if status, _, problems := tier(t, "= nothing in a test can cause this\ntier/a.go | open | return 0, errors.New(\"bad\")\n", nil, "-source"); status != 0 {
		t.Error(problems)
	}
	if status, _, problems := tier(t, "= nothing in a test can cause this\ntier/a.go | open | return 7, err\n", nil, "-source"); status != 1 {
		t.Error(problems)
	}
	if status, _, _ := tier(t, "", nil); status != 2 {
		t.Error("neither profiles nor -source")
	}
	if status, _, _ := tier(t, "", nil, "nosuch"); status != 2 {
		t.Error("a profile that does not exist")
	}
}

// The lines that -show prints can stand in the list.
func TestWhatIsShownCanBeListed(t *testing.T) {
	_, out, _ := tier(t, "", without("6.9,8.3", "13.7,15.3"), "-show", "cover.out")
	if out != "tier/a.go | open | return 0, errors.New(\"bad\") # 7\ntier/a.go | twice | return err # 14\n" {
		t.Errorf("%q", out)
	}
}
