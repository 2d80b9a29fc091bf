package pool

import (
	"context"
	"slices"
	"sync"

	"redoubt/wire"
	"redoubt/wire/session"
)

// Purged is the outcome of a purge at one enclave.
type Purged struct {
	URL string `json:"enclave"`
	// ID is what the enclave says of itself. It is empty while there is no session.
	ID string `json:"id"`
	// Confirmed says that the enclave has purged. If it is false, it may not have.
	Confirmed bool `json:"confirmed"`
	// Keys and Contexts that were dropped.
	Keys     uint64 `json:"keys"`
	Contexts uint64 `json:"contexts"`
}

// Purge makes every enclave forget what m names, and returns the outcomes in the order given to Set. It waits no
// longer than ctx.
func (p *Pool) Purge(ctx context.Context, m *wire.Purge) []Purged {
	p.mu.Lock()
	enclaves := slices.Clone(p.enclaves)
	p.mu.Unlock()
	out := make([]Purged, len(enclaves))
	var wg sync.WaitGroup
	for i, e := range enclaves {
		wg.Go(func() { out[i] = e.purge(ctx, m) })
	}
	wg.Wait()
	return out
}

// purge asks over one session after the other until one answers. All sessions lead to the same caches, and a second
// purge does no harm.
func (e *enclave) purge(ctx context.Context, m *wire.Purge) Purged {
	out := Purged{URL: e.url}
	for _, l := range e.links {
		c := l.client.Load()
		if c == nil {
			continue
		}
		out.ID = string(c.Peer().EnclaveID)
		if said, err := c.Purge(ctx, m); err == nil {
			out.Confirmed, out.Keys, out.Contexts = true, said.Keys, said.Contexts
			break
		}
	}
	return out
}

// Fresh has the enclave at url purge, and then sends it msg. If the purge is of msg's vault, the enclave must ask KMS
// for the key, and the answer shows what KMS says now, not what a cache remembers. It waits no longer than ctx. The
// caller MUST Release the call. Errors are those of Do.
func (p *Pool) Fresh(ctx context.Context, url string, purge *wire.Purge, msg wire.LaneMessage) (*session.Call, error) {
	for _, l := range *p.links.Load() {
		c := l.client.Load()
		if c == nil || l.enclave.url != url || c.Draining() {
			continue
		}
		if _, err := c.Purge(ctx, purge); err != nil {
			return nil, translate(err)
		}
		call := c.NewCall()
		call.Kind = msg.Kind()
		call.Deadline, _ = ctx.Deadline()
		call.Body = msg.AppendFor(c.Features(), call.Body)
		if err := c.Do(ctx, call); err != nil {
			call.Release()
			return nil, translate(err)
		}
		return call, nil
	}
	return nil, p.none()
}
