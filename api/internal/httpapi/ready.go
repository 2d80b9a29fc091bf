package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"redoubt/api/internal/store"
)

const (
	readyTimeout = 2 * time.Second
	// readyFresh is how long an answer is used again, so that health checks cost the dependencies little.
	readyFresh = time.Second
)

// HealthBody answers /health.
type HealthBody struct {
	Status string `json:"status" enum:"ok"`
}

// ReadyBody answers /ready.
type ReadyBody struct {
	Status string            `json:"status" enum:"ready,not_ready"`
	Checks map[string]string `json:"checks" doc:"ok, failed or an error code, by dependency; storage_full is ready"`
}

// readiness remembers the last answer.
type readiness struct {
	mu   sync.Mutex
	at   time.Time
	last *ReadyBody
	told map[string]string // what the log last said of each check that fails
}

func health(*call) (*reply, error) { return ok(&HealthBody{Status: "ok"}), nil }

func ready(c *call) (*reply, error) {
	s := c.server
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if now := s.cfg.Now(); s.ready.last == nil || now.Sub(s.ready.at) >= readyFresh {
		// The request's context is not used, since the answer serves other requests too.
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
	errs := map[string]error{}
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
			case errors.Is(err, store.ErrFull): // still ready: out of the balancer, nobody could remove anything
				out.Checks[check.Name] = codeStoreFull
			default:
				out.Checks[check.Name], out.Status = cause(err), "not_ready"
			}
			errs[check.Name] = err
		})
	}
	wg.Wait()
	s.tell(out.Checks, errs)
	return out
}

// cause names why a check failed, by the code with which a request would be answered.
func cause(err error) string {
	if e := known(err); e != nil && e.status >= http.StatusInternalServerError {
		return e.code
	}
	return "failed"
}

// tell logs what is new since the last time: a cause once, however often readiness is asked for, and its end. The
// caller holds s.ready.mu.
func (s *Server) tell(checks map[string]string, errs map[string]error) {
	if s.ready.told == nil {
		s.ready.told = map[string]string{}
	}
	for name, word := range checks {
		before, failed := s.ready.told[name]
		switch {
		case errs[name] == nil && failed:
			s.cfg.Log.Info("readiness check passes again", "check", name)
			delete(s.ready.told, name)
		case errs[name] != nil && before != word:
			s.cfg.Log.Error("readiness check failed", "check", name, "cause", word, "error", errs[name])
			s.ready.told[name] = word
		}
	}
}
