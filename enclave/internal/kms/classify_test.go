package kms

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"redoubt/wire"
)

// TestEveryErrorOfKMSHasItsCause asks a KMS that answers with each error in turn.
func TestEveryErrorOfKMSHasItsCause(t *testing.T) {
	tests := []struct {
		status int
		name   string
		cause  Cause
		code   wire.Code
	}{
		{400, "AccessDeniedException", Denied, wire.KeyDenied},
		{400, "InvalidCiphertextException", Denied, wire.KeyDenied},
		{400, "IncorrectKeyException", Denied, wire.KeyDenied},
		{400, "DisabledException", Denied, wire.KeyDenied},
		{400, "NotFoundException", Denied, wire.KeyDenied},
		{400, "KMSInvalidStateException", Denied, wire.KeyDenied},
		{400, "ThrottlingException", Throttled, wire.KMSThrottled},
		{400, "LimitExceededException", Throttled, wire.KMSThrottled},
		{429, "SomethingNew", Throttled, wire.KMSThrottled},
		{500, "KMSInternalException", Unavailable, wire.KMSUnavailable},
		{500, "DependencyTimeoutException", Unavailable, wire.KMSUnavailable},
		{500, "KeyUnavailableException", Unavailable, wire.KMSUnavailable},
		{503, "ServiceUnavailable", Unavailable, wire.KMSUnavailable},
		{500, "SomethingNew", Unavailable, wire.KMSUnavailable},
		{400, "SomethingNew", Rejected, wire.KMSUnavailable},
		{400, "ValidationException", Rejected, wire.KMSUnavailable},
		{403, "SomethingNew", Denied, wire.KeyDenied},
		{400, "ExpiredTokenException", BadCredentials, wire.KMSUnavailable},
		{400, "UnrecognizedClientException", BadCredentials, wire.KMSUnavailable},
		{403, "InvalidClientTokenId", BadCredentials, wire.KMSUnavailable},
		{400, "InvalidSignatureException", BadCredentials, wire.KMSUnavailable}, // after one more try: ClockSkew
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeKMS(t)
				c, _ := newTestClient(t, f)
				f.set(func(f *fakeKMS) { f.fail = failing(-1, tt.status, tt.name) })
				failure := mustFail(t, c, vaultKey("v_1", "key"), tt.cause)
				if failure.code != tt.code {
					t.Errorf("code %v, want %v", failure.code, tt.code)
				}
				if stats := c.Stats(); stats.Calls[tt.cause] != 1 {
					t.Errorf("calls by cause: %v", stats.Calls)
				}
			})
		})
	}
}

func TestAnAnswerThatIsNotKMSsIsNoKey(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	for name, body := range map[string]string{"empty": "", "html": "<html>", "list": "[]", "half": `{"KeyId":"`} {
		t.Run(name, func(t *testing.T) {
			f.set(func(f *fakeKMS) {
				f.fail = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
					_, _ = w.Write([]byte(body))
					return true
				}
			})
			got, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			if err == nil || got != nil {
				t.Error("accepted")
			}
		})
	}
}

func TestCausesAreAClosedSet(t *testing.T) {
	seen := make(map[string]bool)
	for i := range Causes {
		cause := Cause(i)
		if cause.String() == "" || seen[cause.String()] {
			t.Errorf("cause %d has no text of its own", i)
		}
		seen[cause.String()] = true
		if (causeCodes[i] == wire.OK) != (cause == OK) {
			t.Errorf("cause %q has code %v", cause, causeCodes[i])
		}
	}
	for _, cause := range []Cause{NoCredentials, BadCredentials, ClockSkew, NoDocument, Overloaded, Cancelled, NoEgress} {
		if !newError(cause).OwnFault() {
			t.Errorf("%q would be remembered against the key", cause)
		}
	}
	for _, cause := range []Cause{Denied, Throttled, Unavailable} {
		if newError(cause).OwnFault() {
			t.Errorf("%q would not be remembered", cause)
		}
	}
}

func TestAConnectionThatEndsWithoutAnAnswerIsUnreachableAndRetried(t *testing.T) {
	// The shape that the SDK gives it: a made-up answer around the transport's error.
	err := &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{Body: http.NoBody}},
		Err:      &smithyhttp.RequestSendError{Err: io.EOF},
	}}
	if got := classify(err); got != Unreachable || !got.retryable() {
		t.Errorf("cause %q", got)
	}
}
