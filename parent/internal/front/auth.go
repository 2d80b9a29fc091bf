package front

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// Auth decides who may use the routes that touch data. A caller is admitted by a bearer key or by a verified client
// certificate, whichever the deployment has. With both configured, either is enough.
type Auth struct {
	keys  atomic.Pointer[[]key]
	certs bool
}

// key is one caller's bearer key, of which only the hash is kept. Keys are random, so a plain hash is enough.
type key struct {
	name string
	hash [sha256.Size]byte
}

// NewAuth makes an Auth. certs says that the listener verifies client certificates, and that they count.
func NewAuth(certs bool) *Auth {
	a := &Auth{certs: certs}
	a.keys.Store(&[]key{})
	return a
}

// ErrKeys is returned for a malformed file of keys.
var ErrKeys = errors.New("malformed api keys file")

// maxKeys bounds the keys of a file, since every request with a key is compared with all of them.
const maxKeys = 64

// Load replaces the keys by those of r: a line "NAME SHA256HEX" each. Empty lines and lines with '#' are skipped. On
// an error the old keys stay.
func (a *Auth) Load(r io.Reader) error {
	var keys []key
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, digest, _ := bytes.Cut(line, []byte{' '})
		k := key{name: string(name)}
		raw, err := hex.DecodeString(string(bytes.TrimSpace(digest)))
		if err != nil || len(raw) != len(k.hash) || !validName(name) || len(keys) == maxKeys {
			return fmt.Errorf("%w: line %d", ErrKeys, n)
		}
		copy(k.hash[:], raw)
		keys = append(keys, k)
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: no keys", ErrKeys)
	}
	a.keys.Store(&keys)
	return nil
}

var (
	hAuthorization = []byte("Authorization")
	bearerPrefix   = []byte("Bearer ")
)

// allow reports whether the request may proceed, and who the caller is.
func (a *Auth) allow(ctx *fasthttp.RequestCtx) (caller string, ok bool) {
	if a.certs {
		if c, isConn := ctx.Conn().(*conn); isConn {
			if name := c.peer(); name != "" {
				return name, true
			}
		}
	}
	return a.Bearer(ctx.Request.Header.PeekBytes(hAuthorization))
}

// Bearer reports whether the value of an Authorization header holds a key, and whose key it is.
func (a *Auth) Bearer(h []byte) (caller string, ok bool) {
	if len(h) <= len(bearerPrefix) || !bytes.EqualFold(h[:len(bearerPrefix)], bearerPrefix) {
		return "", false
	}
	return a.match(h[len(bearerPrefix):])
}

// match compares in time that does not depend on which key matches, or how much of one. So no branch of its loop
// depends on a comparison.
func (a *Auth) match(presented []byte) (name string, ok bool) {
	sum, keys, found := sha256.Sum256(presented), *a.keys.Load(), -1
	for i := range keys {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], keys[i].hash[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return keys[found].name, true
}

// peerName is a certificate's name for logs: its first URI or DNS name, or else its common name.
func peerName(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	}
	return "certificate"
}

// maxName bounds the name of a key, in bytes.
const maxName = 128

// validName reports whether the name of a key is safe to log.
func validName(name []byte) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	for _, c := range name {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}
