//go:build screens

package screenshots

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// spoiled is a page with every fault that the checks look for.
const spoiled = `<!doctype html><html><head><title> </title><style>
p { color: #999; background: #fff } .wide { width: 2000px } .small { font-size: 7px }
</style></head><body>
<h1>One</h1><h1>Two</h1><h3>Skipped</h3>
<p>pale</p><p class="small">tiny</p><div class="wide">wide</div>
<i id="a"></i><i id="a"></i><section aria-labelledby="nobody"></section>
<table><tr><td>no</td><td>header</td></tr></table>
<svg viewBox="0 0 100 50" width="100" height="50">
<text x="90" y="20">cut off</text><text x="5" y="20">here</text><text x="9" y="21">there</text>
<rect width="9" height="9" fill="#eee"/></svg>
<img src="ELSEWHERE/image.png" alt=""><script>console.error("said")</script><script>throw new Error("thrown")</script>
</body></html>`

func serve(t *testing.T, policy, page string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if policy != "" {
			w.Header().Set("Content-Security-Policy", policy)
		}
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestEachCheckCanFail shows that the watch and the checks see what the tests of the pages would not let pass.
func TestEachCheckCanFail(t *testing.T) {
	t.Parallel()
	chromium := browser(t)
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	page := strings.ReplaceAll(spoiled, "ELSEWHERE", elsewhere.URL)
	url := serve(t, "", page)
	p := open(t, chromium, url+"/", url)
	noted(t, p, "console: error", "exception: ", "request to "+elsewhere.URL, "loading failed: ")
	p.look(t, 400, "light")
	faults := js[[]string](t, p, checks)
	for _, want := range []string{
		"wider than the window", "sticks out: div.wide", "contrast 2.85 < 4.5: p", "contrast 1.16 < 3: rect", "small print, 7.0",
		`cut off: text "cut off"`, `over one another: text "here" and text "there"`, "no language", "no title", "no viewport",
		"not one h1", "not one main", "heading skips a level: h3", "table without a caption", "table without headers",
		"row without a header", "drawing without a name", "id twice: a", "named by what is not there",
	} {
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("not found: %s", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(faults, "\n"))
	}

	guarded := serve(t, "default-src 'none'", page)
	noted(t, open(t, chromium, guarded+"/", guarded), "security error: ")
}

// noted waits until the tab has noted a fault of each kind.
func noted(t *testing.T, p *tab, wants ...string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		seen := slices.Clone(p.faults)
		p.mu.Unlock()
		missing := slices.DeleteFunc(slices.Clone(wants), func(want string) bool {
			return slices.ContainsFunc(seen, func(f string) bool { return strings.Contains(f, want) })
		})
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not noticed: %q; noticed: %q", missing, seen)
		}
	}
}
