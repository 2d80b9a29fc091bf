package config

import (
	"time"

	"redoubt/wire/kit/program"
)

// ranges checks every number of the configuration.
func (c *Config) ranges() []error {
	f, e, l, k, o := &c.Front, &c.Enclaves, &c.LifeCycle, &c.KMS, &c.Operate
	return []error{
		wait("--request-timeout", f.RequestTimeout),
		wait("--batch-timeout", f.BatchTimeout),
		wait("--header-timeout", f.HeaderTimeout),
		wait("--body-timeout", f.BodyTimeout),
		wait("--write-timeout", f.WriteTimeout),
		wait("--idle-timeout", f.IdleTimeout),
		wait("--ping-every", e.PingEvery),
		wait("--retry-max", e.RetryMax),
		wait("--refresh-every", l.RefreshEvery),
		wait("--kms-egress-idle", k.EgressIdle),
		wait("--probe-every", k.ProbeEvery),
		wait("--drain-timeout", o.DrainTimeout),
		program.Range("--ready-wait", o.ReadyWait, 0, program.MaxWait),
		program.Range("--max-connections", f.MaxConnections, 1, 1_000_000),
		program.Range("--batch-fan-out", f.BatchFanOut, 1, 1000),
		program.Range("--sessions", e.Sessions, 1, 32),
		program.Range("--max-in-flight", e.MaxInFlight, 1, 65536),
		program.Range("--enclave-count", l.Count, 0, 16),
		program.Range("--enclave-cpus", l.CPUs, 1, 1024),
		program.Range("--enclave-memory", l.MemoryMiB, 1, 1<<24),
		program.Range("--kms-egress-conns", k.EgressConns, 1, 65536),
		program.Range("--trace-ratio", c.Trace.Ratio, 0, 1),
	}
}

// wait checks a waiting time.
func wait(name string, d time.Duration) error {
	return program.Range(name, d, time.Millisecond, program.MaxWait)
}
