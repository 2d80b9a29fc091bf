package mux

import (
	"sync/atomic"
	"time"
)

// This file is the watchdog, a goroutine that holds no lock and reads atomic fields only.

// watch ends the connection when a stream's write makes no progress, or its handler says so.
func (c *Conn) watch() error {
	t := time.NewTicker(c.cfg.Tick)
	defer t.Stop()
	for {
		select {
		case <-c.ended:
			return nil
		case now := <-t.C:
			for _, s := range *c.streams.Load() {
				if Stuck(&s.since, now, c.cfg.WriteTimeout) {
					return ErrWriteTimeout
				}
				if err := s.h.Check(now); err != nil {
					return err
				}
			}
			if c.cfg.Check == nil {
				continue
			}
			if err := c.cfg.Check(now); err != nil {
				return err
			}
		}
	}
}

// epoch is what Ticks counts from.
var epoch = time.Now()

// Ticks is a time in nanoseconds of the monotonic clock, of which steps of the wall clock change nothing; never 0.
func Ticks(t time.Time) int64 { return int64(t.Sub(epoch)) | 1 }

// Stuck reports whether what began at since, in ticks, is still under way (0: it is not) and over its limit.
func Stuck(since *atomic.Int64, now time.Time, limit time.Duration) bool {
	s := since.Load()
	return s != 0 && Ticks(now)-s > int64(limit)
}
