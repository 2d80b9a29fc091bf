package kms

import (
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
// cause may have been our clock, or changes to an account that had not reached KMS yet.
const refusedFor = 30 * time.Second

// ErrCredentials reports credentials that are incomplete, too long, malformed, or over already. The former
// credentials stay in use.
var ErrCredentials = errors.New("kms: unusable credentials")

// Credentials are an IAM role's temporary credentials. Identity.Set copies the slices. They stay the caller's, which
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

// printable reports whether b can stand in a header. A request that cannot be sent would look like a KMS that cannot
// be reached.
func printable(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c <= ' ' || c > '~' })
}

// A set is one set of credentials with the SDK clients that sign with it. The clients keep signing keys, so they are
// dropped together with it. The memory is ours: the SDK gets strings that share it. It is wiped when no identity has
// the set any more and the last call with it has ended. Identities with equal credentials share a set.
type set struct {
	number        uint64 // never given twice
	accessKeyID   string
	secret, token []byte
	expiry        time.Time
	clients       map[string]clients // by region

	// Guarded by wallet.mu.
	held    int // identities that have this set
	uses    int // calls that use this set
	refused time.Time
}

// Retrieve implements aws.CredentialsProvider. It is called only during a call that uses the set.
func (s *set) Retrieve(context.Context) (aws.Credentials, error) {
	out := aws.Credentials{AccessKeyID: s.accessKeyID, SecretAccessKey: shared(s.secret), Source: "redoubt"}
	if len(s.token) > 0 {
		out.SessionToken = shared(s.token)
	}
	return out, nil
}

// shared returns a string that uses b's memory, since a copy could never be wiped.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// clients are the SDK's clients of one region.
type clients struct{ vaults, domains sdkClient }

// client returns the one by which a question is asked.
func (s *set) client(q question) sdkClient {
	if q.domain {
		return s.clients[q.region.name].domains
	}
	return s.clients[q.region.name].vaults
}

// good reports whether calls may be made with this set.
func (s *set) good(now time.Time) bool {
	return s != nil && (s.expiry.IsZero() || now.Before(s.expiry))
}

// is reports whether the set holds these credentials.
func (s *set) is(c *Credentials) bool {
	return s.accessKeyID == string(c.AccessKeyID) && s.expiry.Equal(c.Expiry) &&
		subtle.ConstantTimeCompare(s.secret, c.SecretAccessKey)&subtle.ConstantTimeCompare(s.token, c.SessionToken) == 1
}

func (s *set) wipe() {
	secret.Wipe(s.secret)
	secret.Wipe(s.token)
	s.clients = nil
}
