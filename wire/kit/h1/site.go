package h1

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// Site decides whether a request may come from a browser. A page of another site can make a browser call any address
// that the browser reaches. If the page's own name is made to resolve to us (DNS rebinding), the page reads the
// answer too. Such a request carries the page's name as its Host. So a Host must be an IP address, localhost, or one
// of Names. An Origin, which browsers add, must be that Host. Requests without either do not come from a browser.
//
// Site is no authentication. It protects listeners that require none.
type Site struct {
	// Names are the names, without port, that callers may use.
	Names []string
	// Flag is the option that adds a name, for the text of refusals. It is empty if there is none.
	Flag string
}

// SiteError says why a Site refuses a request. Its text holds nothing of the request.
type SiteError struct {
	// Status is 421 for a foreign Host, 403 for a foreign Origin.
	Status int
	text   string
}

// Error says what to do.
func (r *SiteError) Error() string { return r.text }

// Host returns a *SiteError unless host, with or without a port, is one of ours. A request without a Host does not
// come from a browser. Host allocates nothing.
func (s *Site) Host(host []byte) *SiteError {
	if len(host) == 0 || literal(host) || is(host, "localhost") {
		return nil
	}
	for _, name := range s.Names {
		if is(host, name) {
			return nil
		}
	}
	text := "this host name is not served: use an ip address or localhost"
	if s.Flag != "" {
		text += ", or add the name with " + s.Flag
	}
	return &SiteError{http.StatusMisdirectedRequest, text}
}

// Origin returns a *SiteError unless an Origin header's value names the same host as the request.
func (s *Site) Origin(origin, host []byte) *SiteError {
	if _, of, ok := bytes.Cut(origin, []byte("://")); ok && bytes.EqualFold(of, host) {
		return nil
	}
	return &SiteError{http.StatusForbidden, "requests of web pages of another origin are not served"}
}

// literal reports whether host is the literal of an IP address. No name consists of digits alone: the last label of a
// name has a letter (RFC 3696, section 2), and browsers take anything else for an address.
func literal(host []byte) bool {
	if host[0] == '[' {
		return bytes.IndexByte(host, ']') > 0
	}
	name := withoutPort(host)
	for _, c := range name {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return len(name) > 0
}

func withoutPort(host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 {
		return host[:i]
	}
	return host
}

// is reports whether host names name, which is ASCII, without regard to case, port and a final dot.
func is(host []byte, name string) bool {
	host = bytes.TrimSuffix(withoutPort(host), []byte("."))
	name = strings.TrimSuffix(name, ".")
	if len(host) != len(name) {
		return false
	}
	for i, c := range host {
		if lower(c) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Check applies Host and Origin to a request of net/http. For a target in absolute form, net/http has replaced the
// request's Host by the target's authority (RFC 9112, section 3.2.2).
func (s *Site) Check(r *http.Request) *SiteError {
	host := []byte(r.Host)
	if refused := s.Host(host); refused != nil {
		return refused
	}
	for _, o := range r.Header["Origin"] {
		if refused := s.Origin([]byte(o), host); refused != nil {
			return refused
		}
	}
	return nil
}

// Guard puts s before a handler of net/http.
func (s *Site) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused := s.Check(r); refused != nil {
			refuse(w, refused.Status, refused.text)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// AsSent puts a check before an http.ServeMux, which decodes, cleans and redirects. A path that is not byte by byte
// the path of a route is not found.
func AsSent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !sentPlainly(r) {
			refuse(w, http.StatusNotFound, "no such route")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sentPlainly reports whether the path was sent in the form in which the mux will match it.
func sentPlainly(r *http.Request) bool {
	path := Path(r.RequestURI)
	return path == r.URL.Path && !strings.Contains(path, "//") && !strings.Contains(path+"/", "/./") &&
		!strings.Contains(path+"/", "/../")
}

func refuse(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"code":%d,"message":%q}`+"\n", status, text)
}
