package kmsclient_test

import (
	"context"
	"errors"
	"net/http"
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
