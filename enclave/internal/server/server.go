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
	// attestsPerSecond and attestsAtOnce bound the documents made for callers: the module makes one at a time, and
	// KMS needs it too.
	attestsPerSecond = 20
	attestsAtOnce    = 2

	// acceptPause is how long Serve waits after a failure to accept that may pass.
	acceptPause = 50 * time.Millisecond
)

// KMS is what the server needs of the KMS client.
type KMS interface {
	// CredentialsValid tells whether any session has credentials that have not ended.
	CredentialsValid() (expiry time.Time, ok bool)
	Reach(ctx context.Context, region string) error
}

// Identity is what KMS knows a session by: its own credentials. See kms.Identity, which is one.
type Identity interface {
	keys.Credentials
	Set(creds kms.Credentials) error
	Valid() (expiry time.Time, ok bool)
	Close()
}

// Config is what a server needs. Everything is required but where it says otherwise.
type Config struct {
	Engine *engine.Engine
	Keys   *keys.Cache
	KMS    KMS
	// Identity makes that of a new session.
	Identity func() Identity
	Module   nsm.Module
	Egress   *Egress
	Logs     *Logs

	// Session is the template of each session's configuration; its Handler is set by the server.
	Session session.ServerConfig
	// Regions are those whose KMS is asked whether it can be reached.
	Regions []string
	// Commitment goes into the user data of documents made for callers.
	Commitment []byte
	// MaxSessions bounds the sessions open at once.
	MaxSessions int
	// DrainTimeout bounds what is left to do after the end of Serve's context.
	DrainTimeout time.Duration
	// Machine is checked for the health bits.
	Machine Machine
	// ClockOffset is KMS's clock less ours, as far as is known. May be nil.
	ClockOffset func() time.Duration
	// Renew is told of new credentials, Forget of a purge of everything. May be nil.
	Renew, Forget func()
	// Gauges adds what other parts count to a snapshot of statistics. May be nil.
	Gauges func(*wire.Stats)
}

// Server serves sessions.
type Server struct {
	cfg     Config
	health  health
	attests *rate.Limiter
	busy    chan struct{} // a slot for each document being made

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

// Serve accepts sessions from l until ctx ends, then drains and returns nil. It returns an error when l fails. It
// closes l in each case, and ends every session and goroutine it began.
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
		// Out of descriptors, or a peer that left at once: neither may end the service.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(acceptPause):
			s.cfg.Logs.Logger().Warn("a connection could not be accepted")
		}
	}
}

// admit starts a session on conn, or closes it when there are too many.
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
		s.cfg.Egress.add(sess) // before it counts: who sees a session may use it for egress and logs
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

// drain ends every session, gently as long as the limit allows.
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
			_ = k.session.Drain(ctx) // it closes in each case
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
