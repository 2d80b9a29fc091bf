package pool

import (
	"context"

	"redoubt/wire"
	"redoubt/wire/session"
)

// Fresh makes the enclave at url forget the keys of msg's vault, and then asks that enclave to open msg. So the
// enclave must ask KMS for the key, and the answer shows what KMS says now, not what a cache remembers. It waits no
// longer than ctx. The caller MUST Release the call. Errors are those of Do.
func (p *Pool) Fresh(ctx context.Context, url string, msg *wire.DecryptRequest) (*session.Call, error) {
	for _, l := range *p.links.Load() {
		c := l.client.Load()
		if c == nil || l.enclave.url != url || c.Draining() {
			continue
		}
		if _, err := c.Purge(ctx, &wire.Purge{VaultID: msg.VaultID}); err != nil {
			return nil, translate(err)
		}
		call := c.NewCall()
		call.Deadline, _ = ctx.Deadline()
		call.Body = appendFor(c.Features(), call.Body, msg)
		if err := c.Do(ctx, call); err != nil {
			call.Release()
			return nil, translate(err)
		}
		return call, nil
	}
	return nil, p.none()
}
