// Package enclaved starts the enclave: for its main, and for programs that run several tiers in one process. It is the
// one package of the tier that others may import, and they import it for development and tests alone.
//
// [Start] assembles the enclave from its parts and serves until its context ends. What changes the process as a whole
// is main's to call, before: [Harden] and [Tune].
//
// # Guarantee
//
// The parts end in this order: sessions, then the requests in flight, then keys and credentials, which are wiped, then
// the workers. So no accepted request is lost as long as the drain's limit allows.
//
// # What stays in memory
//
// TestMemoryOfTheEnclaveProcess searches the memory of an enclave process for keys, credentials and plaintexts. It
// shows:
//
//   - A private key's scalar is there twice while the key is cached (crypto/ecdh and its inner key). It is not there
//     at all after a purge, or when its time is over: package sealed wipes both copies.
//   - What derives from the scalar (AEAD keys, exporter secrets) is in locked memory while its context is cached.
//     circl, HKDF and AES leave copies on the Go heap, which end when the garbage collector gives the memory out
//     again. In a build with GOEXPERIMENT=runtimesecret the collector clears them, and none is found after a purge
//     and a collection.
//   - Plaintexts are in the buffers of the session until they are written: under load a dozen copies, however long it
//     lasts. In the engine they are wiped with the request. CEL makes strings of those that expressions touch. After
//     the session and a collection none is left, with one exception that no program can reach. If a signal (the
//     scheduler's, say) stops a thread amid a copy, the kernel saves the vector registers, at most 2 KiB, on the
//     thread's signal stack. They stay there until the thread's next signal: one such frame for each thread.
//   - A session's credentials are there twice as long as the session is open: in memory of ours, which the AWS SDK's
//     strings share (and other sessions with equal credentials), and after "AWS4" in a dead block that the SDK's
//     signing left. Only the latter may remain after the session. Without an attested enclave the credentials open
//     nothing.
package enclaved

import (
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/engine"
	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/kms"
	"redoubt/enclave/internal/mackey"
	"redoubt/enclave/internal/nsm"
	"redoubt/enclave/internal/selftest"
	"redoubt/enclave/internal/server"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
	"redoubt/wire/transport"
)

// Config is the content of the configuration file: see [Load].
type Config = config.Config

// Load reads a configuration file, and judges it.
func Load(path string) (*Config, error) { return config.Load(path) }

// Module is the security module: attestation documents, measurements and random numbers.
type Module = nsm.Module

// Environment is what the configuration file does not say. The network is the configuration's too: see transport for
// what may stand in `listen`.
type Environment struct {
	// Module is the security module, which Start does not close; nil: the one of [OpenModule].
	Module Module
	// Build names the build in the hello.
	Build string
	// Console gets the log too, beside the parents. May be nil.
	Console io.Writer
	// Features are announced to parents; 0: all of this build. Simulations roll between versions by it.
	Features wire.Features
	// NewRecipient makes the RSA key pairs to which KMS answers. Nil, as in every program that ships: new ones by
	// crypto/rsa. Simulations take them from a pool, since one takes longer than all the rest of a run.
	NewRecipient func() (*rsa.PrivateKey, error)
}

// parts are what an enclave is assembled from.
type parts struct {
	pool   *workers.Pool
	egress *server.Egress
	logs   *server.Logs
	kms    *kms.Client
	mac    *mackey.Key // nil without hmac_key
	keys   *keys.Cache
	engine *engine.Engine
	server *server.Server
	expr   *expr.Evaluator
}

// Enclave is a started enclave.
type Enclave struct {
	done chan struct{}
	err  error
}

// Wait waits until the enclave has ended. It returns nil after an orderly end.
func (e *Enclave) Wait() error {
	<-e.done
	return e.err
}

