// Package attest verifies attestation documents of AWS Nitro Enclaves.
//
// # What it guarantees
//
// When [Verify] returns a [Document], then its bytes were signed with ES384 by the key of the certificate inside it,
// that certificate chains to a pinned root, the chain was valid at the moment the document states, that moment is
// recent, the PCRs are on the caller's allow list, the enclave is not in debug mode, and nonce, user data and public
// key are what the caller expects. Everything else is refused, with one of the sentinel errors of this package.
// The zero value of [Options] accepts nothing: what a caller does not ask for must be absent from the document.
//
// # Against whom
//
// Whoever carries the document: the parent instance, the network, a caller who presents another enclave's document,
// an older one, or one of a NitroTPM (which the same AWS root signs, but which has no "pcrs"). The root is pinned by
// the SHA-256 hash of its DER; the position of a certificate in "cabundle" carries no trust. Signature and
// Sig_structure cover the protected header and the payload as received, never a re-encoding of them.
//
// # Limits
//
// A nonce proves freshness only if the verifier made it at random and accepts it once; keeping that promise is the
// caller's part. There is no revocation: AWS publishes no list, and leaf certificates live for about three hours.
// A document is at most [MaxDocument] bytes. Indefinite lengths, duplicate map keys, CBOR tags inside, and anything
// after the document are refused. Unknown keys of the payload are ignored, since AWS signs them and may add some.
//
// # Sources
//
// RFC 9052 section 4.2 (COSE_Sign1), RFC 9053 section 2.1 (ES384), RFC 5280 section 6, and the description of the
// document by AWS (aws-nitro-enclaves-nsm-api, docs/attestation_process.md). The AWS root, G1, embedded here is the
// file that AWS publishes as AWS_NitroEnclaves_Root-G1.zip; a test compares it with the fingerprint that AWS prints
// in the Nitro Enclaves user guide ("verifying the root of trust").
package attest
