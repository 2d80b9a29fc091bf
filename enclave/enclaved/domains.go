package enclaved

import (
	"context"
	"maps"
	"slices"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/kms"
	"redoubt/wire/kit/secret"
)

// domainOpener lets the key cache ask KMS for domains' data keys.
type domainOpener struct{ client *kms.Client }

// OpenDataKey implements [keys.DomainOpener].
func (o domainOpener) OpenDataKey(ctx context.Context, r keys.DataKeyRequest) (*secret.Buffer, error) {
	return o.client.DomainKey(ctx, kms.DomainRequest{
		By: r.By, KeyARN: r.KeyARN, DomainID: r.DomainID, Generation: r.Generation, Wrapped: r.Wrapped,
	})
}

// domainConfig is what the key cache is told of domains: nothing without a rule for any.
func domainConfig(cfg *config.Config, client *kms.Client) keys.DomainConfig {
	if len(cfg.Domains.Rules) == 0 {
		return keys.DomainConfig{}
	}
	var arns []string
	for _, region := range slices.Sorted(maps.Keys(cfg.Keys)) {
		arns = append(arns, cfg.Keys[region])
	}
	for _, arn := range cfg.Domains.Keys {
		if !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	return keys.DomainConfig{
		Opener: domainOpener{client}, KeyARNs: arns,
		Rule: func(id string) keys.DomainRule {
			r := cfg.Domains.Rule(id)
			if r == nil {
				return keys.DomainRule{Denied: true}
			}
			return keys.DomainRule{
				Lowest: uint16(r.LowestGeneration), PerSecond: r.VaultsPerSecond, PerHour: r.VaultsPerHour,
			}
		},
	}
}
