package config

import (
	"slices"
	"strings"
	"time"
)

// Path is where a production enclave finds its configuration: in the ramdisk after the one that holds the code.
const Path = "/etc/redoubt/enclave.yaml"

// Config is the whole file. Every key is optional except keys.
type Config struct {
	// Listen is the URL on which sessions of parents are accepted. Default [DefaultListen].
	// vsock://any:PORT in production; unix:///path only makes sense in a local stack.
	Listen string `yaml:"listen"`

	// AllowedCIDs lists the vsock context ids that may connect, 1 to 16 of them; every other peer is closed without a
	// byte. The default is the parent instance of a Nitro Enclave. It has no meaning on a unix socket.
	AllowedCIDs []uint32 `yaml:"allowed_cids"`

	// PeerPorts says from which vsock ports a parent may connect: privileged (up to 1023, which only a process with
	// CAP_NET_BIND_SERVICE binds) or any. Default [PortsPrivileged]. DANGEROUS: with any, every process of the parent
	// instance can be the parent. It has no meaning on a unix socket.
	PeerPorts string `yaml:"peer_ports"`

	// Keys maps an AWS region to the ARN of the one KMS key that may be used there: a key ARN, never an alias, and
	// of that region. A request for a region that is not here is answered key_denied. At least one; at most
	// [MaxRegions].
	Keys map[string]string `yaml:"keys"`

	// KMS says how Amazon's service is reached. Without it: the region's own endpoint, Amazon's trust roots.
	KMS KMS `yaml:"kms"`

	// Domains says which domains may be opened: groups of vaults whose keys the enclave makes. Without it: none.
	Domains Domains `yaml:"domains"`

	// DenyContextlessKeys refuses (key_denied) wrapped keys without the encryption context {"vault_id": ...}, as the
	// reference made them. Set it once no such record remains: without the context KMS does not bind a wrapped key to
	// its vault.
	DenyContextlessKeys bool `yaml:"deny_contextless_keys"`

	// HMACKey is the key of the expression function hmac_sha256: 32 bytes, given as base64 (standard, padded) of a KMS
	// ciphertext of at most [MaxHMACKeyBytes] bytes, made under the key of HMACRegion with the encryption context
	// {"purpose": "redoubt-hmac"}. Without it the function is an error.
	HMACKey string `yaml:"hmac_key"`

	// HMACRegion is the region whose key wrapped HMACKey. It may be left out if there is only one in keys.
	HMACRegion string `yaml:"hmac_region"`

	// Cache bounds what is kept of opened keys.
	Cache Cache `yaml:"cache"`

	// Work bounds the requests inside.
	Work Work `yaml:"work"`

	// Sessions bounds the parents' connections.
	Sessions Sessions `yaml:"sessions"`

	// Memory sets the process's own limits.
	Memory Memory `yaml:"memory"`

	// DrainTimeout is how long requests in flight may take to end after SIGTERM. Default [DefaultDrainTimeout];
	// between 100ms and 5m.
	DrainTimeout time.Duration `yaml:"drain_timeout"`

	// Logs bounds what is sent to the parents.
	Logs Logs `yaml:"logs"`

	// Machine says what the machine must offer for the enclave to call itself healthy.
	Machine Machine `yaml:"machine"`

	// Dev holds the keys of a dev build; it has none in production.
	Dev `yaml:",inline"`
}

// KMS says how KMS is reached: always by an egress stream through the parent, TLS ending here.
type KMS struct {
	// Endpoint replaces https://kms.REGION.amazonaws.com for every region: an https URL with a host, a port if it is
	// not 443, and no path. It is for VPC endpoints and the local stack. DANGEROUS: anybody who holds this endpoint and
	// a certificate for it sees attestation documents, and can answer with keys of their choice.
	Endpoint string `yaml:"endpoint"`

	// CAFile is a PEM file of certificates trusted for KMS beside Amazon's roots, by its absolute path. DANGEROUS
	// for the same reason; it is for the local stack.
	CAFile string `yaml:"ca_file"`

	// ClassicalDomains lets domains' keys travel over TLS without a post-quantum key exchange. Without it they need TLS
	// 1.3 with X25519MLKEM768. It is for a partition whose KMS does not offer that. DANGEROUS: whoever records the
	// traffic can open it with a quantum computer later, and with it every vault of the domain.
	ClassicalDomains bool `yaml:"classical_domains"`
}

