//go:build dev

package testkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"redoubt/api/apid"
	"redoubt/enclave/enclaved"
	"redoubt/parent/parentd"
	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// Tiers are a set of tiers, and the stand-in, that run in this process. Those that were not requested are nil. If the
// others need one of them, the caller starts it at the same address, or names it by further flags.
type Tiers struct {
	Addresses Addresses
	KeyARN    string // of the stand-in's key for vaults
	Enclave   *enclaved.Enclave
	Parent    *parentd.Parent
	API       *apid.API

	opts  Options
	log   *slog.Logger
	state *state
	ends  []func() error // of what runs, in the order of starting
}

// InProcess starts tiers (of KMS, Enclave, Parent and API) in this process, in the order of their dependencies, and
// returns when each serves. Of opts it takes State, Addresses, FreePorts, Log, EnclaveConfig, ParentArgs and APIArgs.
//
// An API changes this process's environment: its credentials for AWS come from there. Nothing is hardened, and no limit
// of the process is set as the programs set it.
func InProcess(ctx context.Context, opts Options, tiers ...string) (_ *Tiers, err error) {
	st, err := openState(opts.State)
	if err != nil {
		return nil, err
	}
	t := &Tiers{Addresses: opts.Addresses, opts: opts, log: slog.New(slog.DiscardHandler), state: st}
	if opts.Log != nil {
		t.log = program.NewLogger(opts.Log, slog.LevelInfo)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Stop())
		}
	}()
	if opts.FreePorts {
		p, err := proctest.FreePorts(ctx, 6)
		if err != nil {
			return nil, err
		}
		t.Addresses = Addresses{p[0], p[1], p[2], p[3], p[4], p[5]}
	}
	if err := errors.Join(st.ensureNSMRoot(), st.writeCredentials()); err != nil {
		return nil, err
	}
	for _, one := range []struct {
		name  string
		start func(context.Context) error
	}{{KMS, t.startKMS}, {Enclave, t.startEnclave}, {Parent, t.startParent}, {API, t.startAPI}} {
		if slices.Contains(tiers, one.name) {
			if err := one.start(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", one.name, err)
			}
		}
	}
	return t, nil
}

// Stop ends what runs, in the reverse order of starting, and unlocks the state folder.
func (t *Tiers) Stop() (err error) {
	for _, end := range slices.Backward(t.ends) {
		err = errors.Join(err, end())
	}
	t.ends = nil
	t.state.close()
	return err
}

// outlive makes the context of what is about to start, since ctx bounds the starting alone.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(ctx))
}

// began notes how to end what was started, unless it was not.
func (t *Tiers) began(err error, cancel func(), wait func() error) error {
	if err != nil {
		cancel()
		return err
	}
	t.ends = append(t.ends, func() error {
		cancel()
		return wait()
	})
	return nil
}

func (t *Tiers) startKMS(ctx context.Context) error {
	file, err := os.ReadFile(t.state.path(nsmRootFile))
	if err != nil {
		return err
	}
	root, err := attest.ParseRoot(file)
	if err != nil {
		return err
	}
	allowed := map[int][]string{}
	for i, v := range t.state.pcrs {
		allowed[i] = []string{v}
	}
	policy, err := kms.PolicyForPCRs(allowed)
	if err != nil {
		return err
	}
	server, err := kms.New(kms.Config{
		StateDir: t.state.dir, Log: t.log, Policy: policy, AttestationRoots: []attest.Root{root},
	})
	if err != nil {
		return err
	}
	key, err := server.Store().Find(kms.AliasSymmetric)
	if err != nil {
		return err
	}
	t.KeyARN = key.ARN()
	ca, err := kms.OpenCA(t.state.dir, time.Now())
	if err != nil {
		return err
	}
	config, err := ca.ServerConfig(time.Now())
	if err != nil {
		return err
	}
	plain, err := kms.Listen(ctx, t.Addresses.KMS)
	if err != nil {
		return err
	}
	encrypted, err := kms.Listen(ctx, t.Addresses.KMSTLS)
	if err != nil {
		return errors.Join(err, plain.Close())
	}
	done := make(chan error, 1)
	run, cancel := outlive(ctx)
	go func() { done <- server.Serve(run, plain, encrypted, config) }()
	return t.began(nil, cancel, func() error { return <-done })
}

func (t *Tiers) startEnclave(ctx context.Context) error {
	hmacKey, err := t.state.ensureHMACKey(ctx, KMSClient(t.Addresses.KMS))
	if err != nil {
		return err
	}
	if err := t.state.writeEnclaveConfig(t.KeyARN, t.Addresses.KMSTLS, hmacKey, t.opts.EnclaveConfig); err != nil {
		return err
	}
	cfg, err := enclaved.Load(t.state.path(enclaveFile))
	if err != nil {
		return err
	}
	run, cancel := outlive(ctx)
	t.Enclave, err = enclaved.Start(run, cfg, enclaved.Environment{Build: "testkit", Console: t.opts.Log})
	return t.began(err, cancel, t.Enclave.Wait)
}

func (t *Tiers) startParent(ctx context.Context) error {
	c, err := parentd.Parse(append(t.state.parentArgs(&t.Addresses), t.opts.ParentArgs...), "testkit", os.Stderr)
	if err != nil {
		return err
	}
	run, cancel := outlive(ctx)
	t.Parent, err = parentd.Start(run, c, parentd.Environment{Version: "testkit", Log: t.log})
	return t.began(err, cancel, t.Parent.Wait)
}

func (t *Tiers) startAPI(ctx context.Context) error {
	for _, v := range apiCredentials {
		if err := os.Setenv(v[0], v[1]); err != nil {
			return err
		}
	}
	c, err := apid.Parse(append(t.state.apiArgs(&t.Addresses, t.KeyARN), t.opts.APIArgs...), "testkit")
	if err != nil {
		return err
	}
	run, cancel := outlive(ctx)
	t.API, err = apid.Start(run, c, apid.Environment{Version: "testkit", Log: t.log})
	return t.began(err, cancel, t.API.Wait)
}
