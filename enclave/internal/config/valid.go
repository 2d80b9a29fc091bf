package config

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
)

var (
	regionRE = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	arnRE    = regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{12}):key/(mrk-[0-9a-f]{32}|` +
		`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`)
)

// valid checks every value, and fills in values that depend on others.
func (c *Config) valid() error {
	errs := []error{
		c.validListen(), c.validKeys(), c.validKMS(), c.validDomains(), c.validHMAC(), c.validHeartbeat(), c.Dev.valid(),
	}
	for _, b := range c.bounds() {
		errs = append(errs, b.err)
	}
	return errors.Join(errs...)
}

// bound is a key whose value must lie between low and high, both inclusive, and the error if it does not.
type bound struct {
	key, low, high string
	err            error
}

func (c *Config) bounds() []bound {
	return []bound{
		between("cache.keys", c.Cache.Keys, 1, MaxCacheKeys),
		between("cache.contexts", c.Cache.Contexts, 1, MaxCacheContexts),
		between("cache.key_ttl", c.Cache.KeyTTL, time.Second, 24*time.Hour),
		between("work.workers", c.Work.Workers, 0, 256),
		between("work.queue", c.Work.Queue, 1, 65536),
		between("work.queue_mib", c.Work.QueueMiB, 4, 4096),
		between("work.queue_target", c.Work.QueueTarget, time.Millisecond, time.Minute),
		between("work.batch_queue_target", c.Work.BatchQueueTarget, time.Millisecond, 5*time.Minute),
		between("sessions.max", c.Sessions.Max, 1, 1024),
		between("sessions.memory_mib", c.Sessions.MemoryMiB, 4, 4096),
		between("memory.limit_mib", c.Memory.LimitMiB, 0, 1<<20),
		between("memory.gc_percent", c.Memory.GCPercent, 10, 1000),
		between("drain_timeout", c.DrainTimeout, 100*time.Millisecond, 5*time.Minute),
		between("logs.per_second", c.Logs.PerSecond, 1, 1000),
	}
}

func between[T cmp.Ordered](key string, v, low, high T) bound {
	b := bound{key: key, low: fmt.Sprint(low), high: fmt.Sprint(high)}
	if !program.Within(v, low, high) {
		b.err = fmt.Errorf("%s: must be between %s and %s", key, b.low, b.high)
	}
	return b
}

func (c *Config) validHeartbeat() error {
	if u, err := url.Parse(c.Machine.Heartbeat); c.Machine.Heartbeat != "" && (err != nil || u.Scheme != "vsock") {
		return errors.New("machine.heartbeat: must be vsock://CID:PORT, or empty")
	}
	return nil
}

func (c *Config) validListen() error {
	u, err := url.Parse(c.Listen)
	if err != nil || (u.Scheme != "vsock" && u.Scheme != "unix") {
		return errors.New("listen: must be vsock://any:PORT or unix:///path")
	}
	if u.Scheme == "vsock" && len(c.AllowedCIDs) == 0 {
		return errors.New("allowed_cids: must name at least one context id")
	}
	if len(c.AllowedCIDs) > 16 {
		return errors.New("allowed_cids: must name at most 16 context ids")
	}
	if c.PeerPorts != PortsPrivileged && c.PeerPorts != PortsAny {
		return fmt.Errorf("peer_ports: must be %s or %s", PortsPrivileged, PortsAny)
	}
	return nil
}

func (c *Config) validKeys() error {
	if len(c.Keys) == 0 || len(c.Keys) > MaxRegions {
		return fmt.Errorf("keys: must map between 1 and %d regions to a key ARN", MaxRegions)
	}
	for _, region := range slices.Sorted(maps.Keys(c.Keys)) {
		arn := c.Keys[region]
		if !regionRE.MatchString(region) {
			return fmt.Errorf("keys: %q is not an AWS region", region)
		}
		m := arnRE.FindStringSubmatch(arn)
		if m == nil {
			return fmt.Errorf("keys.%s: %q is not the ARN of a KMS key (an alias is refused)", region, arn)
		}
		if m[2] != region {
			return fmt.Errorf("keys.%s: the key is of region %s", region, m[2])
		}
	}
	return nil
}

func (c *Config) validKMS() error {
	if c.KMS.Endpoint != "" {
		u, err := url.Parse(c.KMS.Endpoint)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("kms.endpoint: must be https://HOST[:PORT]")
		}
	}
	if c.KMS.CAFile != "" && !strings.HasPrefix(c.KMS.CAFile, "/") {
		return errors.New("kms.ca_file: must be an absolute path")
	}
	return nil
}

func (c *Config) validDomains() error {
	d := &c.Domains
	if len(d.Keys) > MaxDomainKeys || len(d.Rules) > MaxDomainRules || len(d.KMSVaults) > MaxKMSVaults {
		return fmt.Errorf("domains: at most %d keys, %d rules and %d kms_vaults", MaxDomainKeys, MaxDomainRules, MaxKMSVaults)
	}
	for i, arn := range d.Keys {
		if !arnRE.MatchString(arn) || slices.Contains(d.Keys[:i], arn) {
			return fmt.Errorf("domains.keys: %q is not the ARN of a KMS key, or is there twice", arn)
		}
	}
	for i := range d.Rules {
		r := &d.Rules[i]
		if r.LowestGeneration == 0 {
			r.LowestGeneration = 1
		}
		switch key := fmt.Sprintf("domains.rules[%d]", i); {
		case !validPattern(r.IDs):
			return fmt.Errorf("%s.ids: must be a domain id, or its beginning and an asterisk", key)
		case !program.Within(r.LowestGeneration, 1, 65535):
			return fmt.Errorf("%s.lowest_generation: must be between 1 and 65535", key)
		case !program.Within(r.VaultsPerSecond, 0, 1_000_000):
			return fmt.Errorf("%s.vaults_per_second: must be between 0 and 1000000", key)
		case !program.Within(r.VaultsPerHour, 0, 1_000_000_000):
			return fmt.Errorf("%s.vaults_per_hour: must be between 0 and 1000000000", key)
		case !program.Within(r.CreationsPerHour, 0, MaxCreationsPerHour):
			return fmt.Errorf("%s.creations_per_hour: must be between 0 and %d", key, MaxCreationsPerHour)
		case !validSuites(r.Suites):
			return fmt.Errorf("%s.suites: each must be one of %s, and none twice", key,
				strings.Join(sealed.DomainSuiteNames(), ", "))
		}
	}
	return c.validMoves()
}

func (c *Config) validMoves() error {
	d := &c.Domains
	for i, v := range d.KMSVaults {
		switch key := fmt.Sprintf("domains.kms_vaults[%d]", i); {
		case !slices.Contains(slices.Collect(maps.Values(c.Keys)), v.Key):
			return fmt.Errorf("%s.key: must be one of the ARNs in keys", key)
		case !validPattern(v.IDs):
			return fmt.Errorf("%s.ids: must be a domain id, or its beginning and an asterisk", key)
		case slices.Contains(d.KMSVaults[:i], v):
			return fmt.Errorf("%s: is there twice", key)
		}
	}
	switch {
	case d.Only && len(d.Rules) == 0:
		return errors.New("domains.only: needs rules: without them no vault could be opened")
	case d.Only && len(d.KMSVaults) > 0:
		return errors.New("domains.kms_vaults: has no meaning with domains.only")
	}
	return nil
}

// validPattern reports whether p is a domain id, or the beginning of ids and an asterisk.
func validPattern(p string) bool { return p == "*" || domain.ValidID(strings.TrimSuffix(p, "*")) }

func validSuites(names []string) bool {
	for i, name := range names {
		if !slices.Contains(sealed.DomainSuiteNames(), name) || slices.Contains(names[:i], name) {
			return false
		}
	}
	return true
}

func (c *Config) validHMAC() error {
	if c.HMACKey == "" {
		if c.HMACRegion != "" {
			return errors.New("hmac_region: needs hmac_key")
		}
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(c.HMACKey)
	if err != nil || len(b) == 0 || len(b) > MaxHMACKeyBytes {
		return fmt.Errorf("hmac_key: must be base64 of 1 to %d bytes", MaxHMACKeyBytes)
	}
	if c.HMACRegion == "" && len(c.Keys) == 1 {
		for region := range c.Keys {
			c.HMACRegion = region
		}
	}
	if _, ok := c.Keys[c.HMACRegion]; !ok {
		return errors.New("hmac_region: must be one of the regions in keys")
	}
	return nil
}

// WrappedHMACKey returns hmac_key decoded, or nil.
func (c *Config) WrappedHMACKey() []byte {
	b, err := base64.StdEncoding.Strict().DecodeString(c.HMACKey)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}
