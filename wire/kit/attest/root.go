package attest

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"sync"
)

// AWSRootFingerprint is the SHA-256 hash of the DER of the AWS Nitro Enclaves root certificate G1, as AWS prints it.
const AWSRootFingerprint = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

//go:embed aws-nitro-root-g1.pem
var awsRootPEM []byte

// A Root is a pinned root certificate, identified by the SHA-256 hash of its DER. The certificate itself is either
// given here or found by that hash in the document's bundle.
type Root struct {
	// Hash is SHA-256 over the certificate's DER.
	Hash [sha256.Size]byte
	// Certificate may be nil. If it is not, it must have this hash.
	Certificate *x509.Certificate
}

// AWSRoot returns the AWS Nitro Enclaves root G1.
func AWSRoot() Root { return awsRoot() }

var awsRoot = sync.OnceValue(func() Root {
	// The pin is the constant, not the file: an altered embedded file would be ignored.
	var root Root
	if _, err := hex.Decode(root.Hash[:], []byte(AWSRootFingerprint)); err != nil {
		return Root{}
	}
	if file, err := ParseRoot(awsRootPEM); err == nil && file.Hash == root.Hash {
		return file
	}
	return root
})

// ParseRoot pins the one certificate in a PEM file. It fails with ErrOptions for anything but exactly one block of
// type CERTIFICATE.
func ParseRoot(pemFile []byte) (Root, error) {
	block, rest := pem.Decode(pemFile)
	if block == nil || block.Type != "CERTIFICATE" {
		return Root{}, fmt.Errorf("%w: root is not a PEM certificate", ErrOptions)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return Root{}, fmt.Errorf("%w: more than one root in a file", ErrOptions)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Root{}, fmt.Errorf("%w: root does not parse", ErrOptions)
	}
	return PinCertificate(cert), nil
}

// PinCertificate pins a certificate that the caller already trusts.
func PinCertificate(cert *x509.Certificate) Root {
	return Root{Hash: sha256.Sum256(cert.Raw), Certificate: cert}
}

func (r *Root) valid() error {
	switch {
	case r.Hash == [sha256.Size]byte{}:
		return fmt.Errorf("%w: a root without a hash", ErrOptions)
	case r.Certificate != nil && !r.matches(r.Certificate):
		return fmt.Errorf("%w: a root's certificate and hash differ", ErrOptions)
	}
	return nil
}

func (r *Root) matches(cert *x509.Certificate) bool {
	sum := sha256.Sum256(cert.Raw)
	return subtle.ConstantTimeCompare(sum[:], r.Hash[:]) == 1
}
