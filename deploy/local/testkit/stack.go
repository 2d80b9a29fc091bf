// Package testkit runs the tiers for the local stack, bench, tests and simulations, on loopback and unix sockets, and
// makes sealed records to ask them for.
//
// [Start] runs the local stack: the KMS stand-in, an enclave of the development build, an API server with the embedded
// store, and a parent, each a process of its own. [InProcess] runs any set of the same in this process, by the packages
// that start them (enclaved, parentd, apid); it exists under the build tag dev alone, as the enclave's software NSM
// does.
//
// # What it guarantees
//
// Start returns when the whole stack serves, or with the reason why it does not and the last lines of the process that
// failed; then nothing is left running. No process outlives the stack or its launcher (see package proc). Two stacks
// never share a state folder: it is locked. Secrets of the state folder have mode 0600, and are development's only.
//
// # Limits
//
// Linux. The enclave is an ordinary process, or a part of one: this isolates nothing.
package testkit

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"redoubt/deploy/local/internal/proc"
	"redoubt/wire/kit/test/proctest"
)

// Names of the processes.
const (
	KMS     = "kms"
	Enclave = "enclave"
	API     = "api"
	Parent  = "parent"
)

// Deadlines of the life cycle.
const (
	readyTimeout = 30 * time.Second
	pollEvery    = 20 * time.Millisecond
	// stopTimeout is for all processes together: a stack is gone within 10 s.
	stopTimeout = 8 * time.Second
)

// Addresses are the host:port of each listener.
type Addresses struct {
	API, APIMetrics, Parent, ParentMetrics, KMS, KMSTLS string
}

// Options say how a stack is started. Bin and State are required.
type Options struct {
	Bin       string // folder with the programs enclave (tag dev), parent and api
	Local     string // this module's program local, whose kms command is the stand-in; default: in Bin
	State     string // folder of keys and configuration
	Addresses Addresses
	FreePorts bool      // choose Addresses
	Log       io.Writer // takes the processes' output by lines; must be safe for concurrent use
	// RequirePCRs, when set, are the measurements that the key policy requires, in place of the enclave's own: index
	// to hex.
	RequirePCRs map[int]string
	// EnclaveConfig adds to, or replaces, members of the enclave's configuration.
	EnclaveConfig map[string]any
	// ProbeEvery is how often the parent has the enclave open a probe key; 0: there is no such key.
	ProbeEvery time.Duration
	// Domain is the id of a domain that the stack's new vaults are under; empty: KMS makes their keys.
	Domain string
	// ParentArgs and APIArgs are further flags of the parent and of `api serve`.
	ParentArgs, APIArgs []string
}

// Stack is a running stack. Its methods are safe for concurrent use.
type Stack struct {
	Addresses Addresses
	KeyARN    string

	opts  Options
	state *state

	mu       sync.Mutex
	specs    map[string]proc.Spec
	running  map[string]*proc.Process
	stopping bool
}

// Start brings the stack up in the order of its dependencies and returns when all of it serves.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	st, err := openState(opts.State)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		opts: opts, state: st, Addresses: opts.Addresses,
		specs: make(map[string]proc.Spec), running: make(map[string]*proc.Process),
	}
	if err := s.start(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if s.opts.FreePorts {
		p, err := proctest.FreePorts(ctx, 6)
		if err != nil {
			return err
		}
		s.Addresses = Addresses{p[0], p[1], p[2], p[3], p[4], p[5]}
	}
	if err := s.state.ensureNSMRoot(); err != nil {
		return err
	}
	if err := s.state.writeCredentials(); err != nil {
		return err
	}
	if err := s.startKMS(ctx); err != nil {
		return err
	}
	hmacKey, err := s.state.ensureHMACKey(ctx, KMSClient(s.Addresses.KMS))
	if err != nil {
		return err
	}
	err = s.state.writeEnclaveConfig(s.KeyARN, s.Addresses.KMSTLS, hmacKey, s.domainsConfig())
	if err != nil {
		return err
	}
	if err := s.startEnclave(ctx); err != nil {
		return err
	}
	if err := s.startAPI(ctx); err != nil {
		return err
	}
	// The parent comes last, so that its /ready says that the whole stack serves.
	if err := s.startParent(ctx); err != nil {
		return err
	}
	if err := s.until(ctx, API, s.APIReady); err != nil {
		return err
	}
	return s.ensureDomain(ctx)
}

// PCRs returns the measurements that the enclave's software NSM claims: index to hex.
func (s *Stack) PCRs() map[int]string { return maps.Clone(s.state.pcrs) }

// Process returns the process that runs, or last ran, under a name; nil when there was none.
func (s *Stack) Process(name string) *proc.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[name]
}

// LastLines shows the last lines of each process's output, for a failure that none of them reported.
func (s *Stack) LastLines() string {
	var text strings.Builder
	for _, name := range []string{KMS, Enclave, API, Parent} {
		if p := s.Process(name); p != nil {
			text.WriteString("\n" + name + "'s last lines:\n  " + strings.Join(p.Tail(), "\n  "))
		}
	}
	return text.String()
}

// Restart starts a process that has ended once more, with the same arguments. It does not wait until the process
// serves.
func (s *Stack) Restart(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return context.Canceled
	}
	spec, ok := s.specs[name]
	if !ok {
		return errors.New("no process is named " + name)
	}
	p, err := proc.Start(spec)
	if err == nil {
		s.running[name] = p
	}
	return err
}

// Stop ends all processes within 10 s, dependent ones first, and unlocks the state folder.
func (s *Stack) Stop() {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	s.mu.Unlock()
	deadline := time.Now().Add(stopTimeout)
	for _, name := range []string{API, Parent, Enclave, KMS} {
		if p := s.Process(name); p != nil {
			// The process's own last lines show how it ends.
			_ = p.Stop(max(time.Until(deadline), 100*time.Millisecond))
		}
	}
	s.state.close()
}