// Domains says which domains may be opened, and under which KMS keys.
type Domains struct {
	// Keys are the ARNs of further KMS keys, of any region, that may have wrapped a domain's secret, at most
	// [MaxDomainKeys]. Those of keys always may. The policy of each MUST deny Encrypt, ReEncrypt, GenerateDataKey,
	// GenerateDataKeyPair and CreateGrant to everybody: who may do one of them can make a domain whose secret he knows.
	Keys []string `yaml:"keys"`

	// Rules say what holds for which domain ids; the first that matches counts. A domain that none matches is
	// key_denied. At most [MaxDomainRules].
	Rules []DomainRule `yaml:"rules"`

	// KMSVaults say in which domains vaults with a key of KMS's may be resealed. Without an entry for the ARN of a
	// vault's key it stays where it is. At most [MaxKMSVaults].
	KMSVaults []KMSVaults `yaml:"kms_vaults"`

	// Only refuses (key_denied) every vault that is not in a domain, also for resealing. Set it once no vault with a key
	// of KMS's is left; then a parent or store cannot pass a record off as one.
	Only bool `yaml:"only"`
}

// KMSVaults say where the vaults whose keys a KMS key wrapped may go.
type KMSVaults struct {
	// Key is the ARN of the KMS key, one of those of keys.
	Key string `yaml:"key"`

	// IDs is the id of a domain, or the beginning of ids followed by an asterisk. An asterisk alone matches all.
	IDs string `yaml:"ids"`
}

// DomainRule is what holds for the domains whose id matches.
type DomainRule struct {
	// IDs is a domain's id, or the beginning of ids followed by an asterisk. An asterisk alone matches all.
	IDs string `yaml:"ids"`

	// LowestGeneration is the lowest generation that may be used; below it records are only resealed. 1 to 65535;
	// default 1.
	LowestGeneration int `yaml:"lowest_generation"`

	// VaultsPerSecond bounds how many vaults of a domain this enclave opens in a second, of all generations together.
	// 0: no bound. At most a million.
	VaultsPerSecond int `yaml:"vaults_per_second"`

	// VaultsPerHour bounds the same in an hour, of which at most a minute's worth at once. 0: no bound. At most a billion.
	VaultsPerHour int `yaml:"vaults_per_hour"`

	// CreationsPerHour bounds how many generations of domains this enclave makes in an hour under this rule, wraps that
	// are added to domains included. As many may come at once. 0: none is made. At most 1000.
	CreationsPerHour int `yaml:"creations_per_hour"`

	// Suites are the names of the suites that new keys may have: those of vaults and of requests of new domains, and
	// those of vaults that are minted or resealed. What has another suite goes on opening. Without it: every suite.
	Suites []string `yaml:"suites"`
}

// Matches reports whether the rule is one for the domain's id.
func (r *DomainRule) Matches(id string) bool { return matches(r.IDs, id) }

func matches(pattern, id string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(id, prefix)
	}
	return pattern == id
}

// Moves reports whether a vault whose key the KMS key wrapped may be resealed into the domain.
func (d *Domains) Moves(arn, id string) bool {
	return slices.ContainsFunc(d.KMSVaults, func(v KMSVaults) bool { return v.Key == arn && matches(v.IDs, id) })
}

// Rule returns the rule for a domain, or nil.
func (d *Domains) Rule(id string) *DomainRule {
	for i := range d.Rules {
		if d.Rules[i].Matches(id) {
			return &d.Rules[i]
		}
	}
	return nil
}

