package parentd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"redoubt/parent/internal/config"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/status"
	"redoubt/wire/kit/h1"
)

// serveMetrics serves the operator's routes until ctx ends. It keeps serving through the drain, so that the drain can
// be watched.
func (a *Parent) serveMetrics(ctx context.Context) error {
	if a.metricsLn == nil {
		<-ctx.Done()
		return nil
	}
	s := &http.Server{
		Handler: a.operate(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	closed := make(chan struct{})
	go func() {
		<-ctx.Done()
		_ = s.Close()
		close(closed)
	}()
	err := s.Serve(h1.Listener{Listener: a.metricsLn})
	if errors.Is(err, http.ErrServerClosed) {
		<-closed
		return nil
	}
	return err
}

// operate is the handler of the metrics listener: /metrics, /purge, the status page, and /ready for a load balancer
// whose checks do not support TLS 1.3.
func (a *Parent) operate() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", guard(a.readers, promhttp.HandlerFor(a.metrics.Registry, promhttp.HandlerOpts{
		Registry: a.metrics.Registry, EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
		ErrorHandling: promhttp.ContinueOnError,
	})))
	// Purging from another host needs a credential of its own. A decryption key is not enough.
	operators := a.operators
	if operators == nil {
		operators = front.NewAuth(false)
	}
	mux.Handle("POST /purge", guard(operators, http.HandlerFunc(a.purge)))
	mux.HandleFunc("GET /ready", a.answerReady)
	status.Register(mux)
	if a.c.Operate.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	site := h1.Site{Names: a.c.Operate.MetricsHosts, Flag: "--metrics-host"}
	return site.Guard(h1.AsSent(mux))
}

// guard asks callers from other hosts for one of auth's keys. A nil auth admits everyone. Through a tunnel to this
// host the status page needs no key.
func guard(auth *front.Auth, next http.Handler) http.Handler {
	if auth == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if config.Loopback(r.RemoteAddr) {
			next.ServeHTTP(w, r)
			return
		}
		if _, ok := auth.Bearer([]byte(r.Header.Get("Authorization"))); !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // of types of our own, to a peer that may have left
}

// refuse answers with an error of ours. Its text holds nothing of the request.
func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{status, err.Error()})
}
