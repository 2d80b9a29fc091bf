package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
	"redoubt/wire/kit/awsconfig"
)

// ErrorBody is the JSON of every error. statusCode and message are those of the reference.
type ErrorBody struct {
	StatusCode int            `json:"statusCode" doc:"HTTP status" example:"404"`
	Message    string         `json:"message" doc:"What went wrong, a fixed text" example:"Vault not found"`
	Code       string         `json:"code" doc:"What went wrong, for programs" example:"not_found"`
	Errors     []FieldProblem `json:"errors,omitempty" doc:"Which fields of the request are wrong"`
}

// FieldProblem names a field of the request and the rule that it breaks. It never holds a value.
type FieldProblem struct {
	Field   string `json:"field" doc:"Name of the field, or (unnamed) for a key that is not a name"`
	Message string `json:"message" doc:"The rule" example:"does not match the pattern"`
}

// httpError is an answer that is an error.
type httpError struct {
	status  int
	message string
	code    string
	retry   time.Duration
	cause   error
	fields  schema.FieldErrors
	logged  bool // the cause is in the log already
}

func (e *httpError) Error() string { return e.code }
func (e *httpError) Unwrap() error { return e.cause }

func (e *httpError) body() *ErrorBody {
	b := &ErrorBody{StatusCode: e.status, Message: e.message, Code: e.code}
	for _, p := range e.fields {
		b.Errors = append(b.Errors, FieldProblem{Field: p.Field, Message: p.Text})
	}
	return b
}

const (
	msgInvalid     = "Invalid request data"
	msgUnavailable = "Service unavailable"
	// codeNoCredentials says that this service has no AWS credentials. It says nothing of the caller's credential.
	codeNoCredentials = "no_credentials"
	// codeStoreFull is also used by /ready.
	codeStoreFull = "storage_full"
	retryDefault  = time.Second
	// retryHelp is for causes that need an operator.
	retryHelp = 30 * time.Second
)

