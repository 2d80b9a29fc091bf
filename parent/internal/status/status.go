// Package status serves the page at the root of the parent's metrics listener. It shows operators without a dashboard
// how this parent and its enclaves are.
//
// It is one HTML page that loads nothing from elsewhere. Its script reads /metrics of the same listener every two
// seconds and shows the numbers. The Content-Security-Policy allows its own script and style by hash and no other
// source (beside an empty icon). So a label that contained markup could do nothing, and labels are set as text
// besides. The page itself holds no data. Its look and behaviour in a browser are tested in deploy/screenshots.
package status

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

var (
	//go:embed page.html
	frame string
	//go:embed page.css
	style string
	//go:embed read.js
	reading string
	//go:embed page.js
	showing string

	page = strings.NewReplacer("<style>", "<style>\n"+style, "<script>", "<script>\n"+reading+showing).Replace(frame)
)

// Register adds the page at /.
func Register(mux *http.ServeMux) {
	policy := "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; " +
		"frame-ancestors 'none'; script-src " + hashOf("script") + "; style-src " + hashOf("style")
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(page))
	})
}

// hashOf is the source expression of the page's only element of that name (CSP level 3, section 2.3.1).
func hashOf(element string) string {
	_, rest, _ := strings.Cut(page, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
