package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/time/rate"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// oneKey opens every data key to the same.
type oneKey struct {
	asked chan struct{} // when set, gets a value for each question, which then waits for ctx
}

func (k oneKey) OpenDataKey(ctx context.Context, _ DataKeyRequest) (*secret.Buffer, error) {
	if k.asked != nil {
		k.asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return secret.NewFrom(bytes.Repeat([]byte{3}, domain.DataKeySize))
}

func makingConfig(opener DomainOpener, arns ...string) DomainConfig {
	return DomainConfig{
		Opener: opener, KeyARNs: arns, Hardware: func(p []byte) error { _, err := rand.Read(p); return err },
		Rule: func(id string) DomainRule {
			return DomainRule{Denied: id == "denied", Creations: rate.NewLimiter(rate.Inf, 1)}
		},
	}
}

func newDomain(id string, arns ...string) NewDomain {
	n := NewDomain{ID: id, Generation: 1, Suites: []sealed.Suite{sealed.P256}}
	for _, arn := range arns {
		n.DataKeys = append(n.DataKeys, DataKey{arn, []byte("wrapped")})
	}
	return n
}

func TestNothingIsMadeWithoutKMSOrTheSecurityModule(t *testing.T) {
	for what, change := range map[string]func(*DomainConfig){
		"no KMS": func(c *DomainConfig) { c.Opener = nil }, "no module": func(c *DomainConfig) { c.Hardware = nil },
	} {
		cfg := makingConfig(oneKey{}, "arn")
		change(&cfg)
		c := closedAfter(t, Config{Domains: cfg}, nil)
		if _, _, err := c.CreateDomain(t.Context(), newDomain("acme", "arn"), nil); codeOf(err) != wire.KeyDenied {
			t.Errorf("%s: %v", what, err)
		}
		if cfg.Opener != nil {
			continue
		}
		if _, err := c.WrapDomain(t.Context(), nil, nil, nil); codeOf(err) != wire.KeyDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
	cfg := makingConfig(oneKey{}, "arn")
	cfg.Hardware = func([]byte) error { return errors.New("module") }
	c := closedAfter(t, Config{Domains: cfg}, nil)
	if record, _, err := c.CreateDomain(t.Context(), newDomain("acme", "arn"), nil); codeOf(err) != wire.Internal || record != nil {
		t.Errorf("a module without random bytes: %v", err)
	}
}

func TestRecordsThatCannotBeMadeOrWrapped(t *testing.T) {
	var arns []string
	for i := range 5 {
		arns = append(arns, fmt.Sprint("arn", i))
	}
	c := closedAfter(t, Config{Domains: makingConfig(oneKey{}, arns...)}, nil)
	large := newDomain("acme", arns[:3]...)
	for i := range large.DataKeys {
		large.DataKeys[i].Wrapped = make([]byte, domain.MaxDataKey)
	}
	if _, _, err := c.CreateDomain(t.Context(), large, nil); codeOf(err) != wire.BadRequest {
		t.Errorf("a record longer than its bound: %v", err)
	}
	large.DataKeys = large.DataKeys[:2]
	record, _, err := c.CreateDomain(t.Context(), large, nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, v := range map[string]struct {
		record []byte
		key    *DataKey
		want   wire.Code
	}{
		"one wrap too many":    {record, &DataKey{arns[3], make([]byte, domain.MaxDataKey)}, wire.BadRequest},
		"no ciphertext":        {record, &DataKey{arns[3], nil}, wire.BadRequest},
		"a KMS key of another": {record, &DataKey{"another", []byte("w")}, wire.KeyDenied},
		"a record cut short":   {record[:100], nil, wire.BadRequest},
		"as it should be":      {record, &DataKey{arns[3], []byte("w")}, wire.OK},
	} {
		if _, err := c.WrapDomain(t.Context(), v.record, v.key, nil); codeOf(err) != v.want {
			t.Errorf("%s: %v, want %v", what, err, v.want)
		}
	}
	d := newTestDomain(t, "denied", 1, arns[0])
	if _, err := c.WrapDomain(t.Context(), d.record, nil, nil); codeOf(err) != wire.KeyDenied {
		t.Errorf("a domain that the rule denies: %v", err)
	}
}

// What waits for KMS waits for one of four turns; it ends with its caller and with the cache.
func TestCreationsEndWithTheirCallersAndTheCache(t *testing.T) {
	k := oneKey{make(chan struct{}, 2*maxDomainOpens)}
	c := closedAfter(t, Config{Domains: makingConfig(k, "arn", "arn2")}, nil)
	errs := make(chan error)
	for range maxDomainOpens {
		go func() {
			_, _, err := c.CreateDomain(context.Background(), newDomain("acme", "arn"), nil)
			errs <- err
		}()
		<-k.asked
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	d := newTestDomain(t, "acme", 1, "arn")
	if _, _, err := c.CreateDomain(gone, newDomain("acme", "arn"), nil); codeOf(err) != wire.Overloaded {
		t.Errorf("no turn for a creation: %v", err)
	}
	if _, err := c.WrapDomain(gone, d.record, &DataKey{"arn2", []byte("w")}, nil); codeOf(err) != wire.Overloaded {
		t.Errorf("no turn for a wrap: %v", err)
	}
	if _, err := c.WrapDomain(gone, d.record, nil, nil); codeOf(err) != wire.Overloaded {
		t.Errorf("no turn for a check: %v", err)
	}
	c.Close()
	for range maxDomainOpens {
		if err := <-errs; codeOf(err) != wire.ShuttingDown {
			t.Errorf("at the end of the cache: %v", err)
		}
	}
	if _, _, err := c.CreateDomain(t.Context(), newDomain("acme", "arn"), nil); codeOf(err) != wire.ShuttingDown {
		t.Errorf("a creation afterwards: %v", err)
	}
	if _, err := c.WrapDomain(t.Context(), d.record, nil, nil); codeOf(err) != wire.ShuttingDown {
		t.Errorf("a check afterwards: %v", err)
	}
	if _, _, err := c.Domain(DomainName{}, 0, nil); codeOf(err) != wire.ShuttingDown {
		t.Errorf("a mint afterwards: %v", err)
	}
}

func TestADomainThatIsLentAndClosedStatesNothing(t *testing.T) {
	c := closedAfter(t, Config{Domains: makingConfig(oneKey{}, "arn")}, nil)
	record, hash, err := c.CreateDomain(t.Context(), newDomain("acme", "arn"), nil)
	if err == nil {
		err = c.OpenDomain(t.Context(), record, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := NameDomain(hash)
	lent, s, err := c.Domain(name, 0, nil)
	if err != nil || s != sealed.P256 || lent.Closed() {
		t.Fatal(err, s)
	}
	old, err := lent.Mint("v_1", s)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Suite: s, VaultID: []byte("v_1"), Wrapped: old.Wrapped, Domain: &name, Reseal: true}
	k, err := c.Vault(&r)
	if err != nil {
		t.Fatal(err)
	}
	if kind, err := lent.Takes(k, &r, 2); err != nil || kind != domain.Made {
		t.Errorf("before: %v", err)
	}
	fields := map[string][]byte{"a": []byte("1")}
	if _, err := lent.Reseal(domain.Made, "v_1", s, 2, domain.Hash{}, fields); err != nil {
		t.Errorf("before: %v", err)
	}
	c.PurgeAll()
	if _, err := lent.Takes(k, &r, 2); codeOf(err) != wire.DomainUnknown {
		t.Errorf("the old domain is closed: %v", err)
	}
	if a, err := lent.Reseal(domain.Made, "v_1", s, 2, domain.Hash{}, fields); codeOf(err) != wire.DomainUnknown ||
		!slices.Equal(a.Key.Wrapped, nil) || !lent.Closed() {
		t.Errorf("the new domain is closed: %v", err)
	}
	for what, err := range map[string]error{
		"no epoch":   errOf(lent.Reseal(domain.Made, "v_1", s, 0, domain.Hash{}, fields)),
		"not a name": errOf(lent.Reseal(domain.Made, "v_1", s, 2, domain.Hash{}, map[string][]byte{"": nil})),
	} {
		if err == nil {
			t.Error(what)
		}
	}
	k.Release()
	lent.Release()
}

func closedAfter(t *testing.T, cfg Config, u Unwrapper) *Cache {
	t.Helper()
	c := newCache(t, cfg, u)
	t.Cleanup(c.Close)
	return c
}

func errOf(_ Resealed, err error) error { return err }
