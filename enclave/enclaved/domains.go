package enclaved

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"redoubt/enclave/internal/config"
	"redoubt/enclave/internal/keys"
	"redoubt/enclave/internal/kms"
	"redoubt/wire/kit/sealed"
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

// digest is the configuration digest at the end of a commitment.
func digest(commitment []byte) [sha256.Size]byte {
	return [sha256.Size]byte(commitment[len(commitment)-sha256.Size:])
}

// creations are the bounds of each rule, which all domains under it share.
func creations(cfg *config.Config) map[*config.DomainRule]*rate.Limiter {
	all := map[*config.DomainRule]*rate.Limiter{}
	for i := range cfg.Domains.Rules {
		if r := &cfg.Domains.Rules[i]; r.CreationsPerHour > 0 {
			each := time.Hour / time.Duration(r.CreationsPerHour)
			all[r] = rate.NewLimiter(rate.Every(each), r.CreationsPerHour)
		}
	}
	return all
}

// ruleSuites are the suites of a rule; nil without any.
func ruleSuites(r *config.DomainRule) (list []sealed.Suite) {
	for _, s := range sealed.DomainSuites() {
		if slices.Contains(r.Suites, s.String()) {
			list = append(list, s)
		}
	}
	return list
}

// domainConfig is what the key cache is told of domains: nothing without a rule for any.
func domainConfig(cfg *config.Config, client *kms.Client, module Module) keys.DomainConfig {
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
	limits := creations(cfg)
	var hardware func([]byte) error
	if module != nil {
		hardware = module.Random
	}
	return keys.DomainConfig{
		Opener: domainOpener{client}, KeyARNs: arns, Moves: cfg.Domains.Moves, Hardware: hardware,
		Rule: func(id string) keys.DomainRule {
			r := cfg.Domains.Rule(id)
			if r == nil {
				return keys.DomainRule{Denied: true}
			}
			return keys.DomainRule{
				Lowest: uint16(r.LowestGeneration), PerSecond: r.VaultsPerSecond, PerHour: r.VaultsPerHour,
				Creations: limits[r], Suites: ruleSuites(r),
			}
		},
	}
}
