// Package attesttest issues attestation documents for tests, and for the development build's software NSM. They are
// real COSE_Sign1 messages, signed with ES384 by a leaf certificate that chains to a root of its own.
//
// Such documents prove nothing about any hardware. They pass [attest.Verify] only if the verifier was told to pin the
// root that this package made. A production enclave MUST NOT link this package; a test of enclave/internal/nsm proves
// that it does not.
//
// The chain and the documents have the shape of AWS's: root, intermediates, leaf, all on P-384 with SHA-384; the leaf
// lives for three hours. Every part can be changed through [Chain] and [Spec], so that a verifier can be shown each
// kind of broken document.
package attesttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"redoubt/wire/kit/attest"
)

// Lives of certificates.
const (
	rootLife         = 30 * 365 * 24 * time.Hour
	intermediateLife = 20 * 24 * time.Hour
	leafLife         = 3 * time.Hour
	backdate         = 2 * time.Hour // clocks may be set back meanwhile
)

// ErrRoot is returned when the given root certificate or key cannot be used.
var ErrRoot = errors.New("attesttest: unusable root")

// A Chain says how an [Authority]'s certificates are made. The zero value gives a fresh root, two intermediates and
// a P-384 leaf, all valid now.
type Chain struct {
	// RootCertPEM and RootKeyPEM (PKCS#8 or SEC 1, P-384) are a root to use; both empty means a throw-away one.
	RootCertPEM, RootKeyPEM []byte
	// Intermediates is the number of certificates between root and leaf; 0 means 2, a negative number none.
	Intermediates int
	// Now is the clock for validity and for documents without a time; nil means time.Now.
	Now func() time.Time
	// EditRoot, EditIntermediate and EditLeaf change the templates before they are signed; i counts from the root.
	EditRoot         func(*x509.Certificate)
	EditIntermediate func(i int, c *x509.Certificate)
	EditLeaf         func(*x509.Certificate)
	// LeafCurve is the leaf's curve; nil means P-384.
	LeafCurve elliptic.Curve
	// IntermediateCurve is that of the intermediates; nil means P-384.
	IntermediateCurve elliptic.Curve
}

// An Authority issues documents. It is safe for concurrent use.
type Authority struct {
	chain   Chain
	root    *x509.Certificate
	rootKey *ecdsa.PrivateKey

	mu     sync.Mutex
	issued *issuer // renewed when half of the leaf's life is over
}

// issuer is a leaf with the certificates above it, as they go into a document.
type issuer struct {
	leafDER []byte
	leafKey *ecdsa.PrivateKey
	bundle  [][]byte // root first, as AWS orders them
	renew   time.Time
}

// New makes an authority. It fails with ErrRoot when a given root is unusable.
func New(chain Chain) (*Authority, error) {
	a := &Authority{chain: chain}
	if a.chain.Now == nil {
		a.chain.Now = time.Now
	}
	switch {
	case a.chain.Intermediates == 0:
		a.chain.Intermediates = 2
	case a.chain.Intermediates < 0:
		a.chain.Intermediates = 0
	}
	var err error
	if len(chain.RootCertPEM) > 0 || len(chain.RootKeyPEM) > 0 {
		err = a.loadRoot(chain.RootCertPEM, chain.RootKeyPEM)
	} else {
		err = a.makeRoot()
	}
	if err != nil {
		return nil, err
	}
	if _, err := a.current(); err != nil {
		return nil, err
	}
	return a, nil
}

// Root returns the pin of this authority's root, for attest.Options.
func (a *Authority) Root() attest.Root { return attest.PinCertificate(a.root) }

// RootCertPEM returns the root certificate as PEM.
func (a *Authority) RootCertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// RootKeyPEM returns the root's private key as PEM (PKCS#8).
func (a *Authority) RootKeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.rootKey)
	if err != nil {
		return nil, fmt.Errorf("attesttest: encode root key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func (a *Authority) loadRoot(certPEM, keyPEM []byte) error {
	pinned, err := attest.ParseRoot(certPEM)
	if err != nil {
		return fmt.Errorf("%w: certificate", ErrRoot)
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return fmt.Errorf("%w: key is not PEM", ErrRoot)
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return err
	}
	public, ok := pinned.Certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || !public.Equal(&key.PublicKey) {
		return fmt.Errorf("%w: certificate and key do not belong together", ErrRoot)
	}
	a.root, a.rootKey = pinned.Certificate, key
	return nil
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	if parsed, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if key, ok := parsed.(*ecdsa.PrivateKey); ok {
			return key, nil
		}
		return nil, fmt.Errorf("%w: key type", ErrRoot)
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: key does not parse", ErrRoot)
	}
	return key, nil
}

func (a *Authority) makeRoot() error {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return fmt.Errorf("attesttest: make root key: %w", err)
	}
	template := authorityTemplate("redoubt.test-root", a.chain.Now(), rootLife)
	if a.chain.EditRoot != nil {
		a.chain.EditRoot(template)
	}
	a.root, err = sign(template, template, &key.PublicKey, key)
	a.rootKey = key
	return err
}

// current returns the issuer, made anew when half of its leaf's life is over.
func (a *Authority) current() (*issuer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.chain.Now()
	if a.issued != nil && now.Before(a.issued.renew) {
		return a.issued, nil
	}
	fresh, err := a.makeIssuer(now)
	if err != nil {
		return nil, err
	}
	a.issued = fresh
	return fresh, nil
}

func (a *Authority) makeIssuer(now time.Time) (*issuer, error) {
	parent, parentKey := a.root, a.rootKey
	out := &issuer{bundle: [][]byte{a.root.Raw}, renew: now.Add(leafLife / 2)}
	for i := range a.chain.Intermediates {
		key, err := ecdsa.GenerateKey(curveOr384(a.chain.IntermediateCurve), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("attesttest: make intermediate key: %w", err)
		}
		template := authorityTemplate(fmt.Sprintf("redoubt.test-intermediate-%d", i), now, intermediateLife)
		template.MaxPathLen = a.chain.Intermediates - 1 - i
		template.MaxPathLenZero = template.MaxPathLen == 0
		if a.chain.EditIntermediate != nil {
			a.chain.EditIntermediate(i, template)
		}
		cert, err := sign(template, parent, &key.PublicKey, parentKey)
		if err != nil {
			return nil, err
		}
		parent, parentKey = cert, key
		out.bundle = append(out.bundle, cert.Raw)
	}
	key, err := ecdsa.GenerateKey(curveOr384(a.chain.LeafCurve), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("attesttest: make leaf key: %w", err)
	}
	template := leafTemplate(now)
	if a.chain.EditLeaf != nil {
		a.chain.EditLeaf(template)
	}
	leaf, err := sign(template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	out.leafDER, out.leafKey = leaf.Raw, key
	return out, nil
}

func curveOr384(c elliptic.Curve) elliptic.Curve {
	if c == nil {
		return elliptic.P384()
	}
	return c
}

func authorityTemplate(name string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Redoubt development"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            -1,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
}

func leafTemplate(now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "redoubt.test-enclave"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLife),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}
}

func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey,
) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("attesttest: serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("attesttest: sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("attesttest: parse own certificate: %w", err)
	}
	return cert, nil
}
