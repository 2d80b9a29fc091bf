// Package proc runs the processes of the local stack.
//
// # What it guarantees
//
// A process started here does not outlive its launcher: it gets SIGKILL when the launcher ends in whatever way, kill -9
// included (Linux, prctl(2) PR_SET_PDEATHSIG). It runs in a process group of its own, so that Ctrl-C in a terminal
// reaches the launcher alone, which then ends its processes in order. It inherits no environment but what is given.
// Its output goes, line by line and with its name before each, to the given writer; the last lines are kept.
//
// # Limits
//
// Linux. A process that leaves its group on purpose is not followed. Lines are cut at 16 KiB.
package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	maxLine  = 16 << 10
	tailSize = 20 // lines
)

// Spec says what to run.
type Spec struct {
	Name string // before each line of its output
	Path string // of the program
	Args []string
	Env  []string
	Log  io.Writer // takes whole lines, each in one Write; must be safe for concurrent use
}

// Process is a running, or ended, process. Its methods are safe for concurrent use.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	tail []string
	err  error
}

// Start starts the program.
func Start(spec Spec) (*Process, error) {
	p := &Process{spec: spec, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run starts the process and waits for it on one thread. To the kernel the "parent" of PR_SET_PDEATHSIG is the
// thread: if it ended, the process would be killed.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	read, write, err := os.Pipe()
	if err != nil {
		started <- err
		return
	}
	p.cmd = exec.Command(p.spec.Path, p.spec.Args...) //nolint:noctx // it ends by Stop
	p.cmd.Env = p.spec.Env
	if p.cmd.Env == nil {
		p.cmd.Env = []string{}
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = p.cmd.Start()
	_ = write.Close()
	started <- err
	if err != nil {
		_ = read.Close()
		return
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		p.copyLines(read)
	}()
	err = p.cmd.Wait()
	_ = p.signalGroup(syscall.SIGKILL) // a process that is left of the group holds the pipe
	<-copied
	_ = read.Close()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.done)
}

func (p *Process) copyLines(r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		for rest := more; rest; {
			if _, rest, err = lines.ReadLine(); err != nil {
				return
			}
		}
		p.mu.Lock()
		p.tail = append(p.tail, string(line))
		if len(p.tail) > tailSize {
			p.tail = slices.Delete(p.tail, 0, len(p.tail)-tailSize)
		}
		p.mu.Unlock()
		if p.spec.Log != nil {
			_, _ = fmt.Fprintf(p.spec.Log, "%-8s| %s\n", p.spec.Name, line)
		}
	}
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Name returns the name it was started under.
func (p *Process) Name() string { return p.spec.Name }

// Done is closed when the process has ended and its output is read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended: nil for status 0. Call it after Done.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Tail returns the last lines of output.
func (p *Process) Tail() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tail)
}

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

func (p *Process) signalGroup(sig syscall.Signal) error { return syscall.Kill(-p.PID(), sig) }

// Kill ends the whole group at once (kill -9) and waits for it.
func (p *Process) Kill() {
	select {
	case <-p.done: // the id may by now belong to another process
		return
	default:
	}
	_ = p.signalGroup(syscall.SIGKILL)
	<-p.done
}

// ErrKilled is returned by Stop if the process did not end by itself in time.
var ErrKilled = errors.New("did not end in time and was killed")

// Stop asks the process to end (SIGTERM), waits for as long as grace, then kills it. It returns how it ended.
func (p *Process) Stop(grace time.Duration) error {
	select {
	case <-p.done:
		return p.Err()
	default:
	}
	_ = p.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.Err()
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s: %w", p.spec.Name, ErrKilled)
	}
}
