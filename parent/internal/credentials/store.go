// Package credentials fetches the AWS credentials with which the host's enclaves call KMS, and keeps them fresh.
//
// # Guarantees
//
// Credentials are fetched in the background, ahead of their end, with jitter. No request waits for them. If the
// source fails, or gives credentials that have ended, the last ones are used on, also past their end, as AWS's SDKs
// do: in an outage of the metadata service KMS may still accept them. KMS decides. Cached keys are served in either
// case. Enclaves refuse credentials that have ended, so they are told of an end some minutes ahead, again and again.
// Credentials are held in locked memory outside the Go heap, wiped when replaced, and are never logged, formatted or
// put in an error.
//
// # Against whom
//
// It protects against an outage of the metadata service, and against leaks by logs, dumps and freed memory. The
// credentials are the host's own: root on this host has them anyway, and without an enclave's attestation they open
// nothing.
//
// # Copies that remain
//
// The bytes of IMDS's answer pass through net/http's connection buffer (4 KiB, overwritten by the next answer). Those
// of the static file pass through the page cache. With the source "env" they stay in the process's environment. That
// source is for development.
package credentials

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

// Source is a source of credentials.
type Source interface {
	// Fetch fills m with credentials in memory of their own, which the caller wipes. An error MUST NOT hold input.
	Fetch(ctx context.Context, m *wire.Credentials) error
	// Again is how long to wait before credentials that never end are fetched again; 0 for never.
	Again() time.Duration
}

// Errors of sources.
var (
	// ErrUnavailable: the source cannot be reached or read.
	ErrUnavailable = errors.New("credentials are unavailable")
	// ErrMalformed: the answer of the source is not credentials.
	ErrMalformed = errors.New("credentials are malformed")
	// ErrEnded: the source gave credentials whose time is over.
	ErrEnded = errors.New("credentials have ended")
	// ErrNone: the source has no credentials (no role, no variables).
	ErrNone = errors.New("no credentials configured")
)

// The timetable of refreshes.
const (
	// mostWait and leastWait bound the time between two fetches while all is well. Between them it is half of the
	// credentials' remaining life. So an instance role's (six hours) are fetched every quarter of an hour, and the
	// next ones, which come at least five minutes ahead, are noticed in time.
	mostWait  = 15 * time.Minute
	leastWait = 10 * time.Second
	// firstRetry and lastRetry bound the backoff after a failure.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 20 * time.Second
	// Credentials that cannot be renewed are used on. The end that counts is put off extendAhead before it comes, to
	// between half of extension and all of it from then on.
	extendAhead = 2 * time.Minute
	extension   = 15 * time.Minute
	// fetchTimeout bounds one fetch.
	fetchTimeout = 10 * time.Second
)

// Observer is told of fetches. Its methods must be quick.
type Observer interface {
	CredentialsFetched(ok bool)
}

// Store holds the current credentials.
type Store struct {
	source   Source
	observer Observer
	log      *slog.Logger

	mu      sync.RWMutex
	encoded *secret.Buffer // a wire.Credentials body; nil before the first
	ends    time.Time      // as the source says; zero: never
	until   time.Time      // as the enclaves are told: ends, or later if the credentials could not be renewed
	changed chan struct{}
}

// NewStore makes an empty store; Run fills it.
func NewStore(source Source, o Observer, log *slog.Logger) *Store {
	return &Store{source: source, observer: o, log: log, changed: make(chan struct{})}
}

// Run fetches until ctx ends. Then it wipes the credentials.
func (s *Store) Run(ctx context.Context) {
	defer s.forget()
	retry := firstRetry
	failing := false
	for {
		err := s.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		s.observer.CredentialsFetched(err == nil)
		wait := s.wait()
		s.extend()
		if err != nil {
			if !failing {
				s.log.Warn("cannot fetch credentials", slog.String("cause", cause(err)), slog.Bool("have", s.Valid()))
			}
			wait = jitter(retry)
			retry = min(2*retry, lastRetry)
		} else {
			if failing {
				s.log.Info("credentials are fetched again")
			}
			retry = firstRetry
		}
		failing = err != nil
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		}
	}
}

// cause turns an error into one of our static texts.
func cause(err error) string {
	for _, known := range []error{ErrMalformed, ErrEnded, ErrNone, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ErrUnavailable.Error()
}

// jitter spreads d over its upper half, so that many hosts do not ask at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1)) //nolint:gosec // spreading load, not a secret
}

