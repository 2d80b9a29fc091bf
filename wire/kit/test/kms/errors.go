package kms

import (
	"encoding/json"
	"net/http"
)

// Error is an answer of the service that is not a success, in the form of the KMS JSON protocol. Message is static:
// it repeats no value of the request except the names of operations and keys.
type Error struct {
	Code    string // exception name, such as "AccessDeniedException"
	Message string
	Status  int // HTTP status
}

// Error returns the exception's name and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func clientError(code, message string) *Error {
	return &Error{Code: code, Message: message, Status: http.StatusBadRequest}
}

// These errors have no parts that vary.
var (
	errInvalidCiphertext = clientError("InvalidCiphertextException", "")
	errIncorrectKey      = clientError("IncorrectKeyException",
		"The key ID in the request does not identify a CMK that can perform this operation.")
	errDryRun = clientError("DryRunOperationException",
		"The request would have succeeded, but the DryRun option is set.")
	errInvalidMac = clientError("KMSInvalidMacException", "")
	errThrottled  = clientError("ThrottlingException", "Rate exceeded")
	errInternal   = &Error{
		Code: "KMSInternalException", Message: "An internal error occurred.",
		Status: http.StatusInternalServerError,
	}
	errSerialization = clientError("SerializationException", "The request body could not be read.")
	errTooLarge      = &Error{
		Code: "RequestEntityTooLargeException", Message: "The request body is too large.",
		Status: http.StatusRequestEntityTooLarge,
	}
	errUnknownOperation = clientError("UnknownOperationException", "")
)

func validationError(message string) *Error { return clientError("ValidationException", message) }

func accessDenied(principal, action, key string) *Error {
	return clientError("AccessDeniedException", "User: "+principal+" is not authorized to perform: "+action+
		" on resource: "+key+" because no resource-based policy allows the "+action+" action")
}

func notFound(message string) *Error { return clientError("NotFoundException", message) }

// errorBody is the body that the protocol sends. AWS uses both spellings of the message. AccessDeniedException uses
// the capital one, and the SDKs read either.
func (e *Error) errorBody() []byte {
	name := "message"
	if e.Code == "AccessDeniedException" {
		name = "Message"
	}
	body := map[string]string{"__type": e.Code}
	if e.Message != "" {
		body[name] = e.Message
	}
	out, err := json.Marshal(body)
	if err != nil { // a map of strings always marshals
		return []byte(`{"__type":"KMSInternalException"}`)
	}
	return out
}
