// Package kmsclient asks AWS KMS for what the API needs to write records: a vault's key pair, whose private half
// never leaves KMS in the clear, a domain's data key likewise, and MACs, which bind a record's public key and identify
// repeated requests.
//
// The API can make keys and MACs and cannot decrypt: its IAM role has none of kms:Decrypt, kms:GenerateDataKey and
// kms:GenerateDataKeyPair. Errors carry no request or answer, only their kind.
package kmsclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"redoubt/api/internal/awscall"
	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/sealed"
)

// These are the errors by kind. An error of KMS becomes one of them, wrapped with its error code and without its
// text.
var (
	// ErrDenied is a refusal that a retry does not change: no permission, or a key that is disabled or unknown.
	ErrDenied = errors.New("kms: denied")
	// ErrThrottled is a temporary refusal.
	ErrThrottled = errors.New("kms: throttled")
	// ErrUnavailable is everything else: no connection, a time-out, a fault of KMS.
	ErrUnavailable = errors.New("kms: unavailable")
	// ErrNoCredentials reports that KMS was not asked, since this process has no credentials.
	ErrNoCredentials = awsconfig.ErrNoCredentials
)

// Limits.
const (
	// DefaultTimeout bounds one call with its retries.
	DefaultTimeout = 5 * time.Second
	// pairFactor is how many times longer an attempt to make a key pair may take than an attempt to make a MAC.
	pairFactor = 2
)

// Config says which keys to use.
type Config struct {
	AWS      aws.Config // credentials, region, HTTP client
	Endpoint string     // a URL that replaces the region's own; empty in production
	KeyID    string     // symmetric key that wraps private keys: ARN or alias
	MACKeyID string     // HMAC_256 key: ARN or alias
	Timeout  time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	kms     *kms.Client
	key     string
	macKey  string
	timeout time.Duration

	// These are the options by operation. Each operation has a quota of retries of its own.
	pairs, macs, checks, domains func(*kms.Options)
}

// New makes a client; it opens no connection.
func New(cfg Config) (*Client, error) {
	if cfg.KeyID == "" {
		return nil, errors.New("kms: a key to wrap private keys is needed")
	}
	return NewMAC(cfg)
}

// NewMAC makes a client for MACs alone, which needs no KeyID. Without a KeyID, NewKeyPair returns [ErrDenied].
func NewMAC(cfg Config) (*Client, error) {
	if cfg.MACKeyID == "" {
		return nil, errors.New("kms: a MAC key is needed")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	c := kms.NewFromConfig(cfg.AWS, func(o *kms.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
	})
	return &Client{
		kms: c, key: cfg.KeyID, macKey: cfg.MACKeyID, timeout: cfg.Timeout,
		pairs: operation(pairFactor * awscall.DefaultAttempt), macs: operation(awscall.DefaultAttempt),
		checks: operation(awscall.DefaultAttempt), domains: operation(awscall.DefaultAttempt),
	}, nil
}

// operation makes the options of one operation.
func operation(attempt time.Duration) func(*kms.Options) {
	retryer := awscall.NewRetryer(nil)
	return func(o *kms.Options) {
		o.Retryer = retryer
		o.APIOptions = append(o.APIOptions, awscall.Attempts(attempt))
	}
}

// begin begins a call with its retries.
func (c *Client) begin(ctx context.Context) (context.Context, *awscall.Record, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	ctx, record := awscall.WithRecord(ctx)
	return ctx, record, cancel
}

// NewKeyPair makes a key pair of the suite's curve: the public key as DER SubjectPublicKeyInfo, the private key as a
// KMS ciphertext bound to the encryption context.
func (c *Client) NewKeyPair(ctx context.Context, suite sealed.Suite, bind map[string]string) (public,
	wrapped []byte, err error,
) {
	if !suite.OnCurve() {
		return nil, nil, sealed.ErrSuite
	}
	if c.key == "" {
		return nil, nil, fmt.Errorf("%w (no key)", ErrDenied)
	}
	ctx, record, cancel := c.begin(ctx)
	defer cancel()
	out, err := c.kms.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{
		KeyId: &c.key, KeyPairSpec: types.DataKeyPairSpec(suite.KeySpec()), EncryptionContext: bind,
	}, c.pairs)
	if err != nil {
		return nil, nil, kind(record.Last(err))
	}
	return out.PublicKey, out.PrivateKeyCiphertextBlob, nil
}

// MAC returns HMAC-SHA-256 of a message of at most 4096 bytes under the MAC key.
func (c *Client) MAC(ctx context.Context, message []byte) ([]byte, error) {
	ctx, record, cancel := c.begin(ctx)
	defer cancel()
	out, err := c.kms.GenerateMac(ctx, &kms.GenerateMacInput{
		KeyId: &c.macKey, MacAlgorithm: types.MacAlgorithmSpecHmacSha256, Message: message,
	}, c.macs)
	if err != nil {
		return nil, kind(record.Last(err))
	}
	return out.Mac, nil
}

// VerifyMAC reports whether mac is the MAC of message.
func (c *Client) VerifyMAC(ctx context.Context, message, mac []byte) (bool, error) {
	ctx, record, cancel := c.begin(ctx)
	defer cancel()
	out, err := c.kms.VerifyMac(ctx, &kms.VerifyMacInput{
		KeyId: &c.macKey, MacAlgorithm: types.MacAlgorithmSpecHmacSha256, Message: message, Mac: mac,
	}, c.checks)
	var invalid *types.KMSInvalidMacException
	switch {
	case errors.As(err, &invalid):
		return false, nil
	case err != nil:
		return false, kind(record.Last(err))
	}
	return out.MacValid, nil
}

var (
	deniedCodes = []string{
		"AccessDeniedException", "NotFoundException", "DisabledException", "InvalidKeyUsageException",
		"KMSInvalidStateException", "InvalidGrantTokenException", "UnrecognizedClientException",
		"InvalidSignatureException", "ExpiredTokenException", "IncompleteSignature", "MissingAuthenticationToken",
		"ValidationException", "UnsupportedOperationException", "InvalidArnException",
	}
	throttleCodes = []string{
		"ThrottlingException", "LimitExceededException", "RequestLimitExceeded",
		"TooManyRequestsException",
	}
)

// kind reduces an SDK error to its kind and code, since texts of KMS may quote what was sent.
func kind(err error) error {
	var api smithy.APIError
	if none := awsconfig.NoCredentials(err); none != nil {
		return none
	}
	if errors.As(err, &api) {
		switch code := api.ErrorCode(); {
		case slices.Contains(deniedCodes, code):
			return fmt.Errorf("%w (%s)", ErrDenied, code)
		case slices.Contains(throttleCodes, code):
			return fmt.Errorf("%w (%s)", ErrThrottled, code)
		default:
			return fmt.Errorf("%w (%s)", ErrUnavailable, code)
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w (deadline)", ErrUnavailable)
	}
	return ErrUnavailable
}
