// Package awscall bounds and retries the calls that the API makes to AWS services, DynamoDB and KMS.
//
// # Guarantee
//
//   - One attempt has a time limit of its own. So a connection that swallows a request costs that time, and not the
//     whole call. The time that a source of credentials takes counts to the call alone.
//   - Between attempts there is a pause with full jitter, which grows from tens of milliseconds to a second.
//   - Each kind of operation has a quota of retries of its own: retries of one kind do not use up another's.
//   - A [Record] says how the attempts of a call ended, also those before the last: whether one of them may have been
//     carried out without an answer, and the last answer of the service.
//
// # Limits
//
// The quota is the SDK's token bucket: 100 retries, and one more for every five calls that succeed at once. Requests
// of a caller that has left are not retried.
package awscall

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

const (
	// DefaultAttempt bounds one attempt of a small operation.
	DefaultAttempt = time.Second
	// The pauses between at most maxAttempts attempts are at most 50, 100, 200, 400 and 800 ms, and half of that on
	// average.
	maxAttempts = 6
	firstPause  = 50 * time.Millisecond
	maxPause    = time.Second
)

// NewRetryer makes the retries of one kind of operation, with a quota of their own. again, unless nil, accepts
// further errors after which another attempt is worthwhile.
func NewRetryer(again func(error) bool) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Backoff = retry.BackoffDelayerFunc(pause)
		own := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			var late *attemptTimeoutError
			if errors.As(err, &late) || again != nil && again(err) {
				return aws.TrueTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{own}, o.Retryables...)
	})
}

// pause returns how long to wait after an attempt, of which the first is 1.
func pause(attempt int, _ error) (time.Duration, error) {
	most := min(firstPause<<min(max(attempt-1, 0), 10), maxPause)
	return rand.N(most), nil //nolint:gosec // spreads load
}

// Record says how the attempts of one call ended. Read it when the call has returned.
type Record struct {
	// Lost says that an attempt was sent, and that the service did not say how it ended: no answer, a broken one, or
	// a status of 500 and above.
	Lost bool
	// Answer is the last error that the service itself returned, and nil if it returned none.
	Answer error
}

type recordKey struct{}

// WithRecord begins a call.
func WithRecord(ctx context.Context) (context.Context, *Record) {
	r := &Record{}
	return context.WithValue(ctx, recordKey{}, r), r
}

// Last is the error by which to judge a failed call. It is the call's err, unless that says only that the time was
// over and the service had said more before.
func (r *Record) Last(err error) error {
	if r.Answer == nil || answered(err) || errors.Is(err, context.Canceled) {
		return err
	}
	return r.Answer
}

func (r *Record) note(err error, s *sending) {
	switch {
	case err == nil:
	case answered(err):
		r.Answer = err
		r.Lost = r.Lost || status(err) >= http.StatusInternalServerError
	default:
		r.Lost = r.Lost || !s.never()
	}
}

// answered distinguishes an error that the service returned from one of the connection.
func answered(err error) bool {
	var api smithy.APIError
	return status(err) >= http.StatusInternalServerError || errors.As(err, &api) && status(err) >= http.StatusBadRequest
}

func status(err error) int {
	var e *awshttp.ResponseError
	if !errors.As(err, &e) || e.Response == nil {
		return 0
	}
	return e.HTTPStatusCode()
}

// sending watches whether an attempt had a connection on which to be sent. A client that is not net/http's does not
// report that.
type sending struct{ asked, had bool }

func (s *sending) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.asked = true },
		GotConn: func(httptrace.GotConnInfo) { s.had = true },
	})
}

// never reports that certainly no byte was sent.
func (s *sending) never() bool { return s.asked && !s.had }

// attemptTimeoutError is an attempt that was not answered in its time.
type attemptTimeoutError struct{ err error }

func (*attemptTimeoutError) Error() string   { return "awscall: the attempt was not answered in time" }
func (e *attemptTimeoutError) Unwrap() error { return e.err }

// Attempts makes an option of a service's client: every attempt has the limit, and is entered into the call's record.
func Attempts(limit time.Duration) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		// This comes inside the retries, and after the credentials were obtained.
		return stack.Finalize.Insert(attempts{limit}, "GetIdentity", middleware.After)
	}
}

type attempts struct{ limit time.Duration }

// ID implements middleware.FinalizeMiddleware.
func (attempts) ID() string { return "RedoubtAttempts" }

// HandleFinalize implements middleware.FinalizeMiddleware.
func (a attempts) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	limited, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	var s sending
	out, meta, err := next.HandleFinalize(s.watch(limited), in)
	if r, ok := ctx.Value(recordKey{}).(*Record); ok {
		r.note(err, &s)
	}
	if err != nil && !answered(err) && limited.Err() != nil && ctx.Err() == nil {
		err = &attemptTimeoutError{err}
	}
	return out, meta, err
}
