package server

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/kms"
	"redoubt/enclave/internal/nsm"
	"redoubt/wire"
	"redoubt/wire/session"
)

const (
	// attestsPerSecond and attestsAtOnce bound the documents made for callers. The module makes one at a time, and
	// KMS calls need it too.
	attestsPerSecond = 20
	attestsAtOnce    = 2

	// acceptPause is how long Serve waits after a failure to accept that may be temporary.
	acceptPause = 50 * time.Millisecond
)

// KMS is what the server needs of the KMS client.
type KMS interface {
	// CredentialsValid reports whether any session has credentials that have not ended.
	CredentialsValid() (expiry time.Time, ok bool)
	Reach(ctx context.Context, region string) error
}

// Identity holds the credentials with which KMS is asked for one session. kms.Identity implements it.
type Identity interface {
	keys.Credentials
	Set(creds kms.Credentials) error
	Valid() (expiry time.Time, ok bool)
	Close()
}

// Config is what a server needs. Everything is required unless its comment says otherwise.
type Config struct {
	Engine *engine.Engine
	Keys   *keys.Cache
	KMS    KMS
	// Identity makes the identity of a new session.
	Identity func() Identity
	Module   nsm.Module
	Egress   *Egress
	Logs     *Logs

	// Session is the template of each session's configuration. The server sets its Handler.
	Session session.ServerConfig
	// Regions lists the regions whose KMS is checked for being reachable.
	Regions []string
	// Commitment goes into the user data of documents made for callers.
	Commitment []byte
	// MaxSessions bounds the sessions open at once.
	MaxSessions int
	// DrainTimeout bounds the work that is left after the end of Serve's context.
	DrainTimeout time.Duration
	// Machine is checked for the health bits.
	Machine Machine
	// ClockOffset is KMS's clock minus ours, as far as is known. May be nil.
	ClockOffset func() time.Duration
	// Renew is called after new credentials, Forget after a purge of everything. May be nil.
	Renew, Forget func()
	// Gauges adds the counts of other parts to a snapshot of statistics. May be nil.
	Gauges func(*wire.Stats)
}

// Server serves sessions.
type Server struct {
	cfg     Config
	health  health
	attests *rate.Limiter
	busy    chan struct{} // one slot for each document being made

	purges, attested, credentials, sessions atomic.Int64

	mu       sync.Mutex
	links    []*link // sessions that are open
	opening  int     // connections whose hello is under way
	draining bool
	done     sync.WaitGroup
}

// New makes a server; see [Server.Serve].
func New(cfg Config) *Server {
	s := &Server{
		cfg:     cfg,
		attests: rate.NewLimiter(attestsPerSecond, attestsPerSecond),
		busy:    make(chan struct{}, attestsAtOnce),
	}
	s.health.init(cfg)
	return s
}

// Serve accepts sessions from l until ctx ends, then drains and returns nil. It returns an error if l fails. In each
// case it closes l, and ends every session and goroutine that it began.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer s.done.Wait()
	defer stop()
	s.done.Go(func() { s.health.watch(watch) })
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()

	err := s.accept(ctx, l)
	_ = l.Close() // it may be closed already
	s.drain(context.WithoutCancel(ctx))
	return err
}

// accept takes connections until l is closed.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err == nil {
			s.admit(ctx, conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
			return err
		}
		// The process is out of descriptors, or a peer left at once. Neither may end the service.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(acceptPause):
			s.cfg.Logs.Logger().Warn("a connection could not be accepted")
		}
	}
}

// admit starts a session on conn, or closes conn if there are too many.
func (s *Server) admit(ctx context.Context, conn net.Conn) {
	s.mu.Lock()
	ok := !s.draining && len(s.links)+s.opening < s.cfg.MaxSessions
	if ok {
		s.opening++
	}
	s.mu.Unlock()
	if !ok {
		_ = conn.Close() // the peer gets no answer either way
		s.cfg.Logs.Logger().Warn("too many sessions")
		return
	}
	s.done.Go(func() { s.serve(ctx, conn) })
}

// serve opens one session and waits for its end.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	k := &link{s: s, identity: s.cfg.Identity()}
	defer k.identity.Close()
	k.origin.Credentials = k.identity
	cfg := s.cfg.Session
	cfg.Handler = k
	sess, err := session.NewServer(ctx, conn, cfg)
	s.mu.Lock()
	s.opening--
	late := err == nil && s.draining
	if err == nil && !late {
		k.session = sess
		s.cfg.Egress.add(sess) // before the session counts: code that sees it counted may use it for egress and logs
		s.cfg.Logs.add(sess)
		s.links = append(s.links, k)
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		s.cfg.Logs.Logger().Warn("a session could not be opened")
		return
	case late:
		_ = sess.Close()
		return
	}
	s.sessions.Add(1)
	s.health.nudge()
	<-sess.Ended()
	k.origin.End()
	s.cfg.Egress.remove(sess)
	s.cfg.Logs.remove(sess)
	s.mu.Lock()
	s.links = slices.DeleteFunc(s.links, func(l *link) bool { return l == k })
	s.mu.Unlock()
	<-sess.Done()
}

// drain ends every session, gracefully as long as the limit allows.
func (s *Server) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	s.mu.Lock()
	s.draining = true
	links := slices.Clone(s.links)
	s.mu.Unlock()
	s.cfg.Logs.Logger().Info("draining")

	var wg sync.WaitGroup
	for _, k := range links {
		wg.Go(func() {
			_ = k.session.Drain(ctx) // it closes the session in each case
			_ = k.session.Close()
		})
	}
	wg.Go(func() { _ = s.cfg.Engine.Drain(ctx) })
	wg.Wait()
}

// Sessions returns how many sessions are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}
