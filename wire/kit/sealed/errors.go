package sealed

import "errors"

// These are the errors of this package. Their texts are static. None says which byte was wrong, and none quotes an
// input.
var (
	// ErrOpen is the one error of opening. A wrong key, vault, name or encoding and a changed bit all look alike.
	ErrOpen = errors.New("cannot be opened")
	// ErrSuite is an unknown cipher suite.
	ErrSuite = errors.New("unknown cipher suite")
	// ErrEncoding reports an unknown encoding, or a value that has the form of no encoding.
	ErrEncoding = errors.New("unknown encoding")
	// ErrBlob reports a sealed field that is too short, malformed, or in another form than its encoding says.
	ErrBlob = errors.New("malformed sealed field")
	// ErrName reports a field name that is empty, too long or has characters that are not allowed.
	ErrName = errors.New("malformed field name")
	// ErrSameName reports two names of one write that are equal once normalised.
	ErrSameName = errors.New("two field names are equal once normalised")
	// ErrKey reports a key that is malformed, not on its curve, or of another suite.
	ErrKey = errors.New("malformed key or wrong cipher suite")
	// ErrSeal reports that sealing failed for want of random bytes.
	ErrSeal = errors.New("cannot be sealed")
)
