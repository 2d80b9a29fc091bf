package server

import (
	"context"
	"errors"
	"runtime/metrics"
	"time"

	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/kms"
	"redoubt/wire"
	"redoubt/wire/kit/secret"
	"redoubt/wire/session"
)

// link is the handler of one session.
type link struct {
	s       *Server
	session *session.Server
	origin  engine.Origin
	// identity has the session's credentials, and ends with the session.
	identity Identity
}

var _ session.Handler = (*link)(nil)

// Request implements [session.Handler].
func (k *link) Request(r *session.Request) { k.s.cfg.Engine.Request(r, &k.origin) }

// Credentials implements [session.Handler]. The credentials serve this session alone. The KMS client copies what it
// needs, and the session wipes m.
func (k *link) Credentials(m *wire.Credentials) error {
	c := kms.Credentials{AccessKeyID: m.AccessKeyID, SecretAccessKey: m.Secret, SessionToken: m.Token}
	if m.ExpiresMS != 0 {
		c.Expiry = time.UnixMilli(m.ExpiresMS)
	}
	if err := k.identity.Set(c); err != nil {
		k.s.cfg.Logs.Logger().Warn("credentials were refused")
		return &wire.Error{Code: wire.BadRequest}
	}
	k.s.credentials.Add(1)
	k.s.health.nudge()
	if k.s.cfg.Renew != nil {
		k.s.cfg.Renew()
	}
	return nil
}

// Purge implements [session.Handler].
func (k *link) Purge(m *wire.Purge) (wire.Purged, error) {
	k.s.purges.Add(1)
	before := k.s.cfg.Keys.Stats().Contexts
	var n int
	if len(m.VaultID) == 0 {
		n = k.s.cfg.Keys.PurgeAll()
		if k.s.cfg.Forget != nil {
			k.s.cfg.Forget()
		}
	} else {
		n = k.s.cfg.Keys.PurgeVault(m.VaultID)
	}
	// Contexts of other keys come and go meanwhile, so the number is an estimate.
	contexts := max(0, before-k.s.cfg.Keys.Stats().Contexts)
	if len(m.VaultID) == 0 { // the parent logs the purge of one vault itself: its probe purges its own key each minute
		k.s.cfg.Logs.Logger().Info("keys were purged", "keys", n, "contexts", contexts)
	}
	return wire.Purged{Keys: uint64(max(0, n)), Contexts: uint64(contexts)}, nil
}

// Pong implements [session.Handler].
func (k *link) Pong() wire.Pong {
	all, waiting := k.s.cfg.Engine.InFlight()
	health := k.s.Health()
	if _, ok := k.identity.Valid(); ok {
		health |= wire.HealthCredentials
	}
	return wire.Pong{
		Health: health, ClockMS: time.Now().UnixMilli(),
		InFlight: uint32(all), Queued: uint32(waiting),
	}
}

// Attest implements [session.Handler].
func (k *link) Attest(ctx context.Context, nonce []byte) ([]byte, error) {
	if !k.s.attests.Allow() {
		return nil, &wire.Error{Code: wire.Overloaded, RetryAfterMS: 1000}
	}
	return k.s.Document(ctx, k.s.cfg.Commitment, nonce)
}

// Document makes an attestation document, few at a time. Error: *wire.Error.
func (s *Server) Document(ctx context.Context, userData, nonce []byte) ([]byte, error) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return nil, &wire.Error{Code: wire.DeadlineExceeded}
	}
	doc, err := s.cfg.Module.Attest(userData, nonce, nil)
	if err != nil {
		s.cfg.Logs.Logger().Error("the security module made no document")
		return nil, errors.Join(&wire.Error{Code: wire.Internal}, err)
	}
	s.attested.Add(1)
	return doc, nil
}

// OpenDomain implements [session.Handler]. KMS is asked with the session's credentials.
func (k *link) OpenDomain(ctx context.Context, record []byte) error {
	return k.s.cfg.Keys.OpenDomain(ctx, record, k.origin.Credentials)
}

// Panicked implements [session.Handler].
func (k *link) Panicked(any) {
	k.s.cfg.Engine.Stats().Count(wire.StatPanics)
	k.s.cfg.Logs.Logger().Error("a panic was recovered")
}

// Stats implements [session.Handler].
func (k *link) Stats(m *wire.Stats) {
	s := k.s
	s.cfg.Engine.Stats().Snapshot(m)
	keyStats(s.cfg.Keys.Stats(), m)
	m.Add(wire.StatPurges, s.purges.Load())
	m.Add(wire.StatAttestations, s.attested.Load())
	m.Add(wire.StatCredentialsReceived, s.credentials.Load())
	m.Add(wire.StatSessions, s.sessions.Load())
	m.Add(wire.StatEgressOpened, s.cfg.Egress.opened.Load())
	m.Add(wire.StatEgressFailed, s.cfg.Egress.failed.Load())
	m.Add(wire.StatLogsDropped, s.cfg.Logs.dropped.Load())
	all, waiting := s.cfg.Engine.InFlight()
	m.Add(wire.StatGaugeInFlight, int64(all))
	m.Add(wire.StatGaugeQueued, int64(waiting))
	m.Add(wire.StatGaugeSessions, int64(s.Sessions()))
	m.Add(wire.StatGaugeSecretBytes, secret.Stats().Mapped)
	heap, goroutines := runtimeGauges()
	m.Add(wire.StatGaugeHeapBytes, heap)
	m.Add(wire.StatGaugeGoroutines, goroutines)
	if s.cfg.Gauges != nil {
		s.cfg.Gauges(m)
	}
}

// runtimeGauges reads the heap in use, in bytes, and the number of goroutines, without stopping the world.
func runtimeGauges() (heap, goroutines int64) {
	v := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(v)
	for i, p := range []*int64{&heap, &goroutines} {
		if v[i].Value.Kind() == metrics.KindUint64 {
			*p = int64(v[i].Value.Uint64())
		}
	}
	return heap, goroutines
}
