package kms

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"redoubt/wire/kit/h1"
)

// ErrNotLoopback is what Listen answers for an address that others could reach.
var ErrNotLoopback = errors.New("the stand-in listens on loopback addresses and unix sockets only")

// Listen opens a listener for "host:port", where host is a loopback address or localhost, or for "unix:///path".
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var listener net.ListenConfig
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		ln, err := listener.Listen(ctx, "unix", path)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return ln, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if addr, err := netip.ParseAddr(host); err != nil || !addr.IsLoopback() {
		return nil, ErrNotLoopback
	}
	ln, err := listener.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}

const (
	readTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	drainDeadline = 3 * time.Second
)

// Serve answers on plain (the KMS protocol and the admin routes) and on encrypted (the KMS protocol over TLS with
// config) until ctx ends. Either listener may be nil. Serve takes over both listeners, and drains for up to 3 s.
func (s *Server) Serve(ctx context.Context, plain, encrypted net.Listener, config *tls.Config) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func(ln net.Listener, handler http.Handler) {
		server := &http.Server{
			Handler: handler, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
			ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		}
		group.Go(func() error {
			if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainDeadline)
			defer cancel()
			if server.Shutdown(drain) != nil {
				_ = server.Close() // what did not drain is cut
			}
			return nil
		})
	}
	if plain != nil {
		mux := http.NewServeMux()
		mux.Handle("/", s)
		mux.Handle(AdminPath, s.AdminHandler())
		start(h1.Listener{Listener: plain}, h1.AsSent(mux))
	}
	if encrypted != nil {
		start(h1.NewTLSListener(encrypted, config, readTimeout), h1.AsSent(s))
	}
	return group.Wait()
}
