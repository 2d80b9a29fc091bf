package attesttest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"redoubt/wire/kit/attest"
)

// A Spec says what a document contains. The zero value gives a document with PCR0 to PCR2 set to recognisable
// values, made now, without nonce, user data or public key.
type Spec struct {
	// ModuleID names the enclave; empty means a fixed name of this package.
	ModuleID string
	// Time is the document's time; zero means the authority's clock.
	Time time.Time
	// PCRs are the registers; nil means [DefaultPCRs].
	PCRs attest.PCRs
	// PublicKey, UserData and Nonce are left out (null) when nil.
	PublicKey, UserData, Nonce []byte

	// EditPayload changes the map before it is encoded and signed. Keys are those of the payload; delete or replace.
	EditPayload func(map[string]any)
	// EditPayloadBytes replaces the encoded payload before it is signed.
	EditPayloadBytes func([]byte) []byte
	// Protected replaces the protected header's bytes; nil means {1: -35}. It is what is signed, too.
	Protected []byte
	// Unprotected replaces the unprotected header; nil means an empty map.
	Unprotected any
	// EditSignature changes the 96 bytes r‖s after signing.
	EditSignature func([]byte) []byte
	// Untagged leaves out COSE's tag 18, as the Nitro Secure Module does.
	Untagged bool
}

// DefaultPCRs returns PCR0, PCR1 and PCR2, filled with 0x10, 0x11 and 0x12.
func DefaultPCRs() attest.PCRs {
	pcrs := make(attest.PCRs, 3)
	for i := range 3 {
		var m attest.Measurement
		for j := range m {
			m[j] = byte(0x10 + i)
		}
		pcrs[i] = m
	}
	return pcrs
}

// Issue makes and signs a document.
func (a *Authority) Issue(spec Spec) ([]byte, error) {
	by, err := a.current()
	if err != nil {
		return nil, err
	}
	payload, err := a.payload(spec, by)
	if err != nil {
		return nil, err
	}
	protected := spec.Protected
	if protected == nil {
		protected = []byte{0xa1, 0x01, 0x38, 0x22} // {1: -35}, ES384
	}
	signature, err := signES384(by.leafKey, protected, payload)
	if err != nil {
		return nil, err
	}
	if spec.EditSignature != nil {
		signature = spec.EditSignature(signature)
	}
	unprotected := spec.Unprotected
	if unprotected == nil {
		unprotected = map[any]any{}
	}
	document, err := cbor.Marshal([]any{protected, unprotected, payload, signature})
	if err != nil {
		return nil, fmt.Errorf("attesttest: encode document: %w", err)
	}
	if !spec.Untagged {
		document = append([]byte{0xd2}, document...)
	}
	return document, nil
}

func (a *Authority) payload(spec Spec, by *issuer) ([]byte, error) {
	if spec.ModuleID == "" {
		spec.ModuleID = "i-00000000000000000-enc0000000000000000"
	}
	if spec.Time.IsZero() {
		spec.Time = a.chain.Now()
	}
	if spec.PCRs == nil {
		spec.PCRs = DefaultPCRs()
	}
	pcrs := make(map[uint64][]byte, len(spec.PCRs))
	for i, m := range spec.PCRs {
		pcrs[uint64(i)] = append([]byte(nil), m[:]...)
	}
	fields := map[string]any{
		"module_id": spec.ModuleID, "digest": "SHA384", "timestamp": uint64(spec.Time.UnixMilli()),
		"pcrs": pcrs, "certificate": by.leafDER, "cabundle": append([][]byte(nil), by.bundle...),
		"public_key": nullable(spec.PublicKey), "user_data": nullable(spec.UserData), "nonce": nullable(spec.Nonce),
	}
	if spec.EditPayload != nil {
		spec.EditPayload(fields)
	}
	encoded, err := cbor.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("attesttest: encode payload: %w", err)
	}
	if spec.EditPayloadBytes != nil {
		encoded = spec.EditPayloadBytes(encoded)
	}
	return encoded, nil
}

func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// signES384 signs the Sig_structure of RFC 9052 section 4.4; the signature is r‖s, each as long as the curve's order.
func signES384(key *ecdsa.PrivateKey, protected, payload []byte) ([]byte, error) {
	toSign, err := cbor.Marshal([]any{"Signature1", protected, []byte{}, payload})
	if err != nil {
		return nil, fmt.Errorf("attesttest: encode what is signed: %w", err)
	}
	digest := sha512.Sum384(toSign)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("attesttest: sign: %w", err)
	}
	size := (key.Params().N.BitLen() + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}

// Unsigned makes a document as QEMU's emulation of the Nitro Secure Module does: the same payload, with 64 zero
// bytes for signature and certificate, and -1 for the algorithm.
func (a *Authority) Unsigned(spec Spec) ([]byte, error) {
	edit := spec.EditPayload
	spec.EditPayload = func(fields map[string]any) {
		fields["certificate"] = make([]byte, 64)
		fields["cabundle"] = [][]byte{make([]byte, 64)}
		if edit != nil {
			edit(fields)
		}
	}
	spec.EditSignature = func([]byte) []byte { return make([]byte, 64) }
	if spec.Protected == nil {
		spec.Protected = []byte{0xa1, 0x01, 0x20} // {1: -1}: not signed
	}
	return a.Issue(spec)
}
