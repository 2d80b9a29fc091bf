package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/program"
)

func TestACommandWithoutCredentialsSaysWhatToDo(t *testing.T) {
	err := fmt.Errorf("dynamo: read: %w", &awsconfig.CredentialsError{Reason: "none"})
	var out bytes.Buffer
	if status := report(&out, err); status == 0 || !strings.Contains(out.String(), "hint: "+awsconfig.Hint) {
		t.Errorf("status %d: %s", status, out.String())
	}
}

func TestWhatIsNoVerdictHasAStatusOfItsOwn(t *testing.T) {
	for want, err := range map[int]error{
		program.Failed: hint(errTampered, "a hint"),
		program.Unsure: hint(undecided{store.ErrUnavailable}, "a hint"),
		program.Usage:  undecided{program.Mistake("a flag")},
	} {
		if status := report(io.Discard, err); status != want {
			t.Errorf("%v: status %d, want %d", err, status, want)
		}
	}
}

func TestWhatADependencyAnsweredIsAWord(t *testing.T) {
	for want, err := range map[string]error{
		"ok":             nil,
		"no_enclave":     &upstream.Error{Code: wire.Internal, Err: upstream.ErrNoEnclave},
		"shutting_down":  &upstream.Error{Code: wire.ShuttingDown},
		"denied":         fmt.Errorf("%w (code)", kmsclient.ErrDenied),
		"throttled":      fmt.Errorf("%w (code)", kmsclient.ErrThrottled),
		"no_credentials": &awsconfig.CredentialsError{Reason: "none"},
		"unavailable":    kmsclient.ErrUnavailable,
	} {
		if got := outcome(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	if got := outcome(&upstream.Error{Code: wire.Internal, Err: upstream.ErrUnavailable}); got != "unavailable" {
		t.Errorf("no parent: %s", got)
	}
	for want, err := range map[string]error{
		"denied": store.ErrDenied, "missing": store.ErrMissing, "throttled": store.ErrThrottled,
		"unknown": fmt.Errorf("%w: %w", store.ErrUnknownOutcome, store.ErrDenied),
	} {
		if got := storeOutcome(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	none := fmt.Errorf("dynamo: read: %w: %w", store.ErrUnavailable, awsconfig.ErrNoCredentials)
	if got := storeOutcome(none); got != "no_credentials" {
		t.Errorf("store: %s", got)
	}
}
