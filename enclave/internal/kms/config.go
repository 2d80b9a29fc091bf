package kms

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"time"

	"redoubt/enclave/internal/nsm"
)

// Defaults of [Config].
const (
	// DefaultAttemptTimeout bounds one attempt. It includes connecting and the TLS handshake.
	DefaultAttemptTimeout = 2 * time.Second
	// DefaultCallTimeout bounds a call whose context has no deadline.
	DefaultCallTimeout = 10 * time.Second
	// DefaultMaxConcurrent is the number of attempts at a time, and of connections.
	DefaultMaxConcurrent = 64
	// DefaultMaxQueue is the number of calls that wait for their turn. Further calls fail as overloaded.
	DefaultMaxQueue = 1024
	// DefaultRSAKeyLife is how long an RSA key pair is used before another takes its place.
	DefaultRSAKeyLife = 12 * time.Hour
	// DefaultDocumentLife is how long an attestation document is used before another takes its place.
	DefaultDocumentLife = 3 * time.Minute
	// MaxDocumentLife is how long a document is used if the module fails to make another. KMS accepts one for five
	// minutes.
	MaxDocumentLife = 4*time.Minute + 30*time.Second
)

// Limits of a request, in bytes.
const (
	// MaxWrapped is KMS's limit of a ciphertext.
	MaxWrapped = 6144
	maxVaultID = 256
)

// ErrConfig says what is wrong with a [Config].
var ErrConfig = errors.New("kms: invalid configuration")

// Config of a [Client]. Zero values mean the defaults.
type Config struct {
	// Keys maps a region to the ARN of the one key that may be used there. Required. Each must be the ARN of a key of
	// that region, not of an alias.
	Keys map[string]string
	// DomainKeys are the ARNs of further keys, of any region, that may wrap the data keys of domains, and nothing else.
	// A key of Keys may wrap these too.
	DomainKeys []string
	// ClassicalDomains asks for domains' keys over the same TLS as for vaults' keys: 1.2 or 1.3 with any key exchange.
	// DANGEROUS: see the text of the configuration file.
	ClassicalDomains bool
	// Endpoint replaces https://kms.REGION.amazonaws.com for every region. It is an https URL with a host and,
	// optionally, a port. DANGEROUS: see the text of the configuration file.
	Endpoint string
	// ExtraRootsPEM are certificates that are trusted beside Amazon's roots. DANGEROUS for the same reason.
	ExtraRootsPEM []byte
	// Dial opens a byte stream to HOST:PORT through the parent. The client makes TLS on it. Required.
	Dial func(ctx context.Context, hostport string) (net.Conn, error)
	// Module makes the attestation documents. Required. The client does not close it.
	Module nsm.Module
	// NewRecipient makes the RSA key pair of 2,048 bits to which KMS answers. Nil: crypto/rsa makes it.
	NewRecipient func() (*rsa.PrivateKey, error)

	AttemptTimeout, CallTimeout time.Duration
	MaxConcurrent, MaxQueue     int
	RSAKeyLife, DocumentLife    time.Duration
}

// arnForm is arn:PARTITION:kms:REGION:ACCOUNT:key/ID, with the partition's and the region's names as groups.
var arnForm = regexp.MustCompile(`^arn:(aws(?:-[a-z]+)*):kms:([a-z0-9-]{1,64}):[0-9]{12}:key/[A-Za-z0-9-]{1,64}$`)

func (c *Config) setDefaults() {
	def(&c.AttemptTimeout, DefaultAttemptTimeout)
	def(&c.CallTimeout, DefaultCallTimeout)
	def(&c.MaxConcurrent, DefaultMaxConcurrent)
	def(&c.MaxQueue, DefaultMaxQueue)
	def(&c.RSAKeyLife, DefaultRSAKeyLife)
	def(&c.DocumentLife, DefaultDocumentLife)
}

func def[T time.Duration | int](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (c *Config) valid() error {
	switch {
	case c.Dial == nil || c.Module == nil:
		return fmt.Errorf("%w: dial and module are required", ErrConfig)
	case len(c.Keys) == 0:
		return fmt.Errorf("%w: no keys", ErrConfig)
	case c.AttemptTimeout < 0 || c.CallTimeout < 0 || c.MaxConcurrent < 0 || c.MaxQueue < 0 || c.RSAKeyLife < 0:
		return fmt.Errorf("%w: a bound is negative", ErrConfig)
	case c.DocumentLife < 0 || c.DocumentLife > MaxDocumentLife:
		return fmt.Errorf("%w: document life out of range", ErrConfig)
	}
	for region, arn := range c.Keys {
		if parts := arnForm.FindStringSubmatch(arn); parts == nil || parts[2] != region {
			return fmt.Errorf("%w: not the ARN of a key of its region", ErrConfig)
		}
	}
	for _, arn := range c.DomainKeys {
		if !arnForm.MatchString(arn) {
			return fmt.Errorf("%w: a domain's key is not the ARN of a key", ErrConfig)
		}
	}
	_, err := c.endpoint("us-east-1", "arn:aws:kms:us-east-1:000000000000:key/x")
	return err
}

// endpoint returns the base URL of a region's KMS.
func (c *Config) endpoint(region, arn string) (*url.URL, error) {
	if c.Endpoint == "" {
		suffix := "amazonaws.com"
		if parts := arnForm.FindStringSubmatch(arn); parts != nil && parts[1] == "aws-cn" {
			suffix = "amazonaws.com.cn"
		}
		return &url.URL{Scheme: "https", Host: "kms." + region + "." + suffix}, nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("%w: endpoint is not an https URL of host and port", ErrConfig)
	}
	return &url.URL{Scheme: "https", Host: u.Host}, nil
}