// fixed are the errors that map by identity.
var fixed = []struct {
	err error
	as  httpError
}{
	{vault.ErrNotFound, httpError{status: http.StatusNotFound, message: "Vault not found", code: "not_found"}},
	{vault.ErrPrecondition, httpError{
		status: http.StatusPreconditionFailed, message: "Precondition failed",
		code: "precondition_failed",
	}},
	{vault.ErrConflict, httpError{status: http.StatusConflict, message: "Transaction Cancelled", code: "conflict"}},
	{vault.ErrKeyUnverified, httpError{
		status: http.StatusConflict, message: "Vault key not verified",
		code: "key_unverified",
	}},
	{vault.ErrEncoding, httpError{
		status: http.StatusConflict, message: "Vault is of an encoding that this version cannot write",
		code: "encoding_unknown",
	}},
	{vault.ErrNotKeyed, httpError{
		status: http.StatusConflict, message: "Vault key is not of a domain", code: "key_not_of_domain",
	}},
	{vault.ErrNotMovable, httpError{
		status: http.StatusConflict, message: "Vault cannot move to a domain", code: "not_movable",
	}},
	{vault.ErrResealed, httpError{
		status: http.StatusBadGateway, message: msgUnavailable, code: "reseal_unverified",
	}},
	{vault.ErrMinted, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "mint_unverified", retry: retryHelp,
	}},
	{vault.ErrRefused, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "enclave_refused", retry: retryHelp,
	}},
	{vault.ErrGenerationBack, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "generation_back", retry: retryHelp,
	}},
	{store.ErrErased, httpError{status: http.StatusGone, message: "Vault was erased", code: "erased"}},
	{store.ErrKeyed, httpError{
		status: http.StatusConflict, message: "Vault is under a domain", code: "keyed",
	}},
	{store.ErrInconsistent, httpError{
		status: http.StatusInternalServerError, message: "Vault and its keys do not belong together",
		code: "inconsistent",
	}},
	{store.ErrEpochsFull, httpError{
		status: http.StatusConflict, message: "Vault has as many keys as it may have", code: "epochs_full",
	}},
	{store.ErrNoDomains, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "no_domains", retry: retryHelp,
	}},
	{vault.ErrNoDomain, httpError{status: http.StatusNotFound, message: "Domain not found", code: "not_found"}},
	{domains.ErrUnknown, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "domain_unknown", retry: retryHelp,
	}},
	{domains.ErrRetired, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "generation_retired", retry: retryHelp,
	}},
	{domains.ErrUntrusted, httpError{
		status: http.StatusInternalServerError, message: "Domain is not one that this service added",
		code: "domain_untrusted",
	}},
	{vault.ErrIdempotency, httpError{
		status: http.StatusUnprocessableEntity, message: "Idempotency-Key was used for another request",
		code: "idempotency_mismatch",
	}},
	{vault.ErrGone, httpError{
		status: http.StatusGone, message: "The vault that this Idempotency-Key made is gone", code: "gone",
	}},
	// This comes before ErrAudit, which may wrap it.
	{store.ErrFull, httpError{
		status: http.StatusServiceUnavailable, message: "Storage full", code: codeStoreFull, retry: retryHelp,
	}},
	{vault.ErrAudit, httpError{
		status: http.StatusServiceUnavailable, message: "Audit log unavailable", code: "audit_unavailable",
		retry: retryDefault,
	}},
	{store.ErrTooLarge, httpError{
		status: http.StatusRequestEntityTooLarge, message: "Vault too large", code: "too_large",
	}},
	{store.ErrCursor, httpError{
		status: http.StatusUnprocessableEntity, message: msgInvalid, code: "invalid_request",
		fields: schema.FieldErrors{{Field: "cursor", Text: "is not a cursor of this list"}},
	}},
	{store.ErrUnknownOutcome, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "outcome_unknown", retry: retryDefault,
	}},
	// This comes before the errors of the store, which may wrap it.
	{awsconfig.ErrNoCredentials, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: codeNoCredentials, retry: retryDefault,
	}},
	{store.ErrThrottled, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "store_throttled", retry: retryDefault,
	}},
	{store.ErrUnavailable, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "store_unavailable", retry: retryDefault,
	}},
	{store.ErrDenied, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "store_denied", retry: retryHelp,
	}},
	{store.ErrMissing, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "store_missing", retry: retryHelp,
	}},
	{store.ErrDamaged, httpError{
		status: http.StatusInternalServerError, message: "Vault damaged", code: "store_damaged",
	}},
	{auth.ErrUnavailable, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "authentication_unavailable",
		retry: retryDefault, logged: true,
	}},
	{auth.ErrUnauthenticated, httpError{
		status: http.StatusUnauthorized, message: "Unauthorized",
		code: "unauthenticated",
	}},
	{auth.ErrForbidden, httpError{status: http.StatusForbidden, message: "Forbidden", code: "forbidden"}},
	{kmsclient.ErrDenied, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "kms_denied", retry: retryHelp,
	}},
	{kmsclient.ErrThrottled, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "kms_throttled", retry: retryDefault,
	}},
	{kmsclient.ErrUnavailable, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "kms_unavailable", retry: retryDefault,
	}},
	{upstream.ErrUnavailable, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "parent_unavailable", retry: retryDefault,
	}},
	{upstream.ErrNoEnclave, httpError{
		status: http.StatusServiceUnavailable, message: msgUnavailable, code: "no_enclave", retry: retryDefault,
	}},
	{context.DeadlineExceeded, httpError{
		status: http.StatusGatewayTimeout, message: "Deadline exceeded",
		code: "deadline_exceeded",
	}},
}

