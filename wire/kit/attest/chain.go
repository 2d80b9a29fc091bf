package attest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"time"
)

// verifyChain builds a chain, valid at the given time, from the document's certificate to a pinned root, and returns
// the leaf. The bundle is an unordered set of certificates: only a matching hash makes one of them a root.
func verifyChain(body *payload, pinned []Root, at time.Time) (*x509.Certificate, error) {
	leaf, err := parseCertificate(body.Certificate)
	if err != nil {
		return nil, err
	}
	if err := checkLeaf(leaf); err != nil {
		return nil, err
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for i := range pinned {
		if pinned[i].Certificate != nil {
			roots.AddCert(pinned[i].Certificate)
		}
	}
	for _, der := range body.Bundle {
		cert, err := parseCertificate(der)
		if err != nil {
			return nil, err
		}
		if isPinned(cert, pinned) {
			roots.AddCert(cert)
		} else {
			intermediates.AddCert(cert)
		}
	}
	// The leaf has no extended key usage that x509 knows. checkLeaf checks its use.
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: no path to a pinned root", ErrChain)
	}
	for _, chain := range chains {
		if checkAuthorities(chain[1:]) {
			return leaf, nil
		}
	}
	return nil, fmt.Errorf("%w: an authority may not sign certificates", ErrChain)
}

func isPinned(cert *x509.Certificate, pinned []Root) bool {
	for i := range pinned {
		if pinned[i].matches(cert) {
			return true
		}
	}
	return false
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: a certificate does not parse", ErrChain)
	}
	return cert, nil
}

// checkLeaf requires an end-entity certificate for P-384 signatures.
func checkLeaf(leaf *x509.Certificate) error {
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || key.Curve != elliptic.P384():
		return fmt.Errorf("%w: leaf key is not P-384", ErrAlgorithm)
	case leaf.SignatureAlgorithm != x509.ECDSAWithSHA384:
		return fmt.Errorf("%w: leaf is not signed with SHA-384", ErrAlgorithm)
	case leaf.IsCA:
		return fmt.Errorf("%w: leaf is an authority", ErrChain)
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("%w: leaf may not sign", ErrChain)
	}
	return nil
}

// checkAuthorities adds to x509's rules (basicConstraints, pathLen, validity, names) two that x509 does not enforce:
// keyUsage must be there, and every key must be P-384 with SHA-384 signatures.
func checkAuthorities(authorities []*x509.Certificate) bool {
	for _, ca := range authorities {
		key, ok := ca.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P384() || ca.SignatureAlgorithm != x509.ECDSAWithSHA384 {
			return false
		}
		if !ca.BasicConstraintsValid || !ca.IsCA || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
			return false
		}
	}
	return len(authorities) > 0
}
