package kms

import "testing"

// BenchmarkUnwrap is one Decrypt against the fake in this process, whose work (TLS, verifying the document, sealing
// the envelope) is in the figure.
func BenchmarkUnwrap(b *testing.B) {
	f := newFakeKMS(b)
	c, _ := newTestClient(b, f)
	r := vaultKey("v_1", "private key")
	b.ReportAllocs()
	for b.Loop() {
		mustUnwrap(b, c, r, "private key")
	}
}
