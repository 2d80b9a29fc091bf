package vault_test

import (
	"context"
	"testing"
	"time"

	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
)

// late is a parent that does not answer in time.
type late struct{}

func (late) Decrypt(ctx context.Context, _ *upstream.Request) (*upstream.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWorkThatEndsByItsDeadlineIsAudited(t *testing.T) {
	e := setup(t, func(c *vault.Config) { c.Opener = late{} })
	id := e.create(map[string]string{"city": "Bern"})
	before := len(e.entries(id))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := e.Decrypt(ctx, e.caller, &vault.DecryptRequest{ID: id, Reason: "test", Fields: []string{"city"}})
	e.want(err, context.DeadlineExceeded)
	if after := len(e.entries(id)); after != before+1 {
		t.Errorf("%d entries more", after-before)
	}
}
