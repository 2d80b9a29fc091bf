package httpapi

import (
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
)

//go:embed docs.html
var docsPage string

// docsPolicy allows the page's own script and style by their hashes, requests to this server, and nothing else.
var docsPolicy = sync.OnceValue(func() string {
	return "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; " +
		"frame-ancestors 'none'; script-src '" + hashOf("script") + "'; style-src '" + hashOf("style") + "'"
})

// hashOf is the CSP source of the page's one inline element with that name.
func hashOf(element string) string {
	_, rest, _ := strings.Cut(docsPage, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func docs(*call) (*reply, error) {
	return &reply{
		status: http.StatusOK, raw: []byte(docsPage), kind: "text/html; charset=utf-8",
		header: map[string]string{"Content-Security-Policy": docsPolicy(), "Referrer-Policy": "no-referrer"},
	}, nil
}
