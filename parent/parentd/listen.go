package parentd

import (
	"context"
	"fmt"
	"math"
	"net"
	"time"

	"redoubt/parent/internal/edge"
	"redoubt/parent/internal/front"
	"redoubt/parent/internal/lifecycle"
	"redoubt/parent/internal/metrics"
	"redoubt/wire/kit/h1"
	"redoubt/wire/rawio"
)

// serve makes the front.
func (a *Parent) serve() error {
	f := &a.c.Front
	o := front.Options{
		Upstream: a.pool, Ready: a.checks, Enclaves: a.describe, Observer: a.metrics, Log: a.log,
		RequestTimeout: f.RequestTimeout, BatchTimeout: f.BatchTimeout,
		HeaderTimeout: f.HeaderTimeout, BodyTimeout: f.BodyTimeout,
		WriteTimeout: f.WriteTimeout, IdleTimeout: f.IdleTimeout,
		MaxConnections: f.MaxConnections, BatchFanOut: f.BatchFanOut, AccessLog: a.c.Operate.AccessLog,
	}
	if a.spans != nil {
		o.Spans = a.spans
	}
	certs := a.c.TLS.ClientCA != ""
	if f.APIKeysFile != "" || certs {
		o.Auth = front.NewAuth(certs)
	} else {
		o.Site = &h1.Site{Names: f.Hosts, Flag: "--served-host"}
	}
	if f.APIKeysFile != "" {
		if err := a.follow("api keys", []string{f.APIKeysFile}, loadKeys(o.Auth, f.APIKeysFile)); err != nil {
			return err
		}
		a.readers = o.Auth
	}
	if file := a.c.Operate.MetricsKeysFile; file != "" {
		a.operators = front.NewAuth(false)
		if err := a.follow("metrics keys", []string{file}, loadKeys(a.operators, file)); err != nil {
			return err
		}
		a.readers = a.operators
	}
	if a.c.TLS.Cert != "" {
		t, err := edge.NewTLS(edge.TLSFiles{Cert: a.c.TLS.Cert, Key: a.c.TLS.Key, ClientCA: a.c.TLS.ClientCA},
			a.c.TLS.ClientSAN)
		if err != nil {
			return err
		}
		if err := a.follow("certificates", t.Files(), t.Load); err != nil {
			return err
		}
		o.TLS = t.Config()
		a.metrics.Watch(metrics.CertificateLife, func() float64 { return time.Until(t.NotAfter()).Seconds() })
	}
	a.front = front.New(o)
	return nil
}

// listen binds the listeners.
func (a *Parent) listen() (err error) {
	if a.frontLn, err = bind(a.c.Front.Address()); err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	a.frontLn = rawio.Listener{Listener: a.frontLn}
	if len(a.c.TLS.ProxyFrom) > 0 {
		a.frontLn = edge.ProxyProtocol(a.frontLn, a.c.TLS.ProxyFrom, a.c.Front.HeaderTimeout)
	}
	if a.c.Operate.MetricsListen == "" {
		return nil
	}
	if a.metricsLn, err = bind(a.c.Operate.MetricsListen); err != nil {
		_ = a.frontLn.Close()
		return fmt.Errorf("cannot listen for metrics: %w", err)
	}
	return nil
}

func bind(address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}

// describe appends the array of GET /enclaves. Without nitro-cli only an enclave's address is known, and whether it
// answers.
func (a *Parent) describe(dst []byte) []byte {
	if a.manager != nil {
		return lifecycle.AppendJSON(dst, a.manager.Enclaves())
	}
	var list []lifecycle.Enclave
	for _, s := range a.pool.Enclaves() {
		e := lifecycle.Enclave{ID: s.ID, CID: edge.CID(s.URL), CPUIDs: []uint32{}, State: "RUNNING", Flags: "NONE"}
		if e.ID == "" {
			e.ID = s.URL
		}
		if s.Sessions == 0 {
			e.State = "UNREACHABLE"
		}
		list = append(list, e)
	}
	return lifecycle.AppendJSON(dst, list)
}

func (a *Parent) credentialsLife() float64 {
	if left, ok := a.creds.Life(); ok {
		return left.Seconds()
	}
	if a.creds.Valid() {
		return math.Inf(1)
	}
	return 0
}
