package config

import (
	"slices"
	"time"
)

// These are the defaults, one by one. [Default] assembles them.
const (
	// DefaultListen is the reference's vsock port, on the CID that the hypervisor gave the enclave. (The reference is
	// the AWS sample that Redoubt succeeds.)
	DefaultListen = "vsock://any:5050"

	// DefaultParentCID is the CID that a Nitro Enclave's parent instance always has.
	DefaultParentCID = 3

	// DefaultCacheKeys, together with DefaultCacheContexts, fits into half of an enclave of 512 MiB.
	DefaultCacheKeys = 50_000

	// DefaultCacheContexts allows for two writes per cached key.
	DefaultCacheContexts = 100_000

	// DefaultKeyTTL bounds how long a key that was revoked at KMS goes on working.
	DefaultKeyTTL = 5 * time.Minute

	// DefaultQueue is some two seconds of P-384 work on one core, in requests of one field.
	DefaultQueue = 4096

	// DefaultQueueMiB has room for DefaultQueue requests of one field each, and leaves a 512 MiB enclave its caches.
	DefaultQueueMiB = 40

	// DefaultQueueTarget is a wait that is acceptable to a caller with a deadline of a second.
	DefaultQueueTarget = 250 * time.Millisecond

	// DefaultBatchQueueTarget admits a batch of 1,000 cold items of 10 fields in encoding 2 on one core, with another
	// such batch ahead of it.
	DefaultBatchQueueTarget = 10 * time.Second

	// DefaultSessions allows for four parent processes with two sessions each.
	DefaultSessions = 8

	// DefaultSessionsMiB allows for a burst of eleven of the largest messages.
	DefaultSessionsMiB = 22

	// DefaultGCPercent is Go's own default.
	DefaultGCPercent = 100

	// DefaultDrainTimeout is below the 10 s after which a service manager kills the process.
	DefaultDrainTimeout = 8 * time.Second

	// DefaultLogsPerSecond is enough to see what is wrong, and too little to fill a disk.
	DefaultLogsPerSecond = 20
)

// The values of peer_ports.
const (
	PortsPrivileged = "privileged"
	PortsAny        = "any"
)

// DefaultHeartbeat is where `nitro-cli run-enclave` waits for an enclave to have booted.
const DefaultHeartbeat = "vsock://3:9000"

// DefaultClockSources are the clock sources of Nitro instances: x86 and Graviton. DefaultEntropySources is the
// security module.
var (
	DefaultClockSources   = []string{"kvm-clock", "tsc", "arch_sys_counter"}
	DefaultEntropySources = []string{"nsm-hwrng"}
)

// These are the hard limits of the file.
const (
	// MaxFileBytes is the largest configuration file that is read.
	MaxFileBytes = 64 << 10

	// MaxRegions is the largest number of entries in keys.
	MaxRegions = 64

	// MaxDomainKeys is the largest number of entries in domains.keys.
	MaxDomainKeys = 64

	// MaxDomainRules is the largest number of entries in domains.rules.
	MaxDomainRules = 256

	// MaxKMSVaults is the largest number of entries in domains.kms_vaults.
	MaxKMSVaults = 256

	// MaxCreationsPerHour is the largest creations_per_hour of a rule.
	MaxCreationsPerHour = 1000

	// MaxCacheKeys is the largest cache.keys.
	MaxCacheKeys = 2_000_000

	// MaxCacheContexts is the largest cache.contexts.
	MaxCacheContexts = 5_000_000

	// MaxHMACKeyBytes is the largest hmac_key, decoded: KMS's own limit for a ciphertext.
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
