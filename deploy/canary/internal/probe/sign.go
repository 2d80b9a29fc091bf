package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"redoubt/wire/kit/awsconfig"
)

// errCannotSign reports that there are no credentials to sign with.
var errCannotSign = errors.New("cannot sign")

// signer signs each request for API Gateway (SigV4, service execute-api).
type signer struct {
	next        http.RoundTripper
	credentials aws.CredentialsProvider
	region      string
}

// RoundTrip signs a copy: a RoundTripper may not change the request it is given.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	credentials, err := s.credentials.Retrieve(r.Context())
	if none := awsconfig.NoCredentials(err); none != nil {
		return nil, fmt.Errorf("%w: %w", errCannotSign, none)
	}
	if err != nil {
		return nil, errCannotSign
	}
	signed := r.Clone(r.Context())
	sum := sha256.New()
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, errCannotSign
		}
		if _, err := io.Copy(sum, body); err != nil {
			return nil, errCannotSign
		}
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	err = v4.NewSigner().SignHTTP(r.Context(), credentials, signed, hash, "execute-api", s.region, time.Now())
	if err != nil {
		return nil, errCannotSign
	}
	return s.next.RoundTrip(signed)
}
