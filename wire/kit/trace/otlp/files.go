package otlp

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// These are the errors of files. They never quote what a file holds.
var (
	ErrHeaders = errors.New("otlp: the headers' file must have lines NAME: VALUE")
	ErrRoots   = errors.New("otlp: no certificate in the CA file")
)

// ReadHeader reads headers that are sent with each export: one line NAME: VALUE for each. Empty lines and lines that
// begin with # are skipped. The path "" means no file. Errors: ErrHeaders, the system's.
func ReadHeader(path string) (http.Header, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	defer clear(data)
	h := http.Header{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || !token(name) || strings.ContainsFunc(value, unprintable) {
			return nil, ErrHeaders
		}
		h.Add(name, value)
	}
	return h, nil
}

// token reports whether s is a header's name (RFC 9110, section 5.6.2).
func token(s string) bool {
	for _, c := range s {
		if unprintable(c) || strings.ContainsRune(" \"(),/:;<=>?@[\\]{}", c) {
			return false
		}
	}
	return s != ""
}

func unprintable(c rune) bool { return c < 0x20 || c > 0x7e }

// ReadRoots makes a TLS configuration that trusts only the PEM roots of a file. The path "" means no file: then the
// system's roots are trusted. Errors: ErrRoots, the system's.
func ReadRoots(path string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12} // collectors are software of others
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(data) {
		return nil, ErrRoots
	}
	return c, nil
}
