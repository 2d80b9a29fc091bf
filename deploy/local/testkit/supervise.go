package testkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// These say how often a process that ends by itself is started again: after restartDelay, doubled each time up to
// maxRestartDelay, at most maxRestarts times within restartWindow.
const (
	restartDelay    = 250 * time.Millisecond
	maxRestartDelay = 4 * time.Second
	maxRestarts     = 5
	restartWindow   = time.Minute
)

// Supervise restarts processes that end by themselves or are killed, until ctx ends (it then returns nil) or one of
// them ends too often (an [ExitError]).
func (s *Stack) Supervise(ctx context.Context, log *slog.Logger) error {
	group, ctx := errgroup.WithContext(ctx)
	s.mu.Lock()
	for name := range s.specs {
		group.Go(func() error { return s.supervise(ctx, name, log) })
	}
	s.mu.Unlock()
	return group.Wait()
}

func (s *Stack) supervise(ctx context.Context, name string, log *slog.Logger) error {
	var ended []time.Time
	delay := restartDelay
	for {
		p := s.Process(name)
		select {
		case <-ctx.Done():
			return nil
		case <-p.Done():
		}
		now := time.Now()
		if len(ended) > 0 && now.Sub(ended[len(ended)-1]) > restartWindow {
			delay = restartDelay
		}
		ended = append(ended, now)
		if n := len(ended); n > maxRestarts && now.Sub(ended[n-1-maxRestarts]) < restartWindow {
			return &ExitError{Name: name, Err: fmt.Errorf("ends again and again: %w", orEnded(p.Err())), Tail: p.Tail()}
		}
		log.Warn("process ended; it is started again", "process", name, "how", orEnded(p.Err()), "delay", delay)
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		delay = min(2*delay, maxRestartDelay)
		if err := s.Restart(name); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("status 0")
	}
	return err
}
