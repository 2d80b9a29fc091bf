package config

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// commitmentHead begins the user data of an attestation document that a caller asked for.
const commitmentHead = "redoubt/v1/config\x00"

// Commitment is the user data of attestation documents made for callers: the ASCII text "redoubt/v1/config", a zero
// byte, and the SHA-256 digest of these lines, each ended by a line feed, in this order:
//
//	key REGION ARN              one for each region, sorted by region
//	kms_endpoint URL            if set
//	kms_ca SHA256               if set: the digest of the file, in hex
//	kms_classical_domains       if set
//	domain_key ARN              one for each, in the file's order
//	domain_rule IDS LOWEST PER_SECOND PER_HOUR   one for each, in the file's order; each is followed by
//	domain_creations PER_HOUR   if domains may be created
//	domain_suites NAME NAME …   if set, in the file's order
//	kms_vaults ARN IDS          one for each, in the file's order
//	domains_only                if set
//	deny_contextless_keys       if set
//	hmac_key REGION SHA256      if set: the digest of the wrapped key, in hex
//	peer_ports any              if so set: any process of the parent's host may be the parent
//
// So a caller that knows a deployment's configuration can check that the enclave runs with it, although the document
// comes through the parent. ca is the content of kms.ca_file. The commitment holds no key, and none can be learned
// from it.
func (c *Config) Commitment(ca []byte) []byte {
	h := sha256.New()
	for _, region := range slices.Sorted(maps.Keys(c.Keys)) {
		_, _ = fmt.Fprintf(h, "key %s %s\n", region, c.Keys[region]) // writing to a hash does not fail
	}
	if c.KMS.Endpoint != "" {
		_, _ = fmt.Fprintf(h, "kms_endpoint %s\n", c.KMS.Endpoint)
	}
	if len(ca) > 0 {
		_, _ = fmt.Fprintf(h, "kms_ca %x\n", sha256.Sum256(ca))
	}
	if c.KMS.ClassicalDomains {
		_, _ = fmt.Fprintf(h, "kms_classical_domains\n")
	}
	for _, arn := range c.Domains.Keys {
		_, _ = fmt.Fprintf(h, "domain_key %s\n", arn)
	}
	for _, r := range c.Domains.Rules {
		_, _ = fmt.Fprintf(h, "domain_rule %s %d %d %d\n", r.IDs, r.LowestGeneration, r.VaultsPerSecond, r.VaultsPerHour)
		if r.CreationsPerHour > 0 {
			_, _ = fmt.Fprintf(h, "domain_creations %d\n", r.CreationsPerHour)
		}
		if len(r.Suites) > 0 {
			_, _ = fmt.Fprintf(h, "domain_suites %s\n", strings.Join(r.Suites, " "))
		}
	}
	for _, v := range c.Domains.KMSVaults {
		_, _ = fmt.Fprintf(h, "kms_vaults %s %s\n", v.Key, v.IDs)
	}
	if c.Domains.Only {
		_, _ = fmt.Fprintf(h, "domains_only\n")
	}
	if c.DenyContextlessKeys {
		_, _ = fmt.Fprintf(h, "deny_contextless_keys\n")
	}
	if w := c.WrappedHMACKey(); w != nil {
		_, _ = fmt.Fprintf(h, "hmac_key %s %x\n", c.HMACRegion, sha256.Sum256(w))
	}
	if c.PeerPorts == PortsAny {
		_, _ = fmt.Fprintf(h, "peer_ports any\n")
	}
	return h.Sum([]byte(commitmentHead))
}
