package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
	"redoubt/wire/mux"
)

// This file is what an enclave does with control messages, on the worker of the control stream, and its log, which any
// goroutine may write to. logMu is taken before the queue's lock.

const (
	// maxAttests bounds the attestation documents in the making.
	maxAttests = 4
	// maxDomainOpens bounds the domains of a session that are being opened, and domainTimeout the time of one.
	maxDomainOpens = 64
	domainTimeout  = 10 * time.Second
	// attestTimeout bounds the making of one.
	attestTimeout = 10 * time.Second
	// maxLogBytes bounds the log messages that wait to be written, with all else on the control stream.
	maxLogBytes = 64 << 10
)

// serverControl is the server's side of the control stream.
type serverControl struct {
	lastPing atomic.Int64
	attests  atomic.Int32
	domains  atomic.Int32
	stats    wire.Stats
	body     []byte

	logMu   sync.Mutex
	limit   tokens
	logBody []byte
	dropped atomic.Uint64
	told    uint64 // of dropped, those that the parent was told of
}

// reply queues an answer. An overflow ends the session.
func (s *Server) reply(h wire.Header, kind wire.Kind, body []byte) error {
	_, err := s.control.q.push(wire.Header{Kind: kind, ID: h.ID}, body)
	if errors.Is(err, ErrQueueFull) {
		return ErrOverflow
	}
	return err
}

func (s *Server) replyError(h wire.Header, err error) error {
	m := wire.ErrorBody{Code: wire.Internal}
	var we *wire.Error
	if errors.As(err, &we) {
		m = wire.ErrorBody{Code: we.Code, RetryAfterMS: we.RetryAfterMS}
	}
	return s.reply(h, wire.KindError, m.Append(nil))
}

var errBadRequest = &wire.Error{Code: wire.BadRequest}

// handleControl takes one message of the parent's, on the worker of the control stream.
func (s *Server) handleControl(h wire.Header, body []byte, owned bool) error {
	if owned {
		defer putBuffer(body)
	}
	switch h.Kind {
	case wire.KindPing:
		return s.handlePing(h, body)
	case wire.KindCredentials:
		return s.handleCredentials(h, body)
	case wire.KindPurge:
		return s.handlePurge(h, body)
	case wire.KindStatsRequest:
		return s.handleStats(h)
	case wire.KindAttest:
		return s.handleAttest(h, body)
	case wire.KindDomain:
		return s.handleDomain(h, body)
	case wire.KindGoAway:
		s.conn.Move(mux.Draining)
		return nil
	}
	if err := s.countUnknown(); err != nil {
		return err
	}
	return s.replyError(h, errBadRequest)
}

// try calls f and turns a panic into an error.
func (s *Server) try(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = wireErrors[wire.Internal]
			s.panicked(v)
		}
	}()
	return f()
}

func (s *Server) handlePing(h wire.Header, body []byte) error {
	var m wire.Ping
	if err := m.Decode(body); err != nil {
		return err
	}
	s.ctl.lastPing.Store(mux.Ticks(time.Now()))
	var p wire.Pong
	if err := s.try(func() error { p = s.cfg.Handler.Pong(); return nil }); err != nil {
		return s.replyError(h, err)
	}
	if s.conn.Drained() {
		p.Health &^= wire.HealthAccepting
	}
	s.ctl.body = p.Append(s.ctl.body[:0])
	return s.reply(h, wire.KindPong, s.ctl.body)
}

func (s *Server) handleCredentials(h wire.Header, body []byte) error {
	var m wire.Credentials
	defer clear(body)
	if err := m.Decode(body); err != nil {
		return s.replyError(h, errBadRequest)
	}
	if err := s.try(func() error { return s.cfg.Handler.Credentials(&m) }); err != nil {
		return s.replyError(h, err)
	}
	return s.reply(h, wire.KindAck, nil)
}

