package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"redoubt/deploy/local/internal/proc"
)

// launch starts a program of the folder Bin under a name. env comes in addition to what every process inherits.
func (s *Stack) launch(name, program string, args []string, env ...string) error {
	spec := proc.Spec{
		Name: name, Path: filepath.Join(s.opts.Bin, program), Args: args, Log: s.opts.Log, Env: append(environment(), env...),
	}
	if name == KMS && s.opts.Local != "" {
		spec.Path = s.opts.Local
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return context.Canceled
	}
	p, err := proc.Start(spec)
	if err != nil {
		return err
	}
	s.specs[name], s.running[name] = spec, p
	return nil
}

// environment is what the processes inherit. It has no AWS_* variables, which would change what an SDK does.
func environment() []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GORACE", "GODEBUG", "GOCOVERDIR", "GOTRACEBACK"} {
		if value, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// until polls check until it returns nil. It fails if the process ends first, or after readyTimeout.
func (s *Stack) until(ctx context.Context, name string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	p := s.Process(name)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return &ExitError{Name: name, Err: p.Err(), Tail: p.Tail()}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return &ExitError{Name: name, Err: fmt.Errorf("not ready within %v: %w", readyTimeout, err), Tail: p.Tail()}
		case <-tick.C:
		}
	}
}

// ExitError says which process failed and how, with its last lines.
type ExitError struct {
	Name string
	Err  error
	Tail []string
}

// Error names the process and shows its last lines.
func (e *ExitError) Error() string {
	text := e.Name + ": "
	if e.Err == nil {
		text += "ended"
	} else {
		text += e.Err.Error()
	}
	if len(e.Tail) > 0 {
		text += "; its last lines:\n  " + strings.Join(e.Tail, "\n  ")
	}
	return text
}

// Unwrap gives how the process ended.
func (e *ExitError) Unwrap() error { return e.Err }
