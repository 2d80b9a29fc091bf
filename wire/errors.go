package wire

import "errors"

// ErrMalformed is wrapped by every failure to decode a message: errors.Is(err, ErrMalformed).
var ErrMalformed = errors.New("malformed message")

// These say what is wrong with a message. All of them wrap [ErrMalformed], and none tells anything of the message's
// contents.
var (
	ErrTruncated = malformed("message is truncated")
	ErrLimit     = malformed("message exceeds a limit")
	ErrVarint    = malformed("message has a malformed varint")
	ErrValue     = malformed("message has a value out of range")
	ErrExtension = malformed("message has malformed extensions")
)

type decodeError struct{ text string }

func malformed(text string) error { return &decodeError{text} }

func (e *decodeError) Error() string { return e.text }

func (e *decodeError) Unwrap() error { return ErrMalformed }