// Start makes an enclave that serves until ctx ends and then drains. It returns when parents can connect, or with the
// reason why they cannot; if ctx ends before, what it returns has ended.
func Start(ctx context.Context, cfg *Config, env Environment) (*Enclave, error) {
	if err := selftest.Run(); err != nil {
		return nil, err
	}
	// The background work of the parts outlives ctx until they are closed.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ends := []func(){cancel}
	end := func() {
		for _, f := range slices.Backward(ends) {
			f()
		}
	}
	if env.Module == nil {
		module, err := OpenModule(cfg)
		if err != nil {
			end()
			return nil, err
		}
		env.Module = module
		ends = append(ends, func() { _ = module.Close() })
	}
	p, err := assemble(base, cfg, env)
	if err != nil {
		end()
		return nil, err
	}
	ends = append(ends, p.close)
	e := &Enclave{done: make(chan struct{})}
	select { // before anybody can ask: the first requests would spend their deadlines on it
	case <-p.kms.Prepared():
	case <-ctx.Done():
		end()
		close(e.done)
		return e, nil
	}
	l, err := p.listen(cfg)
	if err != nil {
		end()
		return nil, fmt.Errorf("listen: %w", err)
	}
	go func() {
		defer close(e.done)
		defer end()
		e.err = p.serve(ctx, base, cancel, l)
	}()
	return e, nil
}

// Run starts an enclave and waits until it has ended.
func Run(ctx context.Context, cfg *Config, env Environment) error {
	e, err := Start(ctx, cfg, env)
	if err != nil {
		return err
	}
	return e.Wait()
}

// listen opens the listener for parents.
func (p *parts) listen(cfg *Config) (*transport.Listener, error) {
	return transport.Listen(cfg.Listen, transport.ListenConfig{
		AllowedCIDs: cfg.AllowedCIDs,
		AnyPort:     cfg.PeerPorts == config.PortsAny,
		OnRefused: func(r transport.Refusal) {
			if r.Unprivileged {
				p.logs.Logger().Warn("a peer was refused: its port is above 1023", "cid", r.CID, "port", r.Port)
				return
			}
			p.logs.Logger().Warn("a peer was refused", "cid", r.CID, "port", r.Port)
		},
	})
}

// serve serves until ctx ends. stop ends base, the context of what runs in the background.
func (p *parts) serve(ctx, base context.Context, stop func(), l *transport.Listener) error {
	macDone := make(chan struct{})
	go func() {
		defer close(macDone)
		if p.mac != nil {
			p.mac.Run(base)
		}
	}()
	p.logs.Logger().Info("serving", "workers", p.pool.Workers(), "locked_memory", secret.Stats().Unlocked == 0,
		"machine_code", len(sealed.MachineCode()) > 0)
	err := p.server.Serve(ctx, l)
	stop()
	<-macDone
	return err
}

