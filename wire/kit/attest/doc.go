// Package attest verifies attestation documents of AWS Nitro Enclaves, for callers of the enclave and for key
// services.
//
// # What it guarantees
//
// If [Verify] returns a [Document], then all of this holds. Its bytes were signed with ES384 by the key of the
// certificate inside it. That certificate chains to a pinned root. The chain was valid at the moment that the
// document states, and that moment is recent. The PCRs are on the caller's allow list. The enclave is not in debug
// mode. Nonce, user data and public key are what the caller expects. Everything else is refused, with one of the
// sentinel errors of this package. The zero value of [Options] accepts nothing: a field that the caller does not ask
// for must be absent from the document.
//
// # Against whom
//
// The attacker is anyone who carries the document: the parent instance, the network, or a caller that presents
// another enclave's document, an older one, or one of a NitroTPM (which the same AWS root signs, but which has no
// "pcrs"). The root is pinned by the SHA-256 hash of its DER. The position of a certificate in "cabundle" carries no
// trust. Signature and Sig_structure cover the protected header and the payload as received, never a re-encoding of
// them.
//
// # Limits
//
// A nonce proves freshness only if the verifier made it at random and accepts it once. The caller must see to that.
// There is no revocation: AWS publishes no list, and leaf certificates live for about three hours. A document is at
// most [MaxDocument] bytes. Indefinite lengths, duplicate map keys, CBOR tags inside, and anything after the document
// are refused. Unknown keys of the payload are ignored, since AWS signs them and may add some.
//
// # Sources
//
// RFC 9052 section 4.2 (COSE_Sign1), RFC 9053 section 2.1 (ES384), RFC 5280 section 6, and the description of the
// document by AWS (aws-nitro-enclaves-nsm-api, docs/attestation_process.md). The AWS root, G1, embedded here is the
// file that AWS publishes as AWS_NitroEnclaves_Root-G1.zip. A test compares it with the fingerprint that AWS prints
// in the Nitro Enclaves user guide ("verifying the root of trust").
package attest
