package kms

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strconv"

	"redoubt/wire/kit/attest"
)

// recipientRequest is the member Recipient of an attested call.
type recipientRequest struct {
	AttestationDocument    []byte
	KeyEncryptionAlgorithm string
}

// recipient is what a verified attestation document proves: a public key and measurements.
type recipient struct {
	key   *rsa.PublicKey
	facts map[string]string // condition keys, lower case
}

// Sizes of an attested RSA key, in bits. KMS asks for 2048.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// verifyRecipient checks the attestation document (chain, signature, time, form) against the pinned roots. The key
// policy judges the measurements. A document for KMS has a public key and no nonce.
func (c *call) verifyRecipient(in *recipientRequest) (*recipient, error) {
	if in.KeyEncryptionAlgorithm != "RSAES_OAEP_SHA_256" {
		return nil, validationError("KeyEncryptionAlgorithm must be RSAES_OAEP_SHA_256.")
	}
	doc, known := c.verified.get(in.AttestationDocument, c.now())
	if !known {
		var err error
		if doc, err = c.verifyDocument(in.AttestationDocument); err != nil {
			c.log.Warn("attestation document refused", "reason", err)
			return nil, validationError("The attestation document is not valid: " + attestationReason(err))
		}
		c.verified.put(in.AttestationDocument, doc)
	}
	c.attested = true
	parsed, err := x509.ParsePKIXPublicKey(doc.PublicKey)
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok || key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits {
		return nil, validationError("The attestation document's public key is not an RSA key of 2048 to 4096 bits.")
	}
	r := &recipient{key: key, facts: make(map[string]string, len(doc.PCRs)+1)}
	for index, value := range doc.PCRs {
		r.facts[condPCR+strconv.Itoa(index)] = value.String()
		if index == 0 {
			r.facts[condImageSha384] = value.String()
		}
	}
	return r, nil
}

func (c *call) verifyDocument(document []byte) (*attest.Document, error) {
	opts := attest.Options{
		Roots: c.roots, UncheckedPCRs: true, PublicKey: attest.Present(), UserData: attest.Any(), Now: c.now,
	}
	if c.acceptUnsigned {
		// QEMU outside its nitro-enclave machine has no PCR0; the policy still judges the registers that are there.
		unsigned := opts
		unsigned.AllowDebug = true
		doc, err := attest.VerifyUnsigned(document, unsigned)
		if err == nil || len(c.roots) == 0 || !errors.Is(err, attest.ErrSignature) {
			return doc, err
		}
	}
	if len(c.roots) == 0 { // an empty list would mean Amazon's root, whose documents are not for a stand-in
		return nil, attest.ErrChain
	}
	return attest.Verify(document, opts)
}

// attestationReason names the class of the error, whose texts are static.
func attestationReason(err error) string {
	for _, class := range []error{
		attest.ErrFormat, attest.ErrAlgorithm, attest.ErrChain, attest.ErrSignature, attest.ErrTime, attest.ErrDebug,
		attest.ErrNonce, attest.ErrUserData, attest.ErrPublicKey,
	} {
		if errors.Is(err, class) {
			return class.Error()
		}
	}
	return "refused"
}

// factsOf accepts a nil recipient: then no attestation condition key is present.
func factsOf(r *recipient) map[string]string {
	if r == nil {
		return nil
	}
	return r.facts
}
