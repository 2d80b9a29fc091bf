package kms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"redoubt/wire"
)

// A Cause says how a call ended. The set is closed; each has a counter in [Stats].
type Cause uint8

// Causes. OK is the only one that is not a failure.
const (
	OK             Cause = iota
	Denied               // KMS refuses this key, ciphertext, context, role or enclave, or the ARN is not configured
	Throttled            // KMS asks for fewer requests
	Unavailable          // KMS answers with 5xx, or says that something of its own failed
	Timeout              // no answer in time
	Unreachable          // no connection, or it broke
	Untrusted            // the other end did not prove to be KMS
	BadAnswer            // an answer that breaks the protocol: Plaintext, another key, no envelope, one not for us
	Rejected             // KMS does not take the request as such, perhaps for its attestation document
	NoCredentials        // no credentials were given yet, or they have ended
	BadCredentials       // KMS does not accept the credentials
	ClockSkew            // KMS finds the signature's time wrong
	NoDocument           // the Nitro Secure Module gave no attestation document, or none in time
	CircuitOpen          // too many failures lately; KMS was not asked
	Overloaded           // too many calls wait, or this one waited too long; KMS was not asked
	Cancelled            // the caller gave up, or the client was closed
	Invalid              // the request is out of limits; KMS was not asked
	NoEgress             // the parent gave no connection to KMS
	NoHybrid             // the other end does not speak TLS 1.3 with X25519MLKEM768, which domains' keys need

	// Causes is the number of causes.
	Causes = int(NoHybrid) + 1
)

var causeTexts = [Causes]string{
	"ok", "key denied", "throttled", "unavailable", "timed out", "unreachable", "endpoint not trusted", "invalid answer",
	"request rejected", "no valid credentials", "credentials refused", "clocks differ", "no attestation document",
	"circuit open", "too many calls", "cancelled", "invalid request", "no egress",
	"the endpoint offers no TLS 1.3 with X25519MLKEM768; see kms.classical_domains",
}

var causeCodes = [Causes]wire.Code{
	wire.OK, wire.KeyDenied, wire.KMSThrottled, wire.KMSUnavailable, wire.KMSUnavailable, wire.KMSUnavailable,
	wire.KMSUnavailable, wire.KMSUnavailable, wire.KMSUnavailable, wire.KMSUnavailable, wire.KMSUnavailable,
	wire.KMSUnavailable, wire.KMSUnavailable, wire.KMSUnavailable, wire.Overloaded, wire.DeadlineExceeded,
	wire.BadRequest, wire.KMSUnavailable, wire.KMSUnavailable,
}

// String is a static text; the set of its results is closed.
func (c Cause) String() string { return causeTexts[c] }

// retryable reports whether another attempt may end otherwise.
func (c Cause) retryable() bool {
	switch c {
	case Throttled, Unavailable, Timeout, Unreachable, Rejected, NoCredentials, BadCredentials, ClockSkew, NoDocument,
		NoEgress:
		return true
	}
	return false
}

// failsCircuit reports whether the cause is a reason to ask KMS less. NoEgress is not one: it costs KMS nothing, and
// the way out returns as a whole when the parent does. Nor is NoHybrid: it must not end the calls for vaults' keys.
func (c Cause) failsCircuit() bool {
	switch c {
	case Throttled, Unavailable, Timeout, Unreachable, Untrusted:
		return true
	}
	return false
}

// An Error is the failure of a call. It unwraps to the *wire.Error for the caller of the service.
type Error struct {
	Cause Cause
	// RetryAfter says when a retry may help; 0 means that this is not known.
	RetryAfter time.Duration
	code       wire.Code
	cut        bool // the caller's deadline ended it before KMS had a fair time to answer
	personal   bool // with other credentials KMS may answer otherwise
}

func newError(cause Cause) *Error { return &Error{Cause: cause, code: causeCodes[cause]} }

// circuitError has the code of the failure that opened the circuit.
func circuitError(wait time.Duration, opener Cause) *Error {
	return &Error{Cause: CircuitOpen, RetryAfter: wait, code: causeCodes[opener]}
}

// Error is the cause's static text.
func (e *Error) Error() string { return "kms: " + e.Cause.String() }

// Unwrap returns a *wire.Error.
func (e *Error) Unwrap() error {
	const most = int64(time.Hour / time.Millisecond)
	return &wire.Error{Code: e.code, RetryAfterMS: uint32(min(max(e.RetryAfter.Milliseconds(), 0), most))}
}

// OwnFault reports whether the failure says nothing about the wrapped key, but only about this enclave's own state,
// load or time. Such a failure must not be remembered against the key.
func (e *Error) OwnFault() bool {
	if e.cut {
		return true
	}
	switch e.Cause {
	case NoCredentials, BadCredentials, ClockSkew, NoDocument, Overloaded, Cancelled, NoEgress, NoHybrid:
		return true
	}
	return false
}

// OfCredentials reports whether the same question may end otherwise with other credentials: the credentials were
// refused or are missing, or KMS refused this caller.
func (e *Error) OfCredentials() bool {
	switch e.Cause {
	case NoCredentials, BadCredentials, ClockSkew: // a wrong secret may look like a clock that is wrong
		return true
	}
	return e.personal
}