// assemble makes the parts. On an error it closes those made before.
func assemble(ctx context.Context, cfg *Config, env Environment) (p *parts, err error) {
	var ca []byte
	if cfg.KMS.CAFile != "" {
		if ca, err = os.ReadFile(cfg.KMS.CAFile); err != nil {
			return nil, fmt.Errorf("kms.ca_file: %w", err)
		}
	}
	if err := fits(cfg, memoryLimit(cfg)); err != nil {
		return nil, err
	}
	p = &parts{egress: &server.Egress{}, logs: server.NewLogs(cfg.Logs.PerSecond, env.Console)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.pool = workers.New(workers.Config{
		Workers: workerCount(cfg),
		GiveWay: true,
		Target:  [...]time.Duration{cfg.Work.QueueTarget, cfg.Work.BatchQueueTarget},
		Cost:    engine.Costs(),
	})
	p.kms, err = kms.New(kms.Config{
		Keys: cfg.Keys, Endpoint: cfg.KMS.Endpoint, ExtraRootsPEM: ca, Dial: p.egress.Dial, Module: env.Module,
		DomainKeys: cfg.Domains.Keys, ClassicalDomains: cfg.KMS.ClassicalDomains,
		NewRecipient: env.NewRecipient,
	})
	if err != nil {
		return p, fmt.Errorf("kms: %w", err)
	}
	p.keys, err = keys.New(ctx, keys.Config{
		TTL: cfg.Cache.KeyTTL, MaxKeys: cfg.Cache.Keys, MaxContexts: cfg.Cache.Contexts,
		MaxWaiters:   4 * cfg.Work.Queue, // so that the engine's own bound takes effect first
		Domains:      domainConfig(cfg, p.kms, env.Module),
		MemoryBudget: memoryLimit(cfg),
		Compute:      func(task func()) { p.pool.Do(workers.Single, engine.KindParse, task) },
		Pressure: func(f keys.Pressure) {
			p.logs.Logger().Warn("a cache is nearly full", "contexts", f.Contexts, "used", f.Used, "bound", f.Bound)
		},
	}, p.kms)
	if err != nil {
		return p, fmt.Errorf("key cache: %w", err)
	}
	if p.expr, err = p.evaluator(cfg); err != nil {
		return p, fmt.Errorf("expressions: %w", err)
	}
	p.engine = engine.New(engine.Config{
		Keys: p.keys, Expressions: p.expr, Workers: p.pool, KeyARNs: cfg.Keys,
		DenyContextless: cfg.DenyContextlessKeys, DomainsOnly: cfg.Domains.Only,
		Digest: digest(cfg.Commitment(ca)),
		Attest: func(ctx context.Context, userData, nonce []byte) ([]byte, error) {
			return p.server.Document(ctx, userData, nonce)
		},
		MaxWaiting: cfg.Work.Queue, MaxWaitingBytes: int64(cfg.Work.QueueMiB) << 20,
		Panicked: func() { p.logs.Logger().Error("a panic was recovered") },
	})
	p.server = server.New(p.serverConfig(cfg, env, ca))
	return p, nil
}

// evaluator makes the evaluator, and the key of hmac_sha256 if one is configured.
func (p *parts) evaluator(cfg *Config) (*expr.Evaluator, error) {
	c := expr.Config{Limits: expr.Limits{Cache: expressionCache}}
	if w := cfg.WrappedHMACKey(); w != nil {
		p.mac = mackey.New(cfg.Cache.KeyTTL, func(ctx context.Context) (*secret.Buffer, error) {
			return p.kms.UnwrapHMACKey(ctx, cfg.HMACRegion, w)
		})
		c.MAC = p.mac
	}
	return expr.New(c)
}

// idle reports whether no request is in flight.
func (p *parts) idle() bool {
	all, _ := p.engine.InFlight()
	return all == 0
}

// serverConfig is the configuration of the server over the other parts.
func (p *parts) serverConfig(cfg *Config, env Environment, ca []byte) server.Config {
	c := server.Config{
		Engine: p.engine, Keys: p.keys, KMS: p.kms, Module: env.Module, Egress: p.egress, Logs: p.logs,
		Identity:     func() server.Identity { return p.kms.NewIdentity() },
		Session:      sessionConfig(cfg, hello(env), p.idle),
		Commitment:   cfg.Commitment(ca),
		MaxSessions:  cfg.Sessions.Max,
		DrainTimeout: cfg.DrainTimeout,
		ClockOffset:  p.kms.ClockOffset,
		Gauges: func(m *wire.Stats) {
			kmsStats(p.kms.Stats(), m)
			exprStats(p.expr.Stats(), m)
		},
		Machine: server.Machine{
			ClockSources: cfg.Machine.ClockSources, EntropySources: cfg.Machine.EntropySources,
		},
	}
	for region := range cfg.Keys {
		c.Regions = append(c.Regions, region)
	}
	if p.mac != nil {
		c.Renew, c.Forget = p.mac.Nudge, p.mac.Forget
	}
	return c
}

// hello is what the enclave announces. A measurement that the module does not return is left out.
func hello(env Environment) wire.Hello {
	h := wire.Hello{
		StartMS:  time.Now().UnixMilli(),
		Features: env.Features,
		BuildID:  []byte(env.Build[:min(len(env.Build), wire.MaxBuildID)]),
	}
	if d, err := env.Module.Describe(); err == nil {
		h.EnclaveID = []byte(d.ModuleID[:min(len(d.ModuleID), wire.MaxEnclaveID)])
	}
	for i := range 5 {
		if v, _, err := env.Module.PCR(i); err == nil {
			h.PCRs = append(h.PCRs, wire.PCR{Index: uint8(i), Value: v[:]})
		}
	}
	return h
}

// close ends the parts that were made. Keys and credentials are wiped.
func (p *parts) close() {
	if p.keys != nil {
		p.keys.Close()
	}
	if p.kms != nil {
		p.kms.Close()
	}
	p.pool.Close()
}
