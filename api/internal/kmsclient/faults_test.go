package kmsclient_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"redoubt/api/internal/awsfault"
	"redoubt/api/internal/kmsclient"
	"redoubt/wire/kit/sealed"
)

var operations = map[string]func(context.Context, *kmsclient.Client) error{
	"pair": func(ctx context.Context, c *kmsclient.Client) error {
		_, _, err := c.NewKeyPair(ctx, sealed.P384, nil)
		return err
	},
	"mac": func(ctx context.Context, c *kmsclient.Client) error {
		_, err := c.MAC(ctx, []byte("m"))
		return err
	},
	"check": func(ctx context.Context, c *kmsclient.Client) error {
		_, err := c.VerifyMAC(ctx, []byte("m"), []byte("m"))
		return err
	},
}

// bubble runs an operation in fake time with a KMS that does what the script says, and then the last of it for ever.
func bubble(t *testing.T, timeout time.Duration, operation string, script ...awsfault.Fault) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client := awsfault.NewClient(script...)
		c, newErr := kmsclient.New(kmsclient.Config{
			AWS: aws.Config{
				Region: "us-east-1", HTTPClient: client, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			},
			KeyID: "k", MACKeyID: "m", Timeout: timeout,
		})
		if newErr != nil {
			t.Fatal(newErr)
		}
		start := time.Now()
		err = operations[operation](t.Context(), c)
		took = time.Since(start)
	})
	return took, err
}

func TestTheBudgetOfACall(t *testing.T) {
	throttle := awsfault.Refuse(http.StatusBadRequest, "ThrottlingException", "")
	for operation := range operations {
		attempt := time.Second
		if operation == "pair" {
			attempt *= 2
		}
		if took, err := bubble(t, 0, operation, throttle, awsfault.Pass); err != nil || took > 50*time.Millisecond {
			t.Errorf("%s, one throttle: %v, %v", operation, took, err)
		}
		took, err := bubble(t, 0, operation, awsfault.Swallow, awsfault.Pass)
		if err != nil || took < attempt || took > attempt+50*time.Millisecond {
			t.Errorf("%s, one swallowed: %v, %v", operation, took, err)
		}
		if _, err := bubble(t, 60*time.Millisecond, operation, throttle); !errors.Is(err, kmsclient.ErrThrottled) {
			t.Errorf("%s, throttled until time is over: %v", operation, err)
		}
	}
}

// Only what an operator can mend is told apart; no text of KMS is passed on.
func TestEachFailureOfKMSHasItsKind(t *testing.T) {
	const said = "SENTINEL" // of awsfault
	for code, want := range map[string]error{
		"AccessDeniedException": kmsclient.ErrDenied, "DisabledException": kmsclient.ErrDenied,
		"ThrottlingException": kmsclient.ErrThrottled, "KMSInternalException": kmsclient.ErrUnavailable,
		"DependencyTimeoutException": kmsclient.ErrUnavailable, "ACodeOfLater": kmsclient.ErrUnavailable,
	} {
		_, err := bubble(t, 60*time.Millisecond, "mac", awsfault.Refuse(http.StatusBadRequest, code, ""))
		if !errors.Is(err, want) || strings.Contains(err.Error(), said) || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", code, err)
		}
	}
	if took, err := bubble(t, 60*time.Millisecond, "mac", awsfault.Swallow); !errors.Is(err, kmsclient.ErrUnavailable) ||
		took > 70*time.Millisecond {
		t.Errorf("no answer: %v after %v", err, took)
	}
}

func TestAClientNeedsItsKeys(t *testing.T) {
	if _, err := kmsclient.New(kmsclient.Config{MACKeyID: "m"}); err == nil {
		t.Error("it wraps private keys with no key")
	}
	if _, err := kmsclient.New(kmsclient.Config{KeyID: "k"}); err == nil {
		t.Error("it makes MACs with no key")
	}
	c, err := kmsclient.NewMAC(kmsclient.Config{MACKeyID: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.NewKeyPair(t.Context(), sealed.P256, nil); !errors.Is(err, kmsclient.ErrDenied) {
		t.Errorf("a client for MACs alone makes key pairs: %v", err)
	}
}
