package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// CLI is the part of nitro-cli that the manager uses.
type CLI interface {
	Describe(ctx context.Context) ([]Enclave, error)
	Run(ctx context.Context, s RunSpec) error
	// Terminate ends the enclave with the given id.
	Terminate(ctx context.Context, id string) error
}

// RunSpec says what to start.
type RunSpec struct {
	Image, Name     string
	CPUs, MemoryMiB int
}

// These are the names of nitro-cli's commands, for errors and metrics.
const (
	cmdDescribe  = "describe-enclaves"
	cmdRun       = "run-enclave"
	cmdTerminate = "terminate-enclave"
)

// These bound one run of nitro-cli. Starting an enclave copies its image into memory, which can take a minute.
const (
	describeTimeout = 15 * time.Second
	runTimeout      = 3 * time.Minute
	killDelay       = 2 * time.Second
	maxOutput       = 1 << 20
)

// These are errors of nitro-cli. Its own output is not repeated, since it names files and addresses of the host.
var (
	ErrExec   = errors.New("nitro-cli cannot be run")
	ErrFailed = errors.New("nitro-cli failed")
	ErrOutput = errors.New("nitro-cli answered something else than was expected")
)

// NitroCLI runs the program at Path.
type NitroCLI struct {
	Path string
}

// Describe implements CLI.
func (n NitroCLI) Describe(ctx context.Context) ([]Enclave, error) {
	out, err := n.run(ctx, describeTimeout, cmdDescribe)
	if err != nil {
		return nil, err
	}
	var list []Enclave
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, ErrOutput
	}
	return list, nil
}

// Run implements CLI.
func (n NitroCLI) Run(ctx context.Context, s RunSpec) error {
	_, err := n.run(ctx, runTimeout, cmdRun,
		"--eif-path", s.Image, "--enclave-name", s.Name,
		"--cpu-count", strconv.Itoa(s.CPUs), "--memory", strconv.Itoa(s.MemoryMiB))
	return err
}

// Terminate implements CLI.
func (n NitroCLI) Terminate(ctx context.Context, id string) error {
	_, err := n.run(ctx, describeTimeout, cmdTerminate, "--enclave-id", id)
	return err
}

func (n NitroCLI) run(ctx context.Context, timeout time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.Path, args...) // no shell
	// Of our environment it gets only what a program needs to run.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	cmd.WaitDelay = killDelay
	var out limited
	cmd.Stdout = &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &exit):
		return nil, ErrFailed
	case err != nil:
		return nil, ErrExec
	case out.over:
		return nil, ErrOutput
	}
	return out.buf.Bytes(), nil
}

// limited keeps the first maxOutput bytes written to it. It does not embed the buffer, whose ReadFrom would bypass
// the limit.
type limited struct {
	buf  bytes.Buffer
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.buf.Len(); len(p) > room {
		l.over = true
		l.buf.Write(p[:room])
		return len(p), nil
	}
	return l.buf.Write(p)
}
