package wire

// Code says how a request, a field or an expression ended. The numbers are part of the protocol and never change
// their meaning. A peer that meets an unknown number treats it as [Internal].
type Code uint8

// The codes of the protocol. Zero is success.
const (
	OK Code = iota
	BadRequest
	Unauthenticated
	KeyDenied
	KMSThrottled
	KMSUnavailable
	DecryptFailed
	ExpressionFailed
	Overloaded
	DeadlineExceeded
	ShuttingDown
	Internal
	// DomainUnknown says that the enclave has not opened the domain that a request names: hand its record over.
	DomainUnknown
	// GenerationClosed says that the configuration allows nothing but resealing in this generation of a domain.
	GenerationClosed

	codeCount
)

var codeNames = [codeCount]string{
	OK:               "ok",
	BadRequest:       "bad_request",
	Unauthenticated:  "unauthenticated",
	KeyDenied:        "key_denied",
	KMSThrottled:     "kms_throttled",
	KMSUnavailable:   "kms_unavailable",
	DecryptFailed:    "decrypt_failed",
	ExpressionFailed: "expression_failed",
	Overloaded:       "overloaded",
	DeadlineExceeded: "deadline_exceeded",
	ShuttingDown:     "shutting_down",
	Internal:         "internal",
	DomainUnknown:    "domain_unknown",
	GenerationClosed: "generation_closed",
}

var codeTexts = [codeCount]string{
	OK:               "ok",
	BadRequest:       "the request is malformed",
	Unauthenticated:  "the caller is not authenticated",
	KeyDenied:        "the key may not be used",
	KMSThrottled:     "the key service is throttling requests",
	KMSUnavailable:   "the key service is not available",
	DecryptFailed:    "the value could not be decrypted",
	ExpressionFailed: "the expression could not be evaluated",
	Overloaded:       "too many requests are waiting",
	DeadlineExceeded: "the deadline passed before an answer was ready",
	ShuttingDown:     "the service is shutting down",
	Internal:         "an internal error occurred",
	DomainUnknown:    "the domain is not open here",
	GenerationClosed: "this generation of the domain is closed",
}

// String is the code's snake_case name, as callers see it in JSON and in metric labels.
// The set of its results is closed: an unknown code is "internal".
func (c Code) String() string {
	if c >= codeCount {
		c = Internal
	}
	return codeNames[c]
}

// Text is a short static sentence for the code. It never depends on a request.
func (c Code) Text() string {
	if c >= codeCount {
		c = Internal
	}
	return codeTexts[c]
}

// Known reports whether the code is one of this version's.
func (c Code) Known() bool { return c < codeCount }

// Codes is the number of known codes; they are 0 to Codes-1. Use it to size tables indexed by code.
const Codes = int(codeCount)

// Error is a failure that crossed, or is about to cross, the wire. Find it with errors.As.
type Error struct {
	Code Code
	// RetryAfterMS says when a retry may help, in milliseconds; 0 means nothing is known.
	RetryAfterMS uint32
}

// Error is the code's static text; it holds nothing of the request.
func (e *Error) Error() string { return e.Code.Text() }

// Is makes errors.Is match any *Error with the same code, whatever its retry time.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