// Cache bounds what is kept of opened keys. A full cache of both kinds must fit into memory.limit_mib; see package keys
// for what an entry takes.
type Cache struct {
	// Keys is how many private keys are kept. Default [DefaultCacheKeys]; 1 to [MaxCacheKeys].
	Keys int `yaml:"keys"`

	// Contexts is how many derived HPKE contexts are kept. Default [DefaultCacheContexts]; 1 to [MaxCacheContexts].
	Contexts int `yaml:"contexts"`

	// KeyTTL is how long a key may be used after the KMS Decrypt that gave it; a key revoked at KMS works on for so
	// long, unless purged. Default [DefaultKeyTTL]; between 1s and 24h.
	KeyTTL time.Duration `yaml:"key_ttl"`
}

// Work bounds the requests inside.
type Work struct {
	// Workers is the number of goroutines that do public-key work, 0 to 256. 0: one per CPU.
	Workers int `yaml:"workers"`

	// Queue is how many requests may wait for a key or a worker; more are answered overloaded at once.
	// Default [DefaultQueue]; 1 to 65536.
	Queue int `yaml:"queue"`

	// QueueMiB bounds the memory of those requests, in MiB. Default [DefaultQueueMiB]; 4 to 4096.
	QueueMiB int `yaml:"queue_mib"`

	// QueueTarget is the longest expected wait for a worker with which a single request is still accepted.
	// Default [DefaultQueueTarget]; between 1ms and 1m.
	QueueTarget time.Duration `yaml:"queue_target"`

	// BatchQueueTarget is the same for an item of a batch. Default [DefaultBatchQueueTarget]; between 1ms and 5m.
	BatchQueueTarget time.Duration `yaml:"batch_queue_target"`
}

// Sessions bounds the parents' connections.
type Sessions struct {
	// Max is how many sessions may be open at once; one more is closed at once. Default [DefaultSessions]; 1 to 1024.
	Max int `yaml:"max"`

	// MemoryMiB bounds the messages half received and the answers not yet written of all sessions together, in MiB. A
	// request or an answer without room is answered overloaded. Default [DefaultSessionsMiB]; 4 to 4096.
	MemoryMiB int `yaml:"memory_mib"`
}

// Memory sets the process's own limits.
type Memory struct {
	// LimitMiB is the soft limit of the Go runtime's memory (GOMEMLIMIT), in MiB; 0 to 1048576. 0: three quarters of the
	// machine's memory.
	LimitMiB int `yaml:"limit_mib"`

	// GCPercent is the garbage collector's target (GOGC), in percent of the live heap. Default [DefaultGCPercent]; 10 to
	// 1000.
	GCPercent int `yaml:"gc_percent"`

	// AllowUnlocked lets secrets lie in memory that could not be locked, with one warning. Without it the enclave
	// refuses to hold them. An enclave has no swap, and its first process may lock any amount. So this is only for
	// development machines with a low RLIMIT_MEMLOCK.
	AllowUnlocked bool `yaml:"allow_unlocked"`
}

// Machine says what the machine must offer. What is missing shows in the health that the parents see.
type Machine struct {
	// ClockSources are the kernel's clock sources that are trusted. Default [DefaultClockSources]; an empty list
	// trusts any.
	ClockSources []string `yaml:"clock_sources"`

	// EntropySources are the kernel's hardware random number generators that are trusted. Default
	// [DefaultEntropySources]; an empty list trusts any, or none.
	EntropySources []string `yaml:"entropy_sources"`

	// Heartbeat is the vsock URL to which the enclave reports, by one byte and its echo, that it has booted, if it is the
	// machine's first process. Default [DefaultHeartbeat]. nitro-cli waits there. Empty: none.
	Heartbeat string `yaml:"heartbeat"`
}

// Logs bounds what is sent to the parents. Entries are static texts and numbers.
type Logs struct {
	// PerSecond is the sustained rate, in entries per second. Default [DefaultLogsPerSecond]; 1 to 1000.
	PerSecond int `yaml:"per_second"`
}