func (s *Server) handlePurge(h wire.Header, body []byte) error {
	var m wire.Purge
	if err := m.Decode(body); err != nil {
		return s.replyError(h, errBadRequest)
	}
	var p wire.Purged
	err := s.try(func() (err error) { p, err = s.cfg.Handler.Purge(&m); return err })
	if err != nil {
		return s.replyError(h, err)
	}
	return s.reply(h, wire.KindPurged, p.Append(nil))
}

func (s *Server) handleStats(h wire.Header) error {
	m := &s.ctl.stats
	m.Reset()
	if err := s.try(func() error { s.cfg.Handler.Stats(m); return m.Validate() }); err != nil {
		return s.replyError(h, err)
	}
	s.ctl.body = m.Append(s.ctl.body[:0])
	return s.reply(h, wire.KindStats, s.ctl.body)
}

// handleAttest makes a document beside the worker, for the NSM takes its time.
func (s *Server) handleAttest(h wire.Header, body []byte) error {
	var m wire.AttestRequest
	if err := m.Decode(body); err != nil {
		return s.replyError(h, errBadRequest)
	}
	if s.ctl.attests.Add(1) > maxAttests {
		s.ctl.attests.Add(-1)
		return s.replyError(h, wireErrors[wire.Overloaded])
	}
	nonce := append([]byte(nil), m.Nonce...)
	limit := attestTimeout
	if h.DeadlineMS != 0 {
		limit = min(limit, time.Duration(h.DeadlineMS)*time.Millisecond)
	}
	s.conn.Go(func() error {
		defer s.ctl.attests.Add(-1)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		var doc wire.AttestResponse
		err := s.try(func() (err error) {
			if doc.Document, err = s.cfg.Handler.Attest(ctx, nonce); err != nil {
				return err
			}
			return doc.Validate()
		})
		if err != nil {
			return s.replyError(h, err)
		}
		return s.reply(h, wire.KindAttested, doc.Append(nil))
	})
	return nil
}

// handleDomain opens a domain beside the worker, for it takes a call to KMS.
func (s *Server) handleDomain(h wire.Header, body []byte) error {
	var m wire.DomainRecord
	if err := m.Decode(body); err != nil {
		return s.replyError(h, errBadRequest)
	}
	if s.ctl.domains.Add(1) > maxDomainOpens {
		s.ctl.domains.Add(-1)
		return s.replyError(h, wireErrors[wire.Overloaded])
	}
	record := append([]byte(nil), m.Record...)
	limit := domainTimeout
	if h.DeadlineMS != 0 {
		limit = min(limit, time.Duration(h.DeadlineMS)*time.Millisecond)
	}
	s.conn.Go(func() error {
		defer s.ctl.domains.Add(-1)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.try(func() error { return s.cfg.Handler.OpenDomain(ctx, record) }); err != nil {
			return s.replyError(h, err)
		}
		return s.reply(h, wire.KindAck, nil)
	})
	return nil
}

// Log sends a message to the parent if the rate and the queue allow, and drops (and counts) it otherwise. It never
// blocks. Text and keys must be static.
func (s *Server) Log(m *wire.Log) {
	t := &s.ctl
	t.logMu.Lock()
	defer t.logMu.Unlock()
	q := s.control.q
	q.mu.Lock()
	room := q.queued < maxLogBytes && q.err == nil
	q.mu.Unlock()
	if !s.features.Has(wire.FeatureLog) || m.Validate() != nil || !room ||
		!t.limit.take(time.Now(), s.cfg.LogsPerSecond) {
		t.dropped.Add(1)
		return
	}
	dropped := t.dropped.Load()
	out := *m
	out.Dropped += dropped - t.told
	t.logBody = out.Append(t.logBody[:0])
	if _, err := q.push(wire.Header{Kind: wire.KindLog}, t.logBody); err != nil {
		t.dropped.Add(1)
		return
	}
	t.told = dropped
}

// LogsDropped counts the messages that were dropped.
func (s *Server) LogsDropped() uint64 { return s.ctl.dropped.Load() }
