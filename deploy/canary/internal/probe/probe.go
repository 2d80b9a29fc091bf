// Package probe checks for operators, from outside, two things that must hold in a deployment of Redoubt.
//
// The round trip: a synthetic record is created through the API, opened again, compared and deleted. The identity: a
// principal that IAM and the key's policy let decrypt inside of measured enclaves asks KMS, without an attestation
// document, to open a wrapped key. The policy's conditions must refuse this. The wrapped key is made for the purpose,
// with a record's encryption context, so that a refusal is the policy's and not that of a bad ciphertext. KMS is
// asked with DryRun: a policy that would allow the decrypt is found without releasing any key.
//
// The principal that runs the probe MUST be named where the policy allows Decrypt. Another principal is refused
// whatever the conditions say, and KMS's answer does not show that.
//
// The three outcomes of that question are kept apart. "Not allowed" is good news only if KMS said so itself, because
// of the key's policy. If the principal's own policies give it no right to ask, it learns nothing of the key's
// policy, and the result says so. No error here holds a value, a token or a ciphertext.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"redoubt/api/client"
	"redoubt/wire/kit/awsconfig"
)

// Identity is how KMS answered a Decrypt from outside an enclave.
type Identity int

// These are the outcomes of the question. CouldNotAsk is the zero value: nothing is known until KMS has answered.
const (
	CouldNotAsk Identity = iota
	Refused
	Succeeded
)

// String is the value of the metric's label.
func (i Identity) String() string {
	return [...]string{"could_not_ask", "refused", "succeeded"}[i]
}

// Options of a probe. Token and Credentials are two ways to authenticate to the API: either of them, or none on
// loopback.
type Options struct {
	API         string // URL, with or without the stage v1
	Token       string
	Credentials aws.CredentialsProvider // sign with SigV4 for API Gateway
	Region      string
	KMS         *awskms.Client
	Key         string // ARN or alias
	Timeout     time.Duration
}

// Result of one probe. RoundTrip is nil if all of it was right.
type Result struct {
	RoundTrip     error
	Took          time.Duration
	Identity      Identity
	IdentityError error // the reason why KMS could not be asked
}

// Probe makes the checks. It is not for concurrent use.
type Probe struct {
	o   Options
	api *client.Client
}

// New makes a probe. It opens no connection; an error is one of the API's URL.
func New(o Options) (*Probe, error) {
	transport := http.DefaultTransport
	if o.Credentials != nil {
		transport = &signer{transport, o.Credentials, o.Region}
	}
	api, err := client.New(client.Config{
		URL: o.API, Token: o.Token, HTTP: &http.Client{Transport: transport, Timeout: o.Timeout},
	})
	if err != nil {
		return nil, err
	}
	return &Probe{o, api}, nil
}

// ReadToken reads a file that holds one token.
func ReadToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Once makes both checks, one after the other, each within the timeout.
func (p *Probe) Once(ctx context.Context) (r Result) {
	start := time.Now()
	r.RoundTrip = p.roundTrip(ctx)
	r.Took = time.Since(start)
	r.Identity, r.IdentityError = p.identity(ctx)
	return r
}

func (p *Probe) identity(ctx context.Context) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	record := map[string]string{"vault_id": "v_canary"}
	pair, err := p.o.KMS.GenerateDataKeyPairWithoutPlaintext(ctx, &awskms.GenerateDataKeyPairWithoutPlaintextInput{
		KeyId: &p.o.Key, KeyPairSpec: types.DataKeyPairSpecEccNistP384, EncryptionContext: record,
	})
	if err != nil {
		return CouldNotAsk, fmt.Errorf("make a wrapped key: %w", bare(err))
	}
	_, err = p.o.KMS.Decrypt(ctx, &awskms.DecryptInput{
		CiphertextBlob: pair.PrivateKeyCiphertextBlob, KeyId: &p.o.Key, EncryptionContext: record, DryRun: aws.Bool(true),
	})
	var api smithy.APIError
	switch {
	case err == nil:
		return Succeeded, nil
	case !errors.As(err, &api):
		return CouldNotAsk, bare(err)
	}
	switch api.ErrorCode() {
	case "DryRunOperationException": // KMS's way to say that it would have decrypted
		return Succeeded, nil
	case "AccessDeniedException":
		if !ownPolicies(api.ErrorMessage()) {
			return Refused, nil
		}
		return CouldNotAsk, errNotAllowedToAsk
	}
	return CouldNotAsk, bare(err)
}

// errNotAllowedToAsk stands for a denial that is not the key's.
var errNotAllowedToAsk = errors.New("denied by a policy of the canary's own")

// ownPolicies reports whether a denial came from a policy of the caller's and not of the key's. IAM names the kind of
// policy in its text: IAM User Guide, "Troubleshoot access denied error messages".
func ownPolicies(text string) bool {
	for _, kind := range []string{
		"identity-based policy", "permissions boundary", "session policy", "service control policy",
		"resource control policy", "VPC endpoint policy",
	} {
		if strings.Contains(text, kind) {
			return true
		}
	}
	return false
}

// errNoAnswer reports a failure below KMS's own answers.
var errNoAnswer = errors.New("no answer")

// bare reduces an error of the SDK to its code: texts of KMS can name principals.
func bare(err error) error {
	var api smithy.APIError
	none := awsconfig.NoCredentials(err)
	switch {
	case none != nil:
		return none
	case errors.As(err, &api):
		return errors.New(strings.ToLower(api.ErrorCode()))
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return errNoAnswer
}
