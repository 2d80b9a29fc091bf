package kms

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"

	"redoubt/wire/kit/secret"
)

// Limits of credentials, in bytes.
const (
	maxAccessKeyID  = 256
	maxSecret       = 256
	maxSessionToken = 16 << 10
)

// refusedFor is how long credentials that KMS refused do not count as valid. After that they get another chance: the
// refusal may have been of our clock, or of an account whose changes had not reached KMS yet.
const refusedFor = 30 * time.Second

// ErrCredentials says that credentials are incomplete, too long, malformed, or over already. The former stay in use.
var ErrCredentials = errors.New("kms: unusable credentials")

// Credentials are an IAM role's temporary credentials. Identity.Set copies the slices, which stay the caller's, who
// should wipe them.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken []byte
	// Expiry is when they end; zero means never.
	Expiry time.Time
}

func (c *Credentials) valid(now time.Time) error {
	if len(c.AccessKeyID) == 0 || len(c.AccessKeyID) > maxAccessKeyID ||
		len(c.SecretAccessKey) == 0 || len(c.SecretAccessKey) > maxSecret || len(c.SessionToken) > maxSessionToken ||
		!printable(c.AccessKeyID) || !printable(c.SessionToken) ||
		(!c.Expiry.IsZero() && !now.Before(c.Expiry)) {
		return ErrCredentials
	}
	return nil
}

// printable tells whether b can stand in a header. A request that cannot be sent would look like a KMS out of reach.
func printable(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c <= ' ' || c > '~' })
}

// A set is one set of credentials with the SDK clients that sign by it; the clients keep signing keys, so they go when
// it goes. Memory is ours: the SDK gets strings that share it, and it is wiped when no identity has it any more and the
// last call has ended. Identities with equal credentials share a set.
type set struct {
	number        uint64 // never given twice
	accessKeyID   string
	secret, token []byte
	expiry        time.Time
	clients       map[string]sdkClient // by region

	// Guarded by wallet.mu.
	held    int // identities that have it
	uses    int // calls that do
	refused time.Time
}

// Retrieve implements aws.CredentialsProvider. It is called during a call that uses the set only.
func (s *set) Retrieve(context.Context) (aws.Credentials, error) {
	out := aws.Credentials{AccessKeyID: s.accessKeyID, SecretAccessKey: shared(s.secret), Source: "redoubt"}
	if len(s.token) > 0 {
		out.SessionToken = shared(s.token)
	}
	return out, nil
}

// shared returns a string that uses b's memory: a copy could never be wiped.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// good tells whether calls may be made with it.
func (s *set) good(now time.Time) bool {
	return s != nil && (s.expiry.IsZero() || now.Before(s.expiry))
}

// is tells whether these are the same credentials.
func (s *set) is(c *Credentials) bool {
	return s.accessKeyID == string(c.AccessKeyID) && s.expiry.Equal(c.Expiry) &&
		subtle.ConstantTimeCompare(s.secret, c.SecretAccessKey) == 1 && bytes.Equal(s.token, c.SessionToken)
}

func (s *set) wipe() {
	secret.Wipe(s.secret)
	secret.Wipe(s.token)
	s.clients = nil
}
