package attest

import "errors"

// Errors of [Verify] and [VerifyUnsigned]. They are matched with errors.Is; their texts are static.
var (
	// ErrOptions: the options allow nothing or contradict themselves (no allow list, an empty set, no root).
	ErrOptions = errors.New("attest: invalid options")
	// ErrFormat: the document is not well-formed, misses a field, or has one of a wrong type, length or value.
	ErrFormat = errors.New("attest: malformed document")
	// ErrAlgorithm: the signature algorithm is not ES384 or the digest is not SHA384.
	ErrAlgorithm = errors.New("attest: algorithm not allowed")
	// ErrChain: the certificate does not chain to a pinned root, or a certificate on the way may not do what it did.
	ErrChain = errors.New("attest: certificate chain not trusted")
	// ErrSignature: the signature does not verify.
	ErrSignature = errors.New("attest: bad signature")
	// ErrTime: the document is too old or from the future.
	ErrTime = errors.New("attest: document outside its time window")
	// ErrDebug: PCR0 is all zeroes, so the enclave runs in debug mode and its console can be read.
	ErrDebug = errors.New("attest: enclave in debug mode")
	// ErrMeasurement: no set of the allow list matches the PCRs.
	ErrMeasurement = errors.New("attest: measurements not allowed")
	// ErrNonce: the nonce is not the one expected.
	ErrNonce = errors.New("attest: unexpected nonce")
	// ErrUserData: the user data are not those expected.
	ErrUserData = errors.New("attest: unexpected user data")
	// ErrPublicKey: the public key is not the one expected.
	ErrPublicKey = errors.New("attest: unexpected public key")
)
