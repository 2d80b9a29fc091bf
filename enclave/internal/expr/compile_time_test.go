package expr

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

// sources are the longest expressions of one piece repeated, each within the limits of nodes and depth where the piece
// allows it, and each beyond.
func sources() []string {
	rep := strings.Repeat
	var all []string
	for _, piece := range []string{
		"!", "-", "(", "[", "{", "{1:", "a.", "a.b(", "a(", "a[", "'", "'\\x41", "1+", "a+", "a&&", "a||b&&", "a?b:", "a==a&&", "[1],", "{},",
		"'x',", "1u,", "1.5e3,", "a,", "b'x',", "has(a.b)&&", "[1].all(x,", "[1].map(x,", "max(1,", "max(", "\\", "\"", "//", "é", "\x00", " ", "\n",
		"a.mask(),", "[].map(x,x),", "[].filter(x,x),", "[1].exists_one(x,x),", "a[0],", "a.b.c,", "{'a':1},", "{a:1},", "{{a:1}:1},", "a in b,",
		"1 ", "a b", ",", ")", "]", "}", "?", ":", ".", "..", "a.a", "'''", "r'", "0x", "9", "1e", "a`", "[[[[[[[[1]]]]]]]],", "(((((a))))),",
		"!!!!!!!!a,", "--a,", "a ? b : c,", "max(a,b),", "a.contains(b),", "hmac_sha256(a),",
	} {
		for _, form := range []string{"%s", "[%s1]", "max(%s1)"} {
			for _, bytes := range []int{400, 3000, DefaultSource - 10} {
				all = append(all, fmt.Sprintf(form, rep(piece, bytes/len(piece))))
			}
		}
	}
	files, _ := filepath.Glob("testdata/hostile/*.cel")
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil {
			all = append(all, string(data))
		}
	}
	return all
}

// mostPerByte is what compiling n bytes of source may take: four times what is promised (see [Limits]).
func mostPerByte(n int) time.Duration {
	if proctest.Race {
		n *= 10
	}
	return time.Duration(n) * 4 * time.Microsecond
}

// TestCompilingIsLinear (SECURITY.md, check 42): no byte of what may be written takes longer than another, by much.
func TestCompilingIsLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := newTest(t, Config{})
	var dearest time.Duration
	var which string
	for _, s := range sources() {
		n := max(len(s), 200)
		best := time.Hour
		for i := 0; i == 0 || i < 5 && best > mostPerByte(n); i++ {
			start := threadTime(t)
			e.compile(s)
			best = min(best, threadTime(t)-start)
		}
		if best > mostPerByte(n) {
			t.Errorf("%v for %d bytes: %.60q", best, len(s), s)
		}
		if per := best / time.Duration(n); per > dearest {
			dearest, which = per, s
		}
	}
	t.Logf("the dearest: %v for a byte: %.60q", dearest, which)
}
