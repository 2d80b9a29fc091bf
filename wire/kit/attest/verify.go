package attest

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Verify checks an attestation document, tagged (COSE tag 18) or untagged, against opts. The errors are those of this
// package. The document is not kept, and the result is a copy. It costs five P-384 verifications, some milliseconds.
func Verify(document []byte, opts Options) (*Document, error) {
	if err := opts.valid(); err != nil {
		return nil, err
	}
	msg, err := parseSign1(document, algES384)
	if err != nil {
		return nil, err
	}
	if len(msg.signature) != signatureSize {
		return nil, fmt.Errorf("%w: signature length", ErrFormat)
	}
	body, err := parsePayload(msg.payload)
	if err != nil {
		return nil, err
	}
	doc, err := body.document()
	if err != nil {
		return nil, err
	}
	if doc.Certificate, err = verifyChain(body, opts.pinned(), doc.Time); err != nil {
		return nil, err
	}
	if err := msg.verify(doc.Certificate); err != nil {
		return nil, err
	}
	if err := opts.accept(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// VerifyUnsigned checks everything but signature and certificates. It requires both to be the 64 zero bytes that
// QEMU's emulation of the Nitro Secure Module puts there, under the algorithm none (-1).
//
// DANGER: such a document proves nothing; anybody can make one. This is for a testbed without Nitro hardware, behind
// a switch that names the danger, on loopback. No production code path may reach it.
func VerifyUnsigned(document []byte, opts Options) (*Document, error) {
	if err := opts.valid(); err != nil {
		return nil, err
	}
	msg, err := parseSign1(document, algNone)
	if errors.Is(err, ErrAlgorithm) {
		return nil, fmt.Errorf("%w: not an unsigned document", ErrSignature)
	}
	if err != nil {
		return nil, err
	}
	body, err := parsePayload(msg.payload)
	if err != nil {
		return nil, err
	}
	var zero [unsignedSize]byte
	if !bytes.Equal(msg.signature, zero[:]) || !bytes.Equal(body.Certificate, zero[:]) {
		return nil, fmt.Errorf("%w: not an unsigned document", ErrSignature)
	}
	doc, err := body.document()
	if err != nil {
		return nil, err
	}
	if err := opts.accept(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// accept applies time window, policy and expectations to a document whose signature was checked.
func (o *Options) accept(doc *Document) error {
	if err := o.checkTime(doc.Time); err != nil {
		return err
	}
	if pcr0, ok := doc.PCRs[0]; !o.AllowDebug && (!ok || pcr0.IsZero()) {
		return ErrDebug
	}
	if !o.UncheckedPCRs && !o.allows(doc.PCRs) {
		return ErrMeasurement
	}
	switch {
	case !o.Nonce.met(doc.Nonce):
		return ErrNonce
	case !o.UserData.met(doc.UserData):
		return ErrUserData
	case !o.PublicKey.met(doc.PublicKey):
		return ErrPublicKey
	}
	return nil
}

func (o *Options) allows(pcrs PCRs) bool {
	for _, set := range o.Allowed {
		if pcrs.Match(set) {
			return true
		}
	}
	return false
}

func (o *Options) checkTime(made time.Time) error {
	now, maxAge, skew := time.Now, o.MaxAge, o.Skew
	if o.Now != nil {
		now = o.Now
	}
	if maxAge == 0 {
		maxAge = DefaultMaxAge
	}
	if skew == 0 {
		skew = DefaultSkew
	}
	age := now().Sub(made)
	if age > maxAge || age < -skew {
		return ErrTime
	}
	return nil
}
