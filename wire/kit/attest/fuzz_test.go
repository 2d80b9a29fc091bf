package attest_test

import (
	"bytes"
	"testing"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

// FuzzVerify throws bytes at the whole verifier. Nothing but the one genuine document may pass, tagged or not.
func FuzzVerify(f *testing.F) {
	authority := newAuthority(f, attesttest.Chain{Intermediates: 1})
	opts := goodOptions(authority)
	genuine := issue(f, authority, goodSpec())
	f.Add(genuine)
	f.Add(genuine[1:])
	f.Add([]byte{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x41, 0xa0, 0x40})
	f.Add([]byte{0xd2, 0x9f, 0xff})
	f.Fuzz(func(t *testing.T, document []byte) {
		_, err := attest.Verify(document, opts)
		if err == nil && !bytes.Equal(bytes.TrimPrefix(document, []byte{0xd2}), genuine[1:]) {
			t.Errorf("accepted a document that was never issued")
		}
		_, _ = attest.VerifyUnsigned(document, opts)
	})
}

// FuzzPayload signs whatever the fuzzer makes, so that the code behind the parser is reached with hostile input.
func FuzzPayload(f *testing.F) {
	authority := newAuthority(f, attesttest.Chain{Intermediates: 1})
	opts := goodOptions(authority)
	spec := goodSpec()
	var good []byte
	spec.EditPayloadBytes = func(p []byte) []byte { good = bytes.Clone(p); return p }
	issue(f, authority, spec)
	f.Add(good)
	f.Add([]byte{0xa1, 0x64, 'p', 'c', 'r', 's', 0xa0})
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		spec := goodSpec()
		spec.EditPayloadBytes = func([]byte) []byte { return payload }
		doc, err := attest.Verify(issue(t, authority, spec), opts)
		if err != nil {
			return
		}
		if !bytes.Equal(doc.Nonce, spec.Nonce) || !doc.PCRs.Match(attesttest.DefaultPCRs()) {
			t.Errorf("accepted a document against the expectations")
		}
	})
}
