package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// heldKMS hands out a data key that lies in secret memory alone.
type heldKMS struct{ dk *secret.Buffer }

func (k heldKMS) OpenDataKey(context.Context, DataKeyRequest) (*secret.Buffer, error) {
	b, err := secret.New(k.dk.Len())
	if err == nil {
		copy(b.Bytes(), k.dk.Bytes())
	}
	return b, err
}

// TestSecretsOfWhatIsMadeAreGoneFromMemory: after a domain was created, wrapped, opened, minted in and resealed into,
// and purged, neither its secret nor what it was made of, no private key of a vault and no plaintext is in the
// process's memory. A build that does not erase may leave what passed through crypto/hkdf in dead heap blocks: the
// domain's secret, what it was made of, and keys of X-Wing, which are what HKDF gives.
func TestSecretsOfWhatIsMadeAreGoneFromMemory(t *testing.T) {
	left := leftOfMade(t)
	for tries := 1; len(left) > 0 && !secret.Erasing && tries < 3; tries++ { // a preemption may leave copies
		t.Log("again:", left)
		left = leftOfMade(t)
	}
	for what, n := range left {
		t.Errorf("%s: %d copies left", what, n)
	}
}

func leftOfMade(t *testing.T) map[string]int {
	random := func(n int) *secret.Buffer {
		b, err := secret.New(n)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = rand.Read(b.Bytes())
		return b
	}
	dk, hardware, plain := random(domain.DataKeySize), random(32), random(40)
	c := newCache(t, Config{Domains: DomainConfig{
		Opener: heldKMS{dk}, KeyARNs: []string{"arn", "arn2"},
		Hardware: func(p []byte) error { copy(p, hardware.Bytes()); return nil },
		Rule:     func(string) DomainRule { return DomainRule{Creations: rate.NewLimiter(rate.Inf, 1)} },
	}}, nil)
	m := &madeThings{}
	onItsOwn(func() { m.make(t, c, plain.Bytes()) })

	var ps patterns
	ps.add("plaintext", plain.Bytes())
	ps.add("data key", dk.Bytes())
	ps.add("hardware random", hardware.Bytes())
	during := search(t, ps)
	onItsOwn(func() { m.patterns(t, &ps, dk) })
	for what, n := range during {
		if n == 0 {
			t.Fatalf("the search does not find what is there: %s", what)
		}
	}
	plain.Destroy()
	dk.Destroy()
	hardware.Destroy()
	c.PurgeAll()
	runtime.GC()
	runtime.GC()
	after := search(t, ps)
	t.Logf("erasing build: %v; copies after: %v", secret.Erasing, after)
	c.Close()
	maps.DeleteFunc(after, func(what string, n int) bool {
		derived := what != "plaintext" && !strings.HasSuffix(what, sealed.P384.String())
		return n == 0 || !secret.Erasing && derived
	})
	return after
}

// onItsOwn runs f on a goroutine whose stack is given back.
func onItsOwn(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

type madeThings struct {
	record  []byte
	wrapped map[string][]byte // vault keys by vault id
}

func (m *madeThings) make(t *testing.T, c *Cache, plain []byte) {
	ctx := context.Background()
	record, descriptor, err := c.CreateDomain(ctx, NewDomain{
		ID: "acme", Generation: 1, Suites: []sealed.Suite{sealed.XWing, sealed.P384}, Requests: []sealed.Suite{sealed.XWing},
		DataKeys: []DataKey{{"arn", []byte("wrapped")}},
	}, nil)
	if err == nil {
		record, err = c.WrapDomain(ctx, record, &DataKey{"arn2", []byte("wrapped")}, nil)
	}
	if err == nil {
		err = c.OpenDomain(ctx, record, nil)
	}
	if err != nil {
		t.Error(err)
		return
	}
	m.record, m.wrapped = bytes.Clone(record), map[string][]byte{}
	for _, s := range []sealed.Suite{sealed.XWing, sealed.P384} {
		d, _, err := c.Domain(NameDomain(descriptor), s, nil)
		if err != nil {
			t.Error(err)
			return
		}
		minted, err := d.Mint("v_"+s.String(), s)
		if err != nil {
			t.Error(err)
		}
		m.wrapped["v_"+s.String()] = minted.Wrapped
		id := "r_" + s.String()
		again, err := d.Reseal(domain.Moved, id, s, 1, domain.Hash{}, map[string][]byte{"ssn": plain})
		if err != nil {
			t.Error(err)
		}
		m.wrapped[id] = again.Key.Wrapped
		d.Release()
	}
}

// patterns opens the record and the keys as their owner could, into secret memory.
func (m *madeThings) patterns(t *testing.T, ps *patterns, dk *secret.Buffer) {
	rec, _, err := domain.ParseRecord(m.record)
	if err != nil || len(rec.Wraps) != 2 {
		t.Error(err)
		return
	}
	ds, err := secret.New(domain.SecretSize)
	if err != nil {
		t.Error(err)
		return
	}
	defer ds.Destroy()
	if err := rec.Wraps[1].Open(ds.Bytes(), dk.Bytes(), domain.Sum(rec.Descriptor)); err != nil {
		t.Error(err)
		return
	}
	ps.add("domain secret", ds.Bytes())
	keys, err := domain.OpenKeys(rec.Descriptor, ds.Bytes())
	if err != nil {
		t.Error(err)
		return
	}
	defer keys.Destroy()
	for id, wrapped := range m.wrapped {
		raw, err := secret.New(sealed.MaxPrivateSize)
		if err != nil {
			t.Error(err)
			return
		}
		key, err := keys.Open(raw.Bytes(), id, wrapped)
		if err != nil {
			t.Error(err)
			return
		}
		ps.add("private key of "+id, raw.Bytes()[:key.Suite().PrivateSize()])
		key.Destroy()
		raw.Destroy()
	}
}
