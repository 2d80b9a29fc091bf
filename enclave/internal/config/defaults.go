package config

import (
	"slices"
	"time"
)

// The defaults, one by one. [Default] assembles them.
const (
	// DefaultListen is the vsock port of the reference, on whatever CID the hypervisor gave us.
	DefaultListen = "vsock://any:5050"

	// DefaultParentCID is the CID that a Nitro Enclave's parent instance always has.
	DefaultParentCID = 3

	// DefaultCacheKeys fits, with DefaultCacheContexts, into an enclave of 512 MiB with half of it to spare.
	DefaultCacheKeys = 50_000

	// DefaultCacheContexts is two writes per cached key.
	DefaultCacheContexts = 100_000

	// DefaultKeyTTL bounds how long a key that was revoked at KMS goes on working.
	DefaultKeyTTL = 5 * time.Minute

	// DefaultQueue is some two seconds of P-384 work on one core, in requests of one field.
	DefaultQueue = 4096

	// DefaultQueueMiB is DefaultQueue requests of one field each, and leaves a 512 MiB enclave its caches.
	DefaultQueueMiB = 40

	// DefaultQueueTarget is a wait that a caller with a deadline of a second does not mind.
	DefaultQueueTarget = 250 * time.Millisecond

	// DefaultBatchQueueTarget admits a batch of 1,000 cold items of 10 fields in encoding 2 on one core, with as many
	// again before it.
	DefaultBatchQueueTarget = 10 * time.Second

	// DefaultSessions is four parents' processes with two sessions each.
	DefaultSessions = 8

	// DefaultSessionsMiB is a burst of eleven of the largest messages.
	DefaultSessionsMiB = 22

	// DefaultGCPercent is Go's own.
	DefaultGCPercent = 100

	// DefaultDrainTimeout is below the 10 s after which a service manager kills.
	DefaultDrainTimeout = 8 * time.Second

	// DefaultLogsPerSecond is enough to see what is wrong and too little to fill a disk.
	DefaultLogsPerSecond = 20
)

// The values of peer_ports.
const (
	PortsPrivileged = "privileged"
	PortsAny        = "any"
)

// DefaultHeartbeat is where `nitro-cli run-enclave` waits for an enclave to have booted.
const DefaultHeartbeat = "vsock://3:9000"

// DefaultClockSources are those of Nitro instances: x86 and Graviton. DefaultEntropySources is the security module.
var (
	DefaultClockSources   = []string{"kvm-clock", "tsc", "arch_sys_counter"}
	DefaultEntropySources = []string{"nsm-hwrng"}
)

// Hard limits of the file.
const (
	// MaxFileBytes is the largest configuration file read.
	MaxFileBytes = 64 << 10

	// MaxRegions is the largest number of entries in keys.
	MaxRegions = 64

	// MaxCacheKeys is the largest cache.keys.
	MaxCacheKeys = 2_000_000

	// MaxCacheContexts is the largest cache.contexts.
	MaxCacheContexts = 5_000_000

	// MaxHMACKeyBytes is the largest hmac_key, decoded: KMS's own limit of a ciphertext.
	MaxHMACKeyBytes = 6144
)

// Default returns the configuration of an empty file. It is not valid: it names no key.
func Default() *Config {
	return &Config{
		Listen:      DefaultListen,
		AllowedCIDs: []uint32{DefaultParentCID},
		PeerPorts:   PortsPrivileged,
		Cache: Cache{
			Keys:     DefaultCacheKeys,
			Contexts: DefaultCacheContexts,
			KeyTTL:   DefaultKeyTTL,
		},
		Work: Work{
			Queue:            DefaultQueue,
			QueueMiB:         DefaultQueueMiB,
			QueueTarget:      DefaultQueueTarget,
			BatchQueueTarget: DefaultBatchQueueTarget,
		},
		Sessions:     Sessions{Max: DefaultSessions, MemoryMiB: DefaultSessionsMiB},
		Memory:       Memory{GCPercent: DefaultGCPercent},
		DrainTimeout: DefaultDrainTimeout,
		Logs:         Logs{PerSecond: DefaultLogsPerSecond},
		Machine: Machine{
			ClockSources:   slices.Clone(DefaultClockSources),
			EntropySources: slices.Clone(DefaultEntropySources),
			Heartbeat:      DefaultHeartbeat,
		},
	}
}