// aboutTheKey lists the refusals that KMS gives only to callers that it lets ask, and that concern what they asked.
var aboutTheKey = map[string]bool{
	"InvalidCiphertextException": true, "IncorrectKeyException": true, "DisabledException": true,
	"NotFoundException": true, "KMSInvalidStateException": true, "InvalidKeyUsageException": true,
	"InvalidArnException": true, "ValidationException": true, "ValidationError": true, "SerializationException": true,
}

// ofCaller reports whether a failure may depend on the credentials that were used. A failure that is not known to be
// about the key is taken to depend on them. Quotas are those of the credentials' account.
func ofCaller(err error, cause Cause) bool {
	switch cause {
	case Throttled:
		return true
	case Denied, Rejected:
		var api smithy.APIError
		return !errors.As(err, &api) || !aboutTheKey[api.ErrorCode()]
	}
	return false
}

// apiCauses maps the documented error codes of KMS and of AWS's front. Other codes go by HTTP status.
var apiCauses = map[string]Cause{
	"AccessDeniedException": Denied, "InvalidCiphertextException": Denied, "IncorrectKeyException": Denied,
	"DisabledException": Denied, "NotFoundException": Denied, "KMSInvalidStateException": Denied,
	"InvalidKeyUsageException": Denied, "InvalidGrantTokenException": Denied, "InvalidArnException": Denied,
	"KMSAccessDeniedException": Denied, "NotAuthorized": Denied, "OptInRequired": Denied,

	"ThrottlingException": Throttled, "Throttling": Throttled, "ThrottledException": Throttled,
	"RequestThrottled": Throttled, "RequestThrottledException": Throttled, "TooManyRequestsException": Throttled,
	"RequestLimitExceeded": Throttled, "LimitExceededException": Throttled, "SlowDown": Throttled,
	"BandwidthLimitExceeded": Throttled, "ProvisionedThroughputExceededException": Throttled,

	"DependencyTimeoutException": Unavailable, "KMSInternalException": Unavailable, "InternalFailure": Unavailable,
	"InternalError": Unavailable, "ServiceUnavailable": Unavailable, "ServiceUnavailableException": Unavailable,
	"KeyUnavailableException": Unavailable, "RequestTimeout": Unavailable, "RequestTimeoutException": Unavailable,

	"ExpiredTokenException": BadCredentials, "ExpiredToken": BadCredentials, "InvalidClientTokenId": BadCredentials,
	"UnrecognizedClientException": BadCredentials, "InvalidAccessKeyId": BadCredentials, "AuthFailure": BadCredentials,
	"MissingAuthenticationToken": BadCredentials, "MissingAuthenticationTokenException": BadCredentials,
	"IncompleteSignature": BadCredentials, "IncompleteSignatureException": BadCredentials,

	// A wrong secret and a wrong clock look alike. So a wrong secret, too, gets one more attempt with a corrected
	// clock.
	"InvalidSignatureException": ClockSkew, "SignatureDoesNotMatch": ClockSkew, "RequestExpired": ClockSkew,
	"RequestTimeTooSkewed": ClockSkew, "RequestInTheFuture": ClockSkew, "SignatureExpired": ClockSkew,

	"ValidationException": Rejected, "ValidationError": Rejected, "SerializationException": Rejected,
}

// errEgress marks the failures of Config.Dial.
var errEgress = errors.New("kms: no egress")

// errHybrid marks handshakes for domains that failed for want of TLS 1.3 or X25519MLKEM768.
var errHybrid = errors.New("kms: no TLS 1.3 with X25519MLKEM768")

// classify finds the cause in an error of the SDK.
func classify(err error) Cause {
	if err == nil {
		return OK
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if cause, known := apiCauses[api.ErrorCode()]; known {
			return cause
		}
	}
	if errors.As(err, new(*smithyhttp.RequestSendError)) { // the SDK makes up an empty answer beside it
		return byTransport(err)
	}
	var answered *awshttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil {
		if cause := byStatus(answered.HTTPStatusCode()); cause != OK {
			return cause
		}
		return byBody(err)
	}
	return byTransport(err)
}

// byBody distinguishes an answer that broke off from one that makes no sense.
func byBody(err error) Cause {
	if errors.As(err, new(*net.OpError)) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Unreachable
	}
	if cause := byTransport(err); cause != Unreachable {
		return cause
	}
	return BadAnswer
}

func byStatus(status int) Cause {
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusForbidden:
		return Denied
	case status >= http.StatusInternalServerError:
		return Unavailable
	case status >= http.StatusBadRequest:
		return Rejected
	}
	return OK
}

func byTransport(err error) Cause {
	var (
		certificate  *tls.CertificateVerificationError
		unknown      x509.UnknownAuthorityError
		hostname     x509.HostnameError
		recordHeader tls.RecordHeaderError
		deadline     interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, errEgress):
		return NoEgress
	case errors.Is(err, errHybrid):
		return NoHybrid
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &recordHeader):
		return Untrusted
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &deadline) && deadline.Timeout():
		return Timeout
	}
	return Unreachable
}
