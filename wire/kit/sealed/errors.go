package sealed

import "errors"

// The errors of this package. Their texts are static; none says which byte was wrong or quotes an input.
var (
	// ErrOpen is the one error of opening: wrong key, vault, name, encoding or a changed bit all look alike.
	ErrOpen = errors.New("cannot be opened")
	// ErrSuite is an unknown cipher suite.
	ErrSuite = errors.New("unknown cipher suite")
	// ErrEncoding is an unknown encoding, or a value whose form is none of the encodings.
	ErrEncoding = errors.New("unknown encoding")
	// ErrBlob is a sealed field that is too short, malformed, or in another form than its encoding says.
	ErrBlob = errors.New("malformed sealed field")
	// ErrName is a field name that is empty, too long or has characters that are not allowed.
	ErrName = errors.New("malformed field name")
	// ErrSameName is two names of one write that are equal once normalised.
	ErrSameName = errors.New("two field names are equal once normalised")
	// ErrKey is a key that is malformed, not on its curve, or of another suite.
	ErrKey = errors.New("malformed key or wrong cipher suite")
	// ErrSeal is a failure to seal: no randomness.
	ErrSeal = errors.New("cannot be sealed")
)
