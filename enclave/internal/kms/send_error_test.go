package kms

import (
	"io"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

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
