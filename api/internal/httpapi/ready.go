package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"redoubt/api/internal/store"
	"redoubt/wire/awsconfig"
)

const (
	readyTimeout = 2 * time.Second
	// readyFresh is how long an answer serves, so that health checks cost the dependencies little.
	readyFresh = time.Second
)

// HealthBody answers /health.
type HealthBody struct {
	Status string `json:"status" enum:"ok"`
}

// ReadyBody answers /ready.
type ReadyBody struct {
	Status string            `json:"status" enum:"ready,not_ready"`
	Checks map[string]string `json:"checks" doc:"ok, failed, no_credentials (of AWS), or storage_full (which is ready), by dependency"`
}

// readiness remembers the last answer.
type readiness struct {
	mu   sync.Mutex
	at   time.Time
	last *ReadyBody
}

func health(*call) (*reply, error) { return ok(&HealthBody{Status: "ok"}), nil }

func ready(c *call) (*reply, error) {
	s := c.server
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if now := s.cfg.Now(); s.ready.last == nil || now.Sub(s.ready.at) >= readyFresh {
		// Not the request's context: its answer serves others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), readyTimeout)
		defer cancel()
		s.ready.last, s.ready.at = s.check(ctx), now
	}
	status := http.StatusOK
	if s.ready.last.Status != "ready" {
		status = http.StatusServiceUnavailable
	}
	return &reply{status: status, body: s.ready.last}, nil
}

// check asks all dependencies at once.
func (s *Server) check(ctx context.Context) *ReadyBody {
	out := &ReadyBody{Status: "ready", Checks: map[string]string{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, check := range s.cfg.Checks {
		wg.Go(func() {
			err := check.Ask(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				out.Checks[check.Name] = "ok"
			case errors.Is(err, store.ErrFull): // out of the balancer nobody could remove anything
				out.Checks[check.Name] = codeStoreFull
			case errors.Is(err, awsconfig.ErrNoCredentials):
				out.Checks[check.Name], out.Status = codeNoCredentials, "not_ready"
			default:
				out.Checks[check.Name], out.Status = "failed", "not_ready"
			}
		})
	}
	wg.Wait()
	return out
}
