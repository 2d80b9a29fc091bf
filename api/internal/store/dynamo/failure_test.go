package dynamo

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"redoubt/api/internal/store"
	"redoubt/wire/kit/awsconfig"
)

// refusing is a store on a server that answers everything with one error.
func refusing(t *testing.T, status int, body string) *Store {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	s, err := New(Config{AWS: config(), Endpoint: server.URL, Table: "t", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exception(name, more string) string {
	return `{"__type":"com.amazonaws.dynamodb.v20120810#` + name + `","message":"SENTINEL"` + more + `}`
}

func TestThrottlingAndOutagesAreToldFromFailures(t *testing.T) {
	canceled := func(reasons string) string {
		return exception("TransactionCanceledException", `,"CancellationReasons":[`+reasons+`]`)
	}
	cases := map[string]struct {
		status      int
		body        string
		read, write error // nil: none of the sentinels
	}{
		"throughput": {400, exception("ProvisionedThroughputExceededException", ""), store.ErrThrottled, store.ErrThrottled},
		"throttling": {400, exception("ThrottlingException", ""), store.ErrThrottled, store.ErrThrottled},
		"account":    {400, exception("RequestLimitExceeded", ""), store.ErrThrottled, store.ErrThrottled},
		"internal":   {500, exception("InternalServerError", ""), store.ErrUnavailable, store.ErrUnknownOutcome},
		"gateway":    {503, "<html>SENTINEL", store.ErrUnavailable, store.ErrUnknownOutcome},
		"denied":     {400, exception("AccessDeniedException", ""), store.ErrDenied, store.ErrDenied},
		"expired":    {400, exception("ExpiredTokenException", ""), store.ErrDenied, store.ErrDenied},
		"stranger":   {400, exception("UnrecognizedClientException", ""), store.ErrDenied, store.ErrDenied},
		"signature":  {400, exception("InvalidSignatureException", ""), store.ErrDenied, store.ErrDenied},
		"no table":   {400, exception("ResourceNotFoundException", ""), store.ErrMissing, store.ErrMissing},
		"other":      {400, exception("SomethingElse", ""), nil, nil},
		"item throttled": {
			400, canceled(`{"Code":"None"},{"Code":"ThrottlingError","Message":"SENTINEL"}`), nil, store.ErrThrottled,
		},
		"item beyond throughput": {400, canceled(`{"Code":"ProvisionedThroughputExceeded"},{"Code":"None"}`), nil, store.ErrThrottled},
		"conflict, throttled":    {400, canceled(`{"Code":"ThrottlingError"},{"Code":"TransactionConflict"}`), nil, store.ErrConflict},
		"condition, throttled":   {400, canceled(`{"Code":"ConditionalCheckFailed"},{"Code":"ThrottlingError"}`), nil, store.ErrExists},
	}
	sentinels := []error{store.ErrThrottled, store.ErrUnavailable, store.ErrUnknownOutcome, store.ErrConflict, store.ErrExists, store.ErrDenied, store.ErrMissing}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := refusing(t, c.status, c.body)
			_, read := s.Get(t.Context(), "v_1")
			write := s.AppendAudit(t.Context(), &store.Entry{VaultID: "v_1"})
			for _, pair := range [][2]error{{read, c.read}, {write, c.write}} {
				got, what := pair[0], pair[1]
				if got == nil || strings.Contains(got.Error(), "SENTINEL") || what != nil && !errors.Is(got, what) {
					t.Errorf("err = %v, want %v", got, what)
				}
				for _, other := range sentinels {
					if what == nil && errors.Is(got, other) {
						t.Errorf("err = %v", got)
					}
				}
			}
		})
	}
}

func TestWithoutCredentialsNothingWasWritten(t *testing.T) {
	cfg := config()
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &awsconfig.CredentialsError{Reason: "none"}
	})
	s, err := New(Config{AWS: cfg, Endpoint: "http://127.0.0.1:1", Table: "t", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	_, read := s.Get(t.Context(), "v_1")
	for _, err := range []error{read, s.AppendAudit(t.Context(), &store.Entry{VaultID: "v_1"})} {
		if !errors.Is(err, awsconfig.ErrNoCredentials) || !errors.Is(err, store.ErrUnavailable) ||
			errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%v", err)
		}
	}
}
