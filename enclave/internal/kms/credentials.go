package kms

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"

	"redoubt/wire/secret"
)

// Limits of credentials, in bytes.
const (
	maxAccessKeyID  = 256
	maxSecret       = 256
	maxSessionToken = 16 << 10
)

// ErrCredentials says that credentials are incomplete, too long, or over already. The former ones stay in use.
var ErrCredentials = errors.New("kms: unusable credentials")

// Credentials are an IAM role's temporary credentials. SetCredentials copies the slices, which stay the caller's, who
// should wipe them.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken []byte
	// Expiry is when they end; zero means never.
	Expiry time.Time
}

func (c *Credentials) valid(now time.Time) error {
	if len(c.AccessKeyID) == 0 || len(c.AccessKeyID) > maxAccessKeyID ||
		len(c.SecretAccessKey) == 0 || len(c.SecretAccessKey) > maxSecret || len(c.SessionToken) > maxSessionToken ||
		(!c.Expiry.IsZero() && !now.Before(c.Expiry)) {
		return ErrCredentials
	}
	return nil
}

// A session is one set of credentials with the SDK clients that sign by it; the clients keep signing keys, so they go
// when it goes. Memory is ours: the SDK gets strings that share it, and it is wiped when the last call has ended.
type session struct {
	accessKeyID   string
	secret, token []byte
	expiry        time.Time
	clients       map[string]sdkClient // by region

	uses    int  // guarded by sessions.mu
	retired bool // guarded by sessions.mu
}

// Retrieve implements aws.CredentialsProvider. It is called during a call that holds the session only.
func (s *session) Retrieve(context.Context) (aws.Credentials, error) {
	out := aws.Credentials{AccessKeyID: s.accessKeyID, SecretAccessKey: shared(s.secret), Source: "redoubt"}
	if len(s.token) > 0 {
		out.SessionToken = shared(s.token)
	}
	return out, nil
}

// shared returns a string that uses b's memory: a copy could never be wiped.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// sessions holds the session in use.
type sessions struct {
	mu      sync.Mutex
	current *session
	changed chan struct{} // closed when current is replaced
	closed  bool
	renewed uint64
}

func newSessions() *sessions { return &sessions{changed: make(chan struct{})} }

// replace puts next in the place of the current session. next may be nil.
func (s *sessions) replace(next *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current
	s.current = next
	s.renewed++
	if s.closed {
		s.retire(next)
		s.current = nil
	}
	s.retire(old)
	close(s.changed)
	s.changed = make(chan struct{})
}

// close wipes the current session, and whichever comes later.
func (s *sessions) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.replace(nil)
}

func (s *sessions) retire(old *session) {
	if old == nil {
		return
	}
	old.retired = true
	if old.uses == 0 {
		old.wipe()
	}
}

// acquire returns the session to use, nil if there is none that is still good, and a channel that is closed when there
// is another. The caller must release what it got.
func (s *sessions) acquire(now time.Time) (*session, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.current.good(now) {
		return nil, s.changed
	}
	s.current.uses++
	return s.current, s.changed
}

func (s *sessions) release(used *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used.uses--
	if used.retired && used.uses == 0 {
		used.wipe()
	}
}

// expiry tells whether there are good credentials, and when they end.
func (s *sessions) expiry(now time.Time) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return time.Time{}, false
	}
	return s.current.expiry, s.current.good(now)
}

func (s *session) good(now time.Time) bool {
	return s != nil && (s.expiry.IsZero() || now.Before(s.expiry))
}

func (s *session) wipe() {
	secret.Wipe(s.secret)
	secret.Wipe(s.token)
	s.clients = nil
}
