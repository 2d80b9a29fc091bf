package measure

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ChildVariable is the environment variable that makes this program a child; its value is the role.
const ChildVariable = "REDOUBT_BENCH_CHILD"

// Usage is what a process has used since it began.
type Usage struct {
	CPU     time.Duration `json:"cpu"`     // user and system
	Mallocs uint64        `json:"mallocs"` // heap objects
}

// Sub is what was used between before and u.
func (u Usage) Sub(before Usage) Usage { return Usage{u.CPU - before.CPU, u.Mallocs - before.Mallocs} }

// OwnUsage is this process's usage.
func OwnUsage() (Usage, error) {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return Usage{}, fmt.Errorf("getrusage: %w", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{CPU: time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), Mallocs: m.Mallocs}, nil
}

// Child is the other side of a measurement, in a process of its own: this very program, started again. It gets its
// task as one JSON value on its standard input, and answers each later line with its [Usage]. It ends when its
// standard input ends, and so with its parent, however that ends.
type Child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	ask  *json.Encoder
	once sync.Once
	err  error
}

// StartChild starts a child in a role, gives it config, and returns when it has answered, into answer.
func StartChild(ctx context.Context, role string, config, answer any) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("own program: %w", err)
	}
	c := &Child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), ChildVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	c.out, c.ask = json.NewDecoder(bufio.NewReader(out)), json.NewEncoder(c.in)
	if err := c.exchange(config, answer); err != nil {
		return nil, errors.Join(fmt.Errorf("child %s: %w", role, err), c.Close())
	}
	return c, nil
}

func (c *Child) exchange(question, answer any) error {
	if err := c.ask.Encode(question); err != nil {
		return err
	}
	return c.out.Decode(answer)
}

// Usage asks the child what it has used.
func (c *Child) Usage() (Usage, error) {
	var u Usage
	err := c.exchange("usage", &u)
	return u, err
}

// Close ends the child and waits for it. Later calls give the same result.
func (c *Child) Close() error {
	c.once.Do(func() {
		c.err = errors.Join(c.in.Close(), c.cmd.Wait())
	})
	return c.err
}

// ServeChild is a child's main: it reads its configuration, starts, answers what start returned, and then answers each
// line with its usage until standard input ends.
func ServeChild[C, A any](in io.Reader, out io.Writer, start func(C) (A, error)) error {
	dec, enc := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	var config C
	if err := dec.Decode(&config); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	answer, err := start(config)
	if err != nil {
		return err
	}
	if err := enc.Encode(answer); err != nil {
		return err
	}
	for {
		var question string
		if err := dec.Decode(&question); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		u, err := OwnUsage()
		if err != nil {
			return err
		}
		if err := enc.Encode(u); err != nil {
			return err
		}
	}
}
