// Package edge is the parent's border to the network: TLS 1.3, client certificates, the PROXY protocol.
//
// TLS is 1.3 only, with X25519MLKEM768 preferred, so that a future quantum computer cannot open what is recorded
// today. Certificate, key and client roots are loaded again without a restart. A connection keeps those with which it
// was made. If the front requires a client certificate, it is verified against the given roots. If names are listed,
// it must carry one of them exactly, as a DNS or URI subject alternative name. Its common name is ignored.
//
// A PROXY protocol header (version 2) is accepted only from the configured addresses, which must send one. From any
// other address it ends the connection.
package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// TLSFiles names the PEM files. ClientCA is empty if clients show no certificates.
type TLSFiles struct {
	Cert, Key, ClientCA string
}

// TLS holds what the listener uses at present.
type TLS struct {
	files TLSFiles
	sans  []string
	now   atomic.Pointer[loaded]
}

type loaded struct {
	config *tls.Config
	ends   time.Time
}

// Errors of certificates.
var (
	ErrCertificate = errors.New("certificate, key or client roots cannot be used")
	// ErrSAN: a client's certificate has none of the listed names.
	ErrSAN = errors.New("client certificate has no allowed name")
)

// NewTLS makes a TLS without certificates: Load must succeed before Config is used. sans limits client certificates
// to those names. nil allows any certificate of the roots.
func NewTLS(files TLSFiles, sans []string) (*TLS, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, fmt.Errorf("%w: no file given", ErrCertificate)
	}
	return &TLS{files: files, sans: sans}, nil
}

// Files are the files that Load reads.
func (t *TLS) Files() []string {
	files := []string{t.files.Cert, t.files.Key}
	if t.files.ClientCA != "" {
		files = append(files, t.files.ClientCA)
	}
	return files
}

// Load reads the files. On an error what was loaded before stays in use.
func (t *TLS) Load() error {
	cert, err := tls.LoadX509KeyPair(t.files.Cert, t.files.Key)
	if err != nil {
		return ErrCertificate // the cause may quote the file
	}
	c := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		// This is the set of curves. Go decides the order: since 1.24 it ranks hybrids first.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		NextProtos:       []string{"http/1.1"},
	}
	if t.files.ClientCA != "" {
		pem, err := os.ReadFile(t.files.ClientCA)
		if err != nil {
			return ErrCertificate
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return ErrCertificate
		}
		// Health checks show no certificate. The front requires one wherever data is involved.
		c.ClientCAs, c.ClientAuth = roots, tls.VerifyClientCertIfGiven
		c.VerifyConnection = t.verify
	}
	t.now.Store(&loaded{config: c, ends: cert.Leaf.NotAfter})
	return nil
}

// verify checks the names of a client certificate. It runs for resumed sessions too.
func (t *TLS) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 || len(t.sans) == 0 {
		return nil
	}
	leaf := s.PeerCertificates[0]
	for _, name := range leaf.DNSNames {
		if slices.Contains(t.sans, name) {
			return nil
		}
	}
	for _, uri := range leaf.URIs {
		if slices.Contains(t.sans, uri.String()) {
			return nil
		}
	}
	return ErrSAN
}

// Config is the listener's configuration: each handshake uses what was loaded last.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return t.now.Load().config, nil
		},
	}
}

// NotAfter is the end of the current certificate.
func (t *TLS) NotAfter() time.Time {
	if l := t.now.Load(); l != nil {
		return l.ends
	}
	return time.Time{}
}