// upstreamErrors maps the parent's errors. "Not found" is ours. This table distinguishes denied, corrupt, overloaded
// and unavailable.
var upstreamErrors = map[wire.Code]httpError{
	wire.BadRequest:       {status: http.StatusUnprocessableEntity, message: msgInvalid},
	wire.Unauthenticated:  {status: http.StatusBadGateway, message: msgUnavailable},
	wire.KeyDenied:        {status: http.StatusForbidden, message: "Key access denied"},
	wire.DecryptFailed:    {status: http.StatusUnprocessableEntity, message: "Unable to decrypt values"},
	wire.ExpressionFailed: {status: http.StatusUnprocessableEntity, message: "Unable to evaluate expressions"},
	wire.KMSThrottled:     {status: http.StatusServiceUnavailable, message: msgUnavailable, retry: retryDefault},
	wire.KMSUnavailable:   {status: http.StatusServiceUnavailable, message: msgUnavailable, retry: retryDefault},
	wire.Overloaded:       {status: http.StatusServiceUnavailable, message: msgUnavailable, retry: retryDefault},
	wire.ShuttingDown:     {status: http.StatusServiceUnavailable, message: msgUnavailable, retry: retryDefault},
	wire.DeadlineExceeded: {status: http.StatusGatewayTimeout, message: "Deadline exceeded"},
	wire.DomainUnknown:    {status: http.StatusServiceUnavailable, message: msgUnavailable, retry: retryDefault},
	wire.GenerationClosed: {status: http.StatusForbidden, message: "Key access denied"},
}

// classify finds the answer for an error. failed is the reference's text for a failure of the route.
func classify(err error, failed string) *httpError {
	var (
		unopened *vault.UnopenedError
		own      *httpError
		problems schema.FieldErrors
		up       *upstream.Error
		rate     *vault.RateError
		large    *upstream.TooLargeError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &problems):
		return invalid(problems)
	case errors.As(err, &large):
		return tooLargeAtOnce(large)
	case errors.As(err, &unopened):
		return &httpError{
			status: http.StatusUnprocessableEntity, message: "Unable to decrypt values", code: "decrypt_failed", cause: err,
		}
	case errors.As(err, &rate):
		return &httpError{
			status: http.StatusTooManyRequests, message: "Too many requests", code: "rate_limited", retry: rate.RetryAfter,
			cause: err,
		}
	}
	if e := known(err); e != nil {
		return e
	}
	if errors.As(err, &up) {
		if e, ok := upstreamErrors[up.Code]; ok {
			e.code, e.cause = up.Code.String(), err
			return e.after(err)
		}
	}
	return &httpError{status: http.StatusInternalServerError, message: failed, code: "internal", cause: err}
}

// after takes over the time that the parent asks callers to wait, if it asks and callers may try again.
func (e httpError) after(err error) *httpError {
	if wait := vault.RetryAfter(err); wait > 0 && e.retry > 0 {
		e.retry = wait
	}
	return &e
}

// known finds the answer for an error that maps by identity, and returns nil for any other.
func known(err error) *httpError {
	for _, f := range fixed {
		if errors.Is(err, f.err) {
			e := f.as
			e.cause = err
			return e.after(err)
		}
	}
	return nil
}

func invalid(p schema.FieldErrors) *httpError {
	return &httpError{status: http.StatusUnprocessableEntity, message: msgInvalid, code: "invalid_request", fields: p}
}

// tooLargeAtOnce names the sizes. The fields of a vault open in groups, but expressions need all of them at once.
func tooLargeAtOnce(e *upstream.TooLargeError) *httpError {
	text := fmt.Sprintf("need all requested fields at once: %d bytes with the sources, at most %d can be; request fewer "+
		"fields, or fields without expressions", e.Size, e.Limit)
	return &httpError{
		status: http.StatusUnprocessableEntity, message: msgInvalid, code: "fields_too_large",
		fields: schema.FieldErrors{{Field: "expressions", Text: text}}, cause: e,
	}
}

func refusal(status int, message, code string) *httpError {
	return &httpError{status: status, message: message, code: code}
}

// seconds writes a duration for Retry-After: whole seconds, rounded up, at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
