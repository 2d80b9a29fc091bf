package vault_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/failing"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
)

// calls are the calls of store, KMS and parent together, of which one fails before it does anything.
type calls struct {
	vault.Keys
	vault.Opener

	mu   sync.Mutex
	n    int
	fail int    // which one fails; 0: none
	what string // that failed
}

// next counts a call and reports whether it fails.
func (c *calls) next(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.n != c.fail {
		return false
	}
	c.what = what
	return true
}

// from begins to count: the nth call from now on fails.
func (c *calls) from(nth int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.fail, c.what = 0, nth, ""
}

func (c *calls) failed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.what
}

func (c *calls) Judge(operation string) (v failing.Verdict) {
	if c.next("store " + operation) {
		v.Before = store.ErrUnavailable
	}
	return v
}

func (*calls) Kept(string, string, string) {}

func (c *calls) NewKeyPair(ctx context.Context, suite sealed.Suite, bind map[string]string) ([]byte, []byte, error) {
	if c.next("kms NewKeyPair") {
		return nil, nil, kmsclient.ErrUnavailable
	}
	return c.Keys.NewKeyPair(ctx, suite, bind)
}

func (c *calls) MAC(ctx context.Context, message []byte) ([]byte, error) {
	if c.next("kms MAC") {
		return nil, kmsclient.ErrUnavailable
	}
	return c.Keys.MAC(ctx, message)
}

func (c *calls) VerifyMAC(ctx context.Context, message, mac []byte) (bool, error) {
	if c.next("kms VerifyMAC") {
		return false, kmsclient.ErrUnavailable
	}
	return c.Keys.VerifyMAC(ctx, message, mac)
}

func (c *calls) Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error) {
	if c.next("parent Decrypt") {
		return nil, &upstream.Error{Code: wire.KMSUnavailable}
	}
	return c.Opener.Decrypt(ctx, r)
}

// Whichever call of an operation fails, the operation says so with an error that has a kind and no value. What it was to
// change is as before or as asked for, and the same operation succeeds when it is tried again.
func TestWhicheverCallFailsTheOperationFailsCleanly(t *testing.T) {
	const before, after = "sentinel-before", "sentinel-after"
	operations := map[string]func(e *env, id string) error{
		"create": func(e *env, _ string) error {
			_, err := e.Create(e.Context(), e.caller, &vault.CreateRequest{Values: map[string]string{"city": after}})
			return err
		},
		"create with a key": func(e *env, _ string) error {
			_, err := e.Create(e.Context(), e.caller, &vault.CreateRequest{
				Values: map[string]string{"city": after}, IdempotencyKey: "k",
			})
			return err
		},
		"the same create again": func(e *env, id string) error {
			out, err := e.Create(e.Context(), e.caller, &vault.CreateRequest{
				Values: map[string]string{"city": before}, IdempotencyKey: "first",
			})
			if err == nil && (out.ID != id || !out.Replayed) {
				e.Errorf("another vault was made: %+v", out)
			}
			return err
		},
		"patch":    func(e *env, id string) error { return e.patch(id, map[string]string{"city": after}) },
		"presence": func(e *env, id string) error { _, _, err := e.Presence(e.Context(), e.caller, id, nil); return err },
		"list": func(e *env, _ string) error {
			_, _, err := e.List(e.Context(), e.caller, store.Page{Limit: 1})
			return err
		},
		"audit": func(e *env, id string) error {
			_, _, err := e.Audit(e.Context(), e.caller, id, store.Page{Limit: 1})
			return err
		},
		"decrypt": func(e *env, id string) error {
			_, err := e.Decrypt(e.Context(), e.caller, &vault.DecryptRequest{
				ID: id, Fields: []string{"city"}, Expressions: map[string]string{"m": "city.mask()"}, Reason: "test",
			})
			return err
		},
		"removal": func(e *env, id string) error {
			err := e.Delete(e.Context(), e.caller, &vault.DeleteRequest{ID: id, Fields: []string{"city"}})
			if errors.Is(err, vault.ErrNotFound) { // it was removed
				return nil
			}
			return err
		},
	}
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := 0
			for nth := 1; ; nth++ {
				c := &calls{}
				e := setup(t, func(cfg *vault.Config) {
					c.Keys, c.Opener = cfg.Keys, cfg.Opener
					cfg.Keys, cfg.Opener, cfg.Store = c, c, failing.Wrap(cfg.Store, c)
				})
				out, err := e.Create(t.Context(), e.caller, &vault.CreateRequest{
					Values: map[string]string{"city": before}, IdempotencyKey: "first",
				})
				e.must(err)
				e.create(map[string]string{"city": before}) // so that a list has a second page
				c.from(nth)
				err = operation(e, out.ID)
				what := c.failed()
				c.from(0)
				if what == "" {
					e.must(err)
					break
				}
				failures++
				var up *upstream.Error
				switch {
				case !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, kmsclient.ErrUnavailable) &&
					!errors.Is(err, vault.ErrAudit) && !errors.As(err, &up):
					t.Errorf("%s fails (call %d): %v", what, nth, err)
				case strings.Contains(err.Error(), "sentinel"):
					t.Errorf("%s fails: the error holds a value: %v", what, err)
				}
				if got := e.decrypt(out.ID, "city")["city"]; got != `"`+before+`"` {
					t.Errorf("%s fails, and the field is %s afterwards", what, got)
				}
				e.must(operation(e, out.ID))
			}
			if failures == 0 {
				t.Error("it calls nothing")
			}
			t.Logf("%d calls failed in turn", failures)
		})
	}
}

func TestAServiceNeedsItsParts(t *testing.T) {
	full := func() vault.Config {
		var kept vault.Config
		setup(t, func(c *vault.Config) { kept = *c })
		return kept
	}
	for name, take := range map[string]func(*vault.Config){
		"store": func(c *vault.Config) { c.Store = nil }, "keys": func(c *vault.Config) { c.Keys = nil },
		"opener": func(c *vault.Config) { c.Opener = nil }, "schema": func(c *vault.Config) { c.Schema = nil },
		"suite": func(c *vault.Config) { c.Suite = 0 }, "encoding": func(c *vault.Config) { c.Encoding = sealed.EncodingHex },
	} {
		cfg := full()
		take(&cfg)
		if _, err := vault.New(cfg); err == nil {
			t.Errorf("without a %s there is a service", name)
		}
	}
}
