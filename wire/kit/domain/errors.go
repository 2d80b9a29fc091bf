package domain

import "errors"

// Errors. Each is returned as it stands: none says which byte was wrong, and none holds input.
var (
	// ErrID reports a domain id, a vault id, an ARN or a field's name that is empty, too long or has other characters
	// than it may.
	ErrID = errors.New("malformed id or name")
	// ErrDescriptor reports a descriptor that is malformed, or values that no descriptor may have.
	ErrDescriptor = errors.New("malformed domain descriptor")
	// ErrRecord reports a domain record, or a wrap, that is malformed.
	ErrRecord = errors.New("malformed domain record")
	// ErrWrap reports that a wrap does not open: another data key, another descriptor, or changed bytes. Try the next
	// wrap of the record.
	ErrWrap = errors.New("domain secret cannot be unwrapped")
	// ErrSecret reports a domain secret that is not the one of the descriptor. The record is not genuine.
	ErrSecret = errors.New("domain secret is not the descriptor's")
	// ErrSuite reports a suite that the descriptor does not allow.
	ErrSuite = errors.New("cipher suite is not allowed in this domain")
	// ErrEpoch reports an epoch of 0, or one that is not above the old one.
	ErrEpoch = errors.New("epoch of the vault key is out of range")
	// ErrVaultKey reports a wrapped vault key that is malformed.
	ErrVaultKey = errors.New("malformed wrapped vault key")
	// ErrGeneration reports a wrapped vault key of another generation than the descriptor's.
	ErrGeneration = errors.New("vault key is of another generation of the domain")
	// ErrUnwrap reports that a wrapped vault key does not open: another vault, another domain, or changed bytes.
	ErrUnwrap = errors.New("vault key cannot be unwrapped")
	// ErrStatement reports a statement that the domain did not make for this vault id and these keys. Do not seal to
	// the public key.
	ErrStatement = errors.New("vault key's statement does not verify")
	// ErrReseal reports an answer to a reseal that the domain did not make of what was sent. Nothing may be stored.
	ErrReseal = errors.New("reseal's statement does not verify")
)
