package tiers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/httpload"
	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
)

// StackOptions are those of StartStack.
type StackOptions struct {
	// Bin is the folder of the programs enclave (tag dev), parent, api and local, as `make build` leaves them.
	// Default: the folder of this program.
	Bin string
	// EnclaveConfig replaces members of the enclave's configuration; ParentArgs are further flags.
	EnclaveConfig map[string]any
	ParentArgs    []string
	// PinEnclave gives the last CPU to the enclave alone, until Stop: this process too stays away from it. It needs two
	// CPUs and taskset (util-linux).
	PinEnclave bool
	Log        io.Writer // of the processes; nil: none
}

// Names of the processes.
const (
	Parent  = testkit.Parent
	Enclave = testkit.Enclave
	API     = testkit.API
)

// Stack is a running local stack of bench's own: the true binaries of parent, enclave (development build), API and KMS
// stand-in as processes on loopback and a unix socket, with free ports and a state folder that is removed at the end.
//
// It isolates nothing: all processes and the load share the machine. [StackOptions.PinEnclave] gives the enclave CPUs
// of its own, as the hypervisor gives a Nitro enclave; the rest then share the others.
type Stack struct {
	*testkit.Stack
	dir   string
	unpin func() error // nil: this process is bound to no CPU
}

// ErrPin is a machine with a single CPU.
var ErrPin = errors.New("an enclave with a CPU of its own needs a machine with two")

// programs that a folder must hold.
var programs = []string{"enclave", "parent", "api", "local"}

// findBin returns the folder of the programs, or says what to do.
func findBin(bin string) (string, error) {
	if bin == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("own program: %w", err)
		}
		bin = filepath.Dir(self)
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", fmt.Errorf("a local stack needs the programs of `make build` beside bench, or in --bin: %w", err)
		}
	}
	return bin, nil
}

// StartStack starts a stack. Stop ends it.
func StartStack(ctx context.Context, o StackOptions) (_ *Stack, err error) {
	bin, err := findBin(o.Bin)
	if err != nil {
		return nil, err
	}
	b := &Stack{}
	if b.dir, err = os.MkdirTemp("", "rd"); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.release())
		}
	}()
	local := filepath.Join(bin, "local")
	if o.PinEnclave {
		if bin, err = b.pin(bin); err != nil {
			return nil, err
		}
		if b.unpin, err = keepTo(runtime.NumCPU() - 1); err != nil {
			return nil, err
		}
	}
	log := o.Log
	if log == nil {
		log = io.Discard
	}
	b.Stack, err = testkit.Start(ctx, testkit.Options{
		Bin: bin, Local: local, State: filepath.Join(b.dir, "state"), FreePorts: true, Log: log,
		EnclaveConfig: o.EnclaveConfig, ParentArgs: o.ParentArgs,
	})
	return b, err
}

// pin makes a folder of programs that bind themselves to CPUs before they start.
func (b *Stack) pin(bin string) (string, error) {
	n := runtime.NumCPU()
	if n < 2 {
		return "", ErrPin
	}
	dir := filepath.Join(b.dir, "bin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"enclave", "parent", "api"} {
		cpus := fmt.Sprintf("0-%d", n-2)
		if name == "enclave" {
			cpus = strconv.Itoa(n - 1)
		}
		script := fmt.Sprintf("#!/bin/sh\nexec taskset -c %s '%s' \"$@\"\n", cpus, filepath.Join(bin, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil { //nolint:gosec // a program
			return "", err
		}
	}
	return dir, nil
}

// Stop ends the stack and removes its folder.
func (b *Stack) Stop() error {
	b.Stack.Stop()
	return b.release()
}

func (b *Stack) release() error {
	err := os.RemoveAll(b.dir)
	if b.unpin != nil {
		err = errors.Join(err, b.unpin())
	}
	return err
}

// Corpus makes records whose keys the stack's stand-in has wrapped.
func (b *Stack) Corpus(ctx context.Context, o corpus.Options, progress func(done, of int)) (*corpus.Corpus, error) {
	var done atomic.Int64
	wrap := corpus.KMSWrap(testkit.KMSClient(b.Addresses.KMS), kms.AliasSymmetric)
	return corpus.Make(ctx, o, wrap, func(int) {
		if progress != nil {
			progress(int(done.Add(1)), o.Vaults)
		}
	})
}

// APICorpus makes records through the stack's API.
func (b *Stack) APICorpus(ctx context.Context, o corpus.Options) (*corpus.Corpus, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	return corpus.MakeAPI(ctx, o, corpus.API{URL: "http://" + b.Addresses.API, Client: client}, nil)
}

// Target is the stack's parent.
func (b *Stack) Target() (*httpload.Target, error) { return target(b.Addresses.Parent) }

// APITarget is the stack's API.
func (b *Stack) APITarget() (*httpload.Target, error) { return target(b.Addresses.API) }

func target(address string) (*httpload.Target, error) {
	e, err := httpload.NewEndpoint("http://"+address, nil)
	return &httpload.Target{Endpoint: e}, err
}

// keepTo binds this process to the first n CPUs. undo lets it run where it ran before.
func keepTo(n int) (undo func() error, err error) {
	var before, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("own CPUs: %w", err)
	}
	for cpu := range n {
		first.Set(cpu)
	}
	return func() error { return bind(&before) }, bind(&first)
}

// bind sets the CPUs of each thread. A thread that is made meanwhile has the CPUs of the thread that made it, so the
// second round finds each thread that the first has missed.
func bind(set *unix.CPUSet) error {
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("own threads: %w", err)
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				return fmt.Errorf("own threads: %w", err)
			}
			if err := unix.SchedSetaffinity(id, set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("bind to CPUs: %w", err)
			}
		}
	}
	return nil
}
