package keys

import (
	"errors"
	"time"
)

// Defaults of [Config].
const (
	DefaultTTL           = 5 * time.Minute
	DefaultMaxKeys       = 20_000
	DefaultMaxContexts   = 100_000
	DefaultMaxUnwraps    = 64
	DefaultMaxPending    = 1_024
	DefaultMaxWaiters    = 16_384
	DefaultUnwrapTimeout = 10 * time.Second
)

// These are the costs of one cached item, in bytes of resident memory, with the collector's headroom at GOGC=100.
// They are upper bounds, which TestMemoryPerKeyAndContext measures.
const (
	KeyCost     = 2_200
	ContextCost = 400
	FieldCost   = 330
	CipherCost  = 1_080
)

// MaxCiphers bounds the fields for which AES-GCM is kept set up: those that are read all the time. Any other field has
// it set up for each read. They take their memory from that of the fields' keys, which are so many fewer.
const MaxCiphers = 4_096

// ciphers and fields share what [Config.MaxFields] bounds.
func (c *Config) ciphers() int { return max(1, min(MaxCiphers, c.MaxFields/24)) }

func (c *Config) fields() int {
	return max(1, c.MaxFields-(c.ciphers()*CipherCost+FieldCost-1)/FieldCost)
}

// These say how long a failure of each kind is remembered against a key. Failures of other kinds are not remembered.
const (
	rememberDenied      = 5 * time.Second
	rememberMalformed   = 30 * time.Second
	rememberThrottled   = 250 * time.Millisecond
	rememberUnavailable = 500 * time.Millisecond
)

// ErrConfig reports a bound that is negative, or too small to work with.
var ErrConfig = errors.New("key cache: a bound is out of range")

// ErrBudget reports that full caches would need more memory than [Config.MemoryBudget].
var ErrBudget = errors.New("key cache: the bounds need more memory than the budget")

// Config has the cache's bounds. Zero values mean the defaults.
type Config struct {
	// TTL is the absolute life of a key since the last time KMS allowed its use. A key revoked at KMS goes on working
	// for at most that long, unless it is purged.
	TTL time.Duration
	// MaxKeys and MaxContexts bound the two caches by count. MaxFields bounds the keys of fields of encoding 3, which
	// are kept beside their contexts once a field is read again. Its default is the number of contexts.
	MaxKeys, MaxContexts, MaxFields int
	// MaxUnwraps bounds the unwraps that run at a time. MaxPending bounds the unwraps that run or wait to run.
	// MaxWaiters bounds the callers that wait; one key may have a quarter of them. A request beyond a bound is
	// refused as overloaded.
	MaxUnwraps, MaxPending, MaxWaiters int
	// Domains are the domains that may be opened. The zero value: none.
	Domains DomainConfig
	// UnwrapTimeout ends an unwrap. It includes the time in the queue. Callers have deadlines of their own, usually
	// shorter.
	UnwrapTimeout time.Duration
	// MemoryBudget is in bytes. New refuses bounds whose full caches would exceed it. 0: not checked.
	MemoryBudget int64
	// Pressure, when set, is called once when a cache has filled to 9/10 of its bound, and again only after the cache
	// had fallen below 8/10. It MUST NOT block or call the cache.
	Pressure func(Pressure)
	// Compute runs a piece of public-key work (parsing a key is one base-point multiplication). It returns when the
	// work has run, or will not run. Default: on the unwrap's goroutine, at most GOMAXPROCS at a time.
	Compute func(task func())
}

// Pressure says which cache is nearly full.
type Pressure struct {
	Contexts bool // the context cache; otherwise the key cache
	Used     int
	Bound    int
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// normalize fills the defaults in and checks the bounds.
func (c *Config) normalize() error {
	orDefault(&c.TTL, DefaultTTL)
	orDefault(&c.MaxKeys, DefaultMaxKeys)
	orDefault(&c.MaxContexts, DefaultMaxContexts)
	orDefault(&c.MaxFields, c.MaxContexts)
	orDefault(&c.MaxUnwraps, DefaultMaxUnwraps)
	orDefault(&c.MaxPending, DefaultMaxPending)
	orDefault(&c.MaxWaiters, DefaultMaxWaiters)
	orDefault(&c.UnwrapTimeout, DefaultUnwrapTimeout)
	orDefault(&c.Domains.MaxDomains, DefaultMaxDomains)
	orDefault(&c.Domains.MaxVaultKeys, DefaultMaxVaultKeys)
	least := min(c.MaxKeys, c.MaxContexts, c.MaxFields, c.MaxUnwraps, c.MaxPending, c.MaxWaiters,
		c.Domains.MaxDomains, c.Domains.MaxVaultKeys)
	most := max(c.MaxKeys, c.MaxContexts, c.MaxFields, c.Domains.MaxDomains, c.Domains.MaxVaultKeys)
	if c.TTL < time.Second || c.UnwrapTimeout <= 0 || least < 1 || most > 1<<26 {
		return ErrConfig
	}
	if c.MemoryBudget > 0 && c.Cost() > c.MemoryBudget {
		return ErrBudget
	}
	return nil
}

// Cost estimates the memory of full caches in bytes.
func (c *Config) Cost() int64 {
	cost := int64(c.MaxKeys)*KeyCost + int64(c.MaxContexts)*ContextCost + int64(c.MaxFields)*FieldCost + maxShareCost
	if c.Domains.Opener != nil {
		cost += int64(c.Domains.MaxDomains)*DomainCost + int64(c.Domains.MaxVaultKeys)*VaultKeyCost
	}
	return cost
}
