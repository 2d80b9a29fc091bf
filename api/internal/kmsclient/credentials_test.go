package kmsclient_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"redoubt/api/internal/kmsclient"
	"redoubt/wire/kit/awsconfig"
)

// bare is a source that has nothing to give; a role that may not be assumed is refused in the same words as KMS refuses.
type bare struct{ cause error }

func (b bare) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.Join(b.cause, &awsconfig.CredentialsError{Reason: "the source refuses"})
}

func TestAProcessWithoutCredentialsIsNoOutageOfKMS(t *testing.T) {
	for _, cause := range []error{nil, &smithy.GenericAPIError{Code: "AccessDeniedException"}} {
		c, err := kmsclient.New(kmsclient.Config{
			AWS: aws.Config{Region: "us-east-1", Credentials: bare{cause}}, Endpoint: "http://127.0.0.1:1", KeyID: "k", MACKeyID: "m",
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.MAC(t.Context(), []byte("m"))
		if !errors.Is(err, kmsclient.ErrNoCredentials) || err.Error() != "no aws credentials (the source refuses)" {
			t.Errorf("%v", err)
		}
	}
}

func TestTimeThatCredentialsTookIsNotKMSs(t *testing.T) {
	slow := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		<-ctx.Done()
		return aws.Credentials{}, &awsconfig.CredentialsError{Reason: "late"}
	})
	c, err := kmsclient.New(kmsclient.Config{
		AWS: aws.Config{Region: "us-east-1", Credentials: slow}, Endpoint: "http://127.0.0.1:1", KeyID: "k", MACKeyID: "m",
		Timeout: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.MAC(t.Context(), []byte("m")); !errors.Is(err, kmsclient.ErrNoCredentials) {
		t.Errorf("%v", err)
	}
}
