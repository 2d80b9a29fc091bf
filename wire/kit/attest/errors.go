package attest

import "errors"

// These are the errors of [Verify] and [VerifyUnsigned]. Match them with errors.Is. Their texts are static.
var (
	// ErrOptions: the options allow nothing or contradict themselves (no allow list, an empty set, no root).
	ErrOptions = errors.New("attest: invalid options")
	// ErrFormat: the document is not well-formed, lacks a field, or has a field of a wrong type, length or value.
	ErrFormat = errors.New("attest: malformed document")
	// ErrAlgorithm: the signature algorithm is not ES384 or the digest is not SHA384.
	ErrAlgorithm = errors.New("attest: algorithm not allowed")
	// ErrChain: the certificate does not chain to a pinned root, or a certificate of the chain may not do what it
	// did.
	ErrChain = errors.New("attest: certificate chain not trusted")
	// ErrSignature: the signature does not verify.
	ErrSignature = errors.New("attest: bad signature")
	// ErrTime: the document is too old or from the future.
	ErrTime = errors.New("attest: document outside its time window")
	// ErrDebug: PCR0 is all zeroes, so the enclave runs in debug mode and its console can be read.
	ErrDebug = errors.New("attest: enclave in debug mode")
	// ErrMeasurement: no set of the allow list matches the PCRs.
	ErrMeasurement = errors.New("attest: measurements not allowed")
	// ErrNonce: the nonce is not the expected one.
	ErrNonce = errors.New("attest: unexpected nonce")
	// ErrUserData: the user data are not the expected ones.
	ErrUserData = errors.New("attest: unexpected user data")
	// ErrPublicKey: the public key is not the expected one.
	ErrPublicKey = errors.New("attest: unexpected public key")
)