// wait is the time until the next regular fetch; 0 for never.
func (s *Store) wait() time.Duration {
	s.mu.RLock()
	ends := s.ends
	s.mu.RUnlock()
	if ends.IsZero() {
		return s.source.Again()
	}
	return jitter(min(max(time.Until(ends)/2, leastWait), mostWait))
}

func (s *Store) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var m wire.Credentials
	defer m.Wipe()
	if err := s.source.Fetch(ctx, &m); err != nil {
		return err
	}
	if m.Validate() != nil {
		return ErrMalformed
	}
	var ends time.Time
	if m.ExpiresMS != 0 {
		ends = time.UnixMilli(m.ExpiresMS)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := !ends.IsZero() && !ends.After(time.Now())
	if ended && s.encoded != nil && (s.ends.IsZero() || !s.ends.Before(ends)) {
		return ErrEnded // the current credentials are no worse
	}
	until := ends
	if s.encoded != nil && ends.Equal(s.ends) && !ends.IsZero() { // perhaps the same credentials, whose end was put off
		until, m.ExpiresMS = s.until, s.until.UnixMilli()
	}
	changed, err := s.replace(&m, ends, until)
	switch {
	case err != nil:
		return err
	case changed:
		s.log.Info("credentials changed", slog.Time("end", ends), slog.Bool("ends", !ends.IsZero()))
	}
	if ended {
		return ErrEnded
	}
	return nil
}

// replace takes over a copy of m and tells of the change, unless m is what is there already. The caller holds mu.
func (s *Store) replace(m *wire.Credentials, ends, until time.Time) (changed bool, err error) {
	// The capacity is exact, so that append leaves no copy behind.
	body := make([]byte, 0, 32+len(m.AccessKeyID)+len(m.Secret)+len(m.Token))
	buf, err := secret.NewFrom(m.Append(body))
	if err != nil {
		return false, ErrUnavailable
	}
	old := s.encoded
	if old != nil && string(old.Bytes()) == string(buf.Bytes()) {
		buf.Destroy()
		return false, nil
	}
	s.encoded, s.ends, s.until = buf, ends, until
	old.Destroy()
	close(s.changed)
	s.changed = make(chan struct{})
	return true, nil
}

// extend puts off the end that counts of credentials that could not be renewed, if that end is near.
func (s *Store) extend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.encoded == nil || s.ends.IsZero() || time.Until(s.until) > extendAhead {
		return
	}
	body := append([]byte(nil), s.encoded.Bytes()...)
	defer secret.Wipe(body)
	var m wire.Credentials
	if m.Decode(body) != nil {
		return
	}
	until := time.Now().Add(jitter(extension))
	m.ExpiresMS = until.UnixMilli()
	first := s.until.Equal(s.ends)
	if _, err := s.replace(&m, s.ends, until); err == nil && first {
		s.log.Warn("credentials are used past their end, since there are no new ones", slog.Time("end", s.ends))
	}
}

func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.encoded.Destroy()
	s.encoded, s.ends, s.until = nil, time.Time{}, time.Time{}
}

// With calls use with a copy of the current credentials, which is wiped afterwards. If there are none, it does not
// call use and returns nil.
func (s *Store) With(use func(m *wire.Credentials) error) error {
	s.mu.RLock()
	if !s.valid() {
		s.mu.RUnlock()
		return nil
	}
	body := append([]byte(nil), s.encoded.Bytes()...)
	s.mu.RUnlock()
	defer secret.Wipe(body)
	var m wire.Credentials
	if err := m.Decode(body); err != nil {
		return ErrMalformed
	}
	return use(&m)
}

// Changed returns a channel that is closed when the credentials next change.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Valid reports whether there are credentials to use.
func (s *Store) Valid() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.valid()
}

func (s *Store) valid() bool {
	return s.encoded != nil && (s.until.IsZero() || time.Now().Before(s.until))
}

// Life is the rest of the credentials' life as their source stated it. It is negative once they have ended. ok is
// false if there are none, or if they never end.
func (s *Store) Life() (left time.Duration, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.encoded == nil || s.ends.IsZero() {
		return 0, false
	}
	return time.Until(s.ends), true
}
