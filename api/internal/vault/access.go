package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/upstream"
)

// macKey is a key that all processes with the same MAC key share: the MAC of a domain, once KMS has given it.
type macKey struct {
	domain string
	key    atomic.Pointer[[]byte]
	group  singleflight.Group
}

// get returns the key. KMS is asked once, however many callers wait. A failure is not remembered. The call to KMS
// does not end with the caller that began it, since others wait for it too.
func (k *macKey) get(ctx context.Context, keys Keys) ([]byte, error) {
	if key := k.key.Load(); key != nil {
		return *key, nil
	}
	got, err, _ := k.group.Do("", func() (any, error) {
		ctx, cancel := detached(ctx)
		defer cancel()
		key, err := keys.MAC(ctx, []byte(k.domain))
		if err == nil {
			k.key.Store(&key)
		}
		return key, err
	})
	key, _ := got.([]byte)
	return key, err
}

// hashSources returns what is audited of expressions before it is known what they read: the keyed hash of each
// source, in the order of names.
func (s *Service) hashSources(ctx context.Context, names []string, sources map[string]string) ([]audit.Access, error) {
	if len(names) == 0 {
		return nil, nil
	}
	key, err := s.sources.get(ctx, s.cfg.Keys)
	if err != nil {
		return nil, err
	}
	out := make([]audit.Access, len(names))
	for i, name := range names {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(sources[name]))
		out[i] = audit.Access{Unknown: true, SourceMAC: mac.Sum(nil)}
	}
	return out, nil
}

// enter puts the parent's report into access. An expression without a report, or with one that does not fit the
// request, stays unknown.
func enter(access []audit.Access, names, fields []string, report map[string]upstream.Access) {
	for i, name := range names {
		r, ok := report[name]
		if !ok || len(r.Reads)+len(r.Raw) > 2*len(fields) || !within(r.Reads, fields) || !within(r.Raw, r.Reads) {
			continue
		}
		access[i].Reads, access[i].Raw, access[i].Unknown = r.Reads, r.Raw, false
	}
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(name string) bool { return !slices.Contains(all, name) })
}

// released lists the fields whose values are in the parent's answer as they are. What stands under the name of an
// expression is its result.
func released(res *upstream.Result, fields []string, expressions map[string]string) []string {
	out := []string{}
	for _, name := range fields {
		if _, isExpression := expressions[name]; isExpression {
			continue
		}
		_, sealed := res.Sealed[name]
		value, shown := res.Fields[name]
		if sealed || shown && string(value) != "null" {
			out = append(out, name)
		}
	}
	return out
}
