package auth

import (
	"net/http"
	"strings"
)

// ClientCertificates authenticates requests by the verified certificate of their TLS connection. The principal is
// "mtls:" and the certificate's first URI name, or else its first DNS name. Common names are ignored. This way is
// tried last: a request that still has an Authorization header presents a credential that no other way accepted, and
// is refused.
type ClientCertificates struct {
	// Names are the subject alternative names that are accepted, exact or with a trailing "*". If it is empty, every
	// certificate that the server's client CA signed is accepted.
	Names []string
}

// Authenticate reads the connection's certificate.
func (c ClientCertificates) Authenticate(r *http.Request) (Principal, bool, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return Principal{}, false, nil
	}
	if len(r.Header.Values("Authorization")) > 0 {
		return Principal{}, false, ErrUnauthenticated
	}
	cert := r.TLS.VerifiedChains[0][0]
	var names []string
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, d := range cert.DNSNames {
		names = append(names, strings.ToLower(d))
	}
	for _, name := range names {
		p := Principal{Name: "mtls:" + name}
		if len(c.Names) == 0 && len(name) <= maxName {
			return p, true, nil
		}
		for _, pattern := range c.Names {
			if p.matches("mtls:"+pattern) && len(name) <= maxName {
				return p, true, nil
			}
		}
	}
	return Principal{}, false, ErrUnauthenticated
}
