package vault_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// keyed is a service whose new vaults are under the domain acme.
type keyed struct {
	*env
	registry *domains.Registry
	cfg      vault.Config
}

func setupKeyed(t *testing.T, change ...func(*vault.Config)) *keyed {
	t.Helper()
	k := &keyed{}
	k.env = setup(t, append([]func(*vault.Config){func(c *vault.Config) {
		c.KeyConfig = vault.KeyConfig{Mode: vault.KeysDomain, Enclave: c.Opener.(vault.Enclave), Domain: "acme"}
	}}, append(change, func(c *vault.Config) {
		k.registry = domains.New(c.Store, c.Keys)
		c.Domains = k.registry
		k.cfg = *c
	})...)...)
	k.world.Now = func() time.Time { return k.cfg.Now() }
	k.Cleanup(func() { _ = k.Close(context.Background()) })
	k.generation(1)
	return k
}

// generation adds a generation of the domain.
func (k *keyed) generation(n uint16, suites ...sealed.Suite) {
	k.Helper()
	if suites == nil {
		suites = []sealed.Suite{sealed.XWing, sealed.P256}
	}
	record, err := k.world.Make("acme", n, suites...)
	k.must(err)
	_, err = k.registry.Add(k.Context(), record, nil)
	k.must(err)
}

// again is another instance over the same store.
func (k *keyed) again(change func(*vault.Config)) *keyed {
	k.Helper()
	cfg, e := k.cfg, *k.env
	change(&cfg)
	var err error
	e.Service, err = vault.New(cfg)
	k.must(err)
	k.Cleanup(func() { _ = e.Close(context.Background()) })
	return &keyed{env: &e, registry: k.registry, cfg: cfg}
}

func (k *keyed) stored(id string) (*store.Record, *store.Keys) {
	k.Helper()
	r, keys, err := k.store.GetKeyed(k.Context(), id)
	k.must(err)
	return r, keys
}

func (k *keyed) reseal(id string, drop ...string) *vault.Resealed {
	k.Helper()
	out, err := k.Reseal(k.Context(), k.caller, &vault.ResealRequest{ID: id, Drop: drop})
	k.must(err)
	return out
}

func (k *keyed) delete(id string) error {
	return k.Delete(k.Context(), k.caller, &vault.DeleteRequest{ID: id, All: true})
}

func (k *keyed) read(id string) error {
	_, err := k.Decrypt(k.Context(), k.caller, &vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: "test"})
	return err
}

var both = map[string]string{"city": "Bern", "first_name": "Ada"}

func TestAVaultUnderADomainIsMadeReadAndWrittenWithoutKMS(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	k.must(k.patch(id, map[string]string{"city": "Basel"}))
	got := k.decrypt(id, "city", "first_name", "last_name")
	if !maps.Equal(got, map[string]string{"city": `"Basel"`, "first_name": `"Ada"`, "last_name": "null"}) {
		t.Fatalf("%v", got)
	}
	r, keys := k.stored(id)
	if r.Encoding != 4 || r.WrappedKey != nil || r.PublicKey != nil || r.KeyMAC != nil || r.Epoch != 1 ||
		len(r.Encs) != 2 || len(keys.Epochs) != 1 || r.Domain == nil {
		t.Fatalf("%+v, %+v", r, keys)
	}
	if n := k.world.Calls("NewKeyPair"); n != 0 {
		t.Errorf("KMS made %d key pairs", n)
	}
	k.wantLog(id, "CreateVault ok ", "UpdateVault ok ", "DecryptVault ok ")
	// Only the encapsulated keys of the fields that are asked for are sent.
	k.decrypt(id, "city")
	if last := k.world.Last(); len(last.Encs) != 1 || len(last.Fields) != 1 || last.KeyContext || last.Encoding != 4 {
		t.Errorf("%d encapsulated keys for %d fields", len(last.Encs), len(last.Fields))
	}
}

func TestAnEnclaveThatWasStartedAnewIsGivenTheDomainOnce(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	k.world.Forget()
	before := k.world.Domains.Calls("Record")
	for range 3 {
		k.must(k.read(id))
	}
	if n := k.world.Domains.Calls("Record") - before; n != 1 {
		t.Errorf("the record was given %d times", n)
	}
}

func TestAKeyThatTheDomainDidNotMakeTakesNothingAndOpensNothing(t *testing.T) {
	k := setupKeyed(t)
	other := k.create(both)
	for name, spoil := range map[string]func(r *store.Record, e *store.Epoch, o *store.Epoch){
		"public key of another": func(_ *store.Record, e, o *store.Epoch) { e.PublicKey = o.PublicKey },
		"statement of another":  func(_ *store.Record, e, o *store.Epoch) { e.Statement = o.Statement },
		"keys of another": func(_ *store.Record, e, o *store.Epoch) {
			e.WrappedKey, e.PublicKey, e.Statement = o.WrappedKey, o.PublicKey, o.Statement
		},
		"no statement": func(_ *store.Record, e, _ *store.Epoch) { e.Statement = nil },
		"suite of the record": func(r *store.Record, _, _ *store.Epoch) {
			id := sealed.P384.ID()
			r.Suite = id[:]
		},
		"suite of the key": func(_ *store.Record, e, _ *store.Epoch) {
			id := sealed.P384.ID()
			e.Suite = id[:]
		},
		"half a domain": func(r *store.Record, _, _ *store.Epoch) { r.Domain = r.Domain[:32] },
	} {
		t.Run(name, func(t *testing.T) {
			k.T = t
			id := k.create(both)
			r, keys := k.stored(id)
			_, o := k.stored(other)
			e := keys.Epochs[0]
			// As an attacker who writes to the store: under an id of its own the spoiled pair is stored anew.
			k.store.Store = swapped{k.store.Store, id, func() (*store.Record, *store.Keys) {
				bad := *r
				spoil(&bad, &e, &o.Epochs[0])
				return &bad, &store.Keys{VaultID: id, Epochs: []store.Epoch{e}, Revision: keys.Revision}
			}}
			defer func() { k.store.Store = k.store.Store.(swapped).Store }()
			k.want(k.read(id), vault.ErrKeyUnverified)
			k.want(k.patch(id, map[string]string{"city": "Basel"}), vault.ErrKeyUnverified)
		})
	}
}

// swapped is a store in which one vault was replaced.
type swapped struct {
	store.Store
	id  string
	now func() (*store.Record, *store.Keys)
}

func (s swapped) GetKeyed(ctx context.Context, id string) (*store.Record, *store.Keys, error) {
	if id == s.id {
		r, k := s.now()
		return r, k, nil
	}
	return s.Store.GetKeyed(ctx, id)
}

func TestADomainThatIsNotThereOrNotBelievedIsNamed(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	d, err := k.store.Domain(t.Context(), "acme", 1)
	k.must(err)
	d.MAC = []byte("another")
	k.must(k.store.UpdateDomain(t.Context(), d, nil))
	fresh := k.again(func(c *vault.Config) { c.Domains = domains.New(k.store, k.world) })
	k.want(fresh.read(id), domains.ErrUntrusted)
	_, err = fresh.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both})
	k.want(err, domains.ErrUntrusted)
	empty := k.again(func(c *vault.Config) {
		c.Domains = domains.New(memory.New(nil), k.world)
	})
	k.want(empty.read(id), domains.ErrUnknown)
	none := k.again(func(c *vault.Config) { c.KeyConfig = vault.KeyConfig{} })
	k.want(none.read(id), store.ErrNoDomains)
	k.wantLog(id, "CreateVault ok ", "DecryptVault failed domain_untrusted", "DecryptVault failed domain_unknown")
}

func TestMintedKeysAreBelievedOnlyAsTheDomainStatesThem(t *testing.T) {
	for name, spoil := range map[string]func([]parentapi.VaultKey) []parentapi.VaultKey{
		"another id":     func(a []parentapi.VaultKey) []parentapi.VaultKey { a[1].VaultID = a[0].VaultID; return a },
		"another key":    func(a []parentapi.VaultKey) []parentapi.VaultKey { a[1].PublicKey = a[0].PublicKey; return a },
		"no statement":   func(a []parentapi.VaultKey) []parentapi.VaultKey { a[1].Statement = nil; return a },
		"key of KMS":     func(a []parentapi.VaultKey) []parentapi.VaultKey { a[1].WrappedKey = []byte("wrapped"); return a },
		"one less":       func(a []parentapi.VaultKey) []parentapi.VaultKey { return a[1:] },
		"the same twice": func(a []parentapi.VaultKey) []parentapi.VaultKey { a[1] = a[0]; return a },
	} {
		t.Run(name, func(t *testing.T) {
			k := setupKeyed(t, func(c *vault.Config) {
				c.Enclave = minting{c.Enclave, func(a []parentapi.VaultKey) []parentapi.VaultKey { return spoil(a) }}
			})
			_, err := k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both})
			k.want(err, vault.ErrMinted)
			var none *vault.NoKeyError
			if !errors.As(err, &none) || vault.RetryAfter(err) <= 0 {
				t.Errorf("%v", err)
			}
			if c := k.Counts(); c.MintFailures != 1 || c.Minted != 0 || c.Pooled != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
	t.Run("a clock that is off by more than an hour", func(t *testing.T) {
		k := setupKeyed(t)
		for _, off := range []time.Duration{-61 * time.Minute, 61 * time.Minute} {
			k.world.Now = func() time.Time { return k.now.Add(off) }
			_, err := k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both})
			k.want(err, vault.ErrMinted)
		}
		k.world.Now = func() time.Time { return k.now.Add(-59 * time.Minute) }
		k.create(both)
	})
}

// minting changes what the enclave mints.
type minting struct {
	vault.Enclave
	change func([]parentapi.VaultKey) []parentapi.VaultKey
}

func (m minting) Mint(ctx context.Context, q *upstream.Mint) ([]parentapi.VaultKey, error) {
	a, err := m.Enclave.Mint(ctx, q)
	if err == nil {
		a = m.change(a)
	}
	return a, err
}

func TestWithoutAnEnclaveKeysOfThePoolAreUsedUpAndThenCallersAreToldToWait(t *testing.T) {
	k := setupKeyed(t)
	k.create(both)
	k.world.Fail(&upstream.Error{Code: wire.Internal, Err: upstream.ErrUnavailable, RetryAfter: 7 * time.Second})
	for range 63 {
		k.create(both)
	}
	_, err := k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both})
	k.want(err, upstream.ErrUnavailable)
	if vault.RetryAfter(err) != 7*time.Second {
		t.Errorf("wait %v", vault.RetryAfter(err))
	}
	k.world.Fail(nil)
	k.create(both)
}

func TestThePoolIsFilledInTheBackgroundAndOnceForAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := setupMemory(t)
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() { k.create(both) })
		}
		wg.Wait()
		synctest.Wait()
		// 64 were made at once for the 32 that waited, and none after, since half of them are left.
		if n := k.world.Domains.Calls("Mint"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		k.create(both)
		synctest.Wait()
		if c := k.Counts(); c.Pooled != 95 || c.Minted != 128 {
			t.Errorf("%+v", c)
		}
		// Keys that waited too long are not used.
		time.Sleep(11 * time.Minute)
		before := k.Counts().Minted
		id := k.create(both)
		synctest.Wait()
		if made, ok := pksuid.Time("v", id); !ok || time.Since(made) > time.Minute || k.Counts().Minted == before {
			t.Errorf("a key of %v was used", made)
		}
		k.must(k.Close(t.Context()))
	})
}

// setupMemory is setupKeyed over a store in memory, in a bubble of synctest.
func setupMemory(t *testing.T, change ...func(*vault.Config)) *keyed {
	t.Helper()
	time.Sleep(time.Until(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))) // a time that ids can have
	return setupKeyed(t, append([]func(*vault.Config){func(c *vault.Config) {
		c.Store, c.Now = memory.New(nil), time.Now
	}}, change...)...)
}

func TestWhereNothingRunsBetweenRequestsFewKeysAreMadeAtOnceAndNoneInTheBackground(t *testing.T) {
	k := setupKeyed(t, func(c *vault.Config) { c.Inline = true })
	for range 9 {
		k.create(both)
	}
	if c := k.Counts(); c.Minted != 16 || c.Pooled != 7 {
		t.Errorf("%+v", c)
	}
}

func TestKeysOfAnEarlierGenerationLeaveThePool(t *testing.T) {
	k := setupKeyed(t)
	k.create(both)
	k.generation(2)
	k.now = k.now.Add(time.Minute)
	id := k.create(both)
	k.must(k.read(id))
	r, keys := k.stored(id)
	if d, err := k.registry.Get(t.Context(), "acme", 2); err != nil || !bytes.Equal(r.Domain, d.Hash[:]) ||
		len(keys.Epochs) != 1 {
		t.Fatalf("%v", err)
	}
	// A generation that was used is not given up for a lower one.
	d, err := k.registry.Get(t.Context(), "acme", 2)
	k.must(err)
	k.must(k.registry.Retire(t.Context(), d, nil))
	k.now = k.now.Add(time.Minute)
	_, err = k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both})
	k.want(err, vault.ErrGenerationBack)
	// One that is named must be active.
	named := k.again(func(c *vault.Config) { c.WriteGeneration = 2 })
	_, err = named.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both})
	k.want(err, domains.ErrRetired)
}

func TestAWriteAddsOneEncapsulatedKeyAndDropsThoseThatNoFieldNames(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	r, _ := k.stored(id)
	first := slices.Collect(maps.Keys(r.Encs))
	k.must(k.patch(id, map[string]string{"city": "Basel", "first_name": "Eve"}))
	r, _ = k.stored(id)
	if len(r.Encs) != 1 || r.Encs[first[0]] != nil {
		t.Fatalf("%d encapsulated keys", len(r.Encs))
	}
	k.must(k.patch(id, map[string]string{"city": "Chur"}))
	k.must(k.Delete(t.Context(), k.caller, &vault.DeleteRequest{ID: id, Fields: []string{"city"}}))
	if r, _ = k.stored(id); len(r.Encs) != 1 || len(r.Fields) != 1 {
		t.Fatalf("%d encapsulated keys for %d fields", len(r.Encs), len(r.Fields))
	}
	if got := k.decrypt(id, "first_name"); got["first_name"] != `"Eve"` {
		t.Fatalf("%v", got)
	}
}

func TestAWriteToAnEarlierGenerationMovesTheVaultInTheSameWrite(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	old, _ := k.stored(id)
	k.generation(2)
	k.now = k.now.Add(time.Minute)
	// Removing fields and changing the time to live need no key.
	k.must(k.Delete(t.Context(), k.caller, &vault.DeleteRequest{ID: id, Fields: []string{"last_name"}}))
	hour := time.Hour
	if _, err := k.Patch(t.Context(), k.caller, &vault.PatchRequest{ID: id, TTL: &hour}); err != nil {
		t.Fatal(err)
	}
	if r, keys := k.stored(id); r.Epoch != 1 || keys.ExpireAt != r.ExpireAt || r.ExpireAt == 0 {
		t.Fatalf("%+v", r)
	}
	tag, err := k.Patch(t.Context(), k.caller, &vault.PatchRequest{ID: id, Values: map[string]string{"city": "Basel"}})
	k.must(err)
	r, keys := k.stored(id)
	if r.Epoch != 2 || bytes.Equal(r.Domain, old.Domain) || len(keys.Epochs) != 2 || len(r.Encs) != 2 ||
		r.ExpireAt != k.now.Add(hour).Unix() || keys.ExpireAt != r.ExpireAt || tag == "" {
		t.Fatalf("%+v %d", r, len(keys.Epochs))
	}
	if got := k.decrypt(id, "city", "first_name"); got["city"] != `"Basel"` || got["first_name"] != `"Ada"` {
		t.Fatalf("%v", got)
	}
	k.must(k.patch(id, map[string]string{"city": "Chur"}))
	if n := k.world.Domains.Calls("Reseal"); n != 1*2 { // of both domains' keys
		t.Errorf("resealed: %d", n)
	}
}

func TestARecordHasAtMost32EncapsulatedKeys(t *testing.T) {
	const fields = 40
	text := "name: many\nfields:\n"
	for i := range fields {
		text += fmt.Sprintf("  - {name: f%d, description: text, max_length: 9}\n", i)
	}
	many, err := schema.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	k := setupKeyed(t, func(c *vault.Config) { c.KeySuite, c.Schema = "P-256", many })
	id := k.create(nil)
	moves := 0
	for i := range fields {
		k.must(k.patch(id, map[string]string{fmt.Sprint("f", i): fmt.Sprint(i)}))
		r, keys := k.stored(id)
		if len(r.Encs) > 32 {
			t.Fatalf("field %d: %d encapsulated keys", i, len(r.Encs))
		}
		if moves = len(keys.Epochs) - 1; (moves > 0) != (i >= 32) {
			t.Fatalf("field %d: moved %d times", i, moves)
		}
	}
	if r, _ := k.stored(id); moves != 1 || len(r.Encs) != 1+fields-32 || r.Epoch != 2 {
		t.Fatalf("moved %d times, %d encapsulated keys", moves, len(r.Encs))
	}
	for i := range fields {
		name := fmt.Sprint("f", i)
		if got := k.decrypt(id, name); got[name] != fmt.Sprintf("%q", fmt.Sprint(i)) {
			t.Fatalf("%v", got)
		}
	}
}

func TestAnErasedVaultIsGoneForEver(t *testing.T) {
	k := setupKeyed(t, func(c *vault.Config) { c.EraseWindow = 35 * 24 * time.Hour })
	out, err := k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both, IdempotencyKey: "one"})
	k.must(err)
	_, keys := k.stored(out.ID)
	sum := sha512.Sum384(keys.Epochs[0].WrappedKey)
	_, err = k.Erased(t.Context(), k.caller, out.ID)
	k.want(err, vault.ErrNoProof)
	k.must(k.delete(out.ID))
	k.want(k.read(out.ID), store.ErrErased)
	k.want(k.patch(out.ID, both), store.ErrErased)
	k.want(k.delete(out.ID), store.ErrErased)
	_, _, err = k.Presence(t.Context(), k.caller, out.ID, nil)
	k.want(err, store.ErrErased)
	_, err = k.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: out.ID})
	k.want(err, store.ErrErased)
	_, err = k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both, IdempotencyKey: "one"})
	k.want(err, vault.ErrGone)
	proof, err := k.Erased(t.Context(), k.caller, out.ID)
	k.must(err)
	if len(proof.Keys) != 1 || !bytes.Equal(proof.Keys[0], sum[:]) || !proof.At.Equal(k.now) ||
		proof.Window != 35*24*time.Hour || proof.Entry.Reason != audit.ReasonErased || proof.Since.After(k.now) {
		t.Fatalf("%+v", proof)
	}
	if r, err := audit.Verify(t.Context(), k.store, k.world, nil); err != nil || len(r.Problems) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if k.Counts().Erases != 1 {
		t.Error("not counted")
	}
	// A tombstone without its entry is no proof.
	k.store.Store = withoutLog{k.store.Store}
	_, err = k.Erased(t.Context(), k.caller, out.ID)
	k.want(err, vault.ErrNoProof)
}

// withoutLog has lost its audit log.
type withoutLog struct{ store.Store }

func (withoutLog) Audit(context.Context, string, store.Page) ([]store.Entry, string, error) {
	return nil, "", nil
}

func TestAVaultUnderADomainExpiresWithItsKeys(t *testing.T) {
	k := setupKeyed(t)
	out, err := k.Create(t.Context(), k.caller, &vault.CreateRequest{Values: both, TTL: time.Minute})
	k.must(err)
	if _, keys := k.stored(out.ID); keys.ExpireAt != k.now.Add(time.Minute).Unix() {
		t.Fatalf("%+v", keys)
	}
	k.now = k.now.Add(2 * time.Minute)
	k.want(k.read(out.ID), vault.ErrNotFound)
	if _, err := k.store.Keys(t.Context(), out.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its keys: %v", err)
	}
}

func TestDomainOnlyRefusesKeysOfKMS(t *testing.T) {
	k := setupKeyed(t)
	old := k.again(func(c *vault.Config) { c.Mode = vault.KeysKMS })
	id := old.create(both)
	k.must(k.read(id))
	only := k.again(func(c *vault.Config) { c.Mode = vault.KeysDomainOnly })
	k.want(only.read(id), vault.ErrNotKeyed)
	k.want(only.patch(id, both), vault.ErrNotKeyed)
	k.must(only.delete(id))
}

func TestVaultsOfBothKindsAreServedSideBySide(t *testing.T) {
	k := setupKeyed(t)
	kms := k.again(func(c *vault.Config) { c.Mode = vault.KeysKMS })
	for _, made := range []*keyed{k, kms} {
		id := made.create(both)
		for _, by := range []*keyed{k, kms} {
			k.must(by.patch(id, map[string]string{"city": "Basel"}))
			if got := by.decrypt(id, "city", "first_name"); got["city"] != `"Basel"` || got["first_name"] != `"Ada"` {
				t.Fatalf("%v", got)
			}
		}
		r, err := k.store.Get(t.Context(), id)
		k.must(err)
		if (r.Domain == nil) != (made == kms) {
			t.Errorf("the vault's kind has changed: %v", r.Domain)
		}
	}
}

func TestResealMovesEveryKindOfVaultToTheCurrentGeneration(t *testing.T) {
	before := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	k := setupKeyed(t, func(c *vault.Config) { c.Cutover, c.MovedBefore = before, before })
	old := func(i int) string { return pksuid.New("v", before.Add(-time.Duration(i+1)*time.Hour)) }
	kms := k.again(func(c *vault.Config) { c.Mode = vault.KeysKMS })
	made := map[string]string{"domain": k.create(both)}
	for i, encoding := range []int{store.EncodingHex, store.EncodingBinary} {
		id := old(i)
		k.legacy(id, encoding, both)
		made[fmt.Sprint("reference ", encoding)] = id
	}
	k.now = before.Add(-time.Hour) // when vaults had keys of KMS's
	made["ours"] = kms.create(both)
	made["empty"] = kms.create(nil)
	k.now = time.Date(2026, 6, 1, 1, 0, 0, 0, time.UTC)
	k.generation(2)
	for name, id := range made {
		t.Run(name, func(t *testing.T) {
			k.T = t
			was, err := k.store.Get(t.Context(), id)
			k.must(err)
			out := k.reseal(id)
			r, keys := k.stored(id)
			want := uint16(1)
			if was.Domain != nil {
				want = 2
			}
			if !out.Done || out.FromKMS != (was.Domain == nil) || r.Epoch != want || len(keys.Epochs) != int(want) ||
				r.KeyMAC != nil || r.WrappedKey != nil || r.Created != was.Created || out.Fields != len(was.Fields) {
				t.Fatalf("%+v, %+v", out, r)
			}
			if len(was.Fields) > 0 {
				if got := k.decrypt(id, "city", "first_name"); got["city"] != `"Bern"` || got["first_name"] != `"Ada"` {
					t.Fatalf("%v", got)
				}
			}
			k.must(k.patch(id, map[string]string{"city": "Basel"}))
			if again := k.reseal(id); again.Done || again.Epoch != want {
				t.Errorf("again: %+v", again)
			}
			log := k.log(id)
			if !slices.Contains(log, "ResealVault ok ") {
				t.Errorf("%q", log)
			}
			k.must(k.delete(id))
			if _, err := k.Erased(t.Context(), k.caller, id); err != nil {
				t.Errorf("proof: %v", err)
			}
		})
	}
	k.T = t
	if r, err := audit.Verify(t.Context(), k.store, k.world, nil); err != nil || len(r.Problems) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestAYoungVaultWithAKeyOfKMSDoesNotMove(t *testing.T) {
	k := setupKeyed(t, func(c *vault.Config) { c.MovedBefore = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC) })
	id := k.again(func(c *vault.Config) { c.Mode = vault.KeysKMS }).create(both)
	_, err := k.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: id})
	k.want(err, vault.ErrNotMovable)
	// Nor is a key believed that says to be of such a move.
	later := k.again(func(c *vault.Config) { c.MovedBefore = k.now.Add(-time.Second) })
	k.now = k.now.Add(time.Hour)
	moved := k.again(func(c *vault.Config) { c.MovedBefore = k.now })
	moved.reseal(id)
	k.want(later.read(id), vault.ErrKeyUnverified)
	k.must(moved.read(id))
}

func TestAKeyOfKMSThatIsNotVerifiedDoesNotMove(t *testing.T) {
	k := setupKeyed(t)
	id := k.again(func(c *vault.Config) { c.Mode = vault.KeysKMS }).create(both)
	k.now = k.now.Add(time.Hour)
	moving := k.again(func(c *vault.Config) { c.MovedBefore = k.now })
	r, err := k.store.Get(t.Context(), id)
	k.must(err)
	r.KeyMAC = nil
	k.must(k.store.Delete(t.Context(), id, r.Modified, nil))
	k.must(k.store.Create(t.Context(), r, nil, nil))
	_, err = moving.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: id})
	k.want(err, vault.ErrKeyUnverified)
}

func TestAResealWhoseAnswerWasChangedStoresNothing(t *testing.T) {
	k := setupKeyed(t)
	other := k.create(map[string]string{"city": "Chur", "first_name": "Eve"})
	r, _ := k.stored(other)
	flip := func(b []byte) []byte { return append(bytes.Clone(b[:len(b)-1]), b[len(b)-1]^1) }
	for name, spoil := range map[string]func(a *parentapi.Resealed){
		"a field":            func(a *parentapi.Resealed) { a.Fields["city"] = flip(a.Fields["city"]) },
		"a field of another": func(a *parentapi.Resealed) { a.Fields["city"] = r.Fields["city"].Blob },
		"all of another": func(a *parentapi.Resealed) {
			a.Encs = r.Encs
			for n := range a.Fields {
				a.Fields[n] = r.Fields[n].Blob
			}
		},
		"a field less": func(a *parentapi.Resealed) { delete(a.Fields, "city") },
		"a field more": func(a *parentapi.Resealed) { a.Fields["last_name"] = a.Fields["city"] },
		"fields swapped": func(a *parentapi.Resealed) {
			a.Fields["city"], a.Fields["first_name"] = a.Fields["first_name"], a.Fields["city"]
		},
		"no enc":         func(a *parentapi.Resealed) { a.Encs = nil },
		"an enc more":    func(a *parentapi.Resealed) { maps.Copy(a.Encs, r.Encs) },
		"the id":         func(a *parentapi.Resealed) { a.Key.VaultID = other },
		"the key":        func(a *parentapi.Resealed) { a.Key.WrappedKey = flip(a.Key.WrappedKey) },
		"the public key": func(a *parentapi.Resealed) { a.Key.PublicKey = flip(a.Key.PublicKey) },
		"its statement":  func(a *parentapi.Resealed) { a.Key.Statement = flip(a.Key.Statement) },
		"the statement":  func(a *parentapi.Resealed) { a.Statement = flip(a.Statement) },
		"no statement":   func(a *parentapi.Resealed) { a.Statement = nil },
	} {
		t.Run(name, func(t *testing.T) {
			k.T = t
			id := k.create(both)
			was, _ := k.stored(id)
			k.world.Tamper(func(answer any) {
				if a, ok := answer.(*parentapi.Resealed); ok {
					spoil(a)
				}
			})
			defer k.world.Tamper(nil)
			_, err := k.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: id, Force: true})
			k.want(err, vault.ErrResealed)
			if r, keys := k.stored(id); r.Modified != was.Modified || len(keys.Epochs) != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAResealOfAnEpochThatWasNotAskedForStoresNothing(t *testing.T) {
	k := setupKeyed(t, func(c *vault.Config) { c.Enclave = later{c.Enclave} })
	_, err := k.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: k.create(both), Force: true})
	k.want(err, vault.ErrResealed)
}

// later makes keys of a later epoch than it is asked for.
type later struct{ vault.Enclave }

func (l later) Reseal(ctx context.Context, r *upstream.Reseal) (*parentapi.Resealed, error) {
	q := *r
	q.Epoch++
	return l.Enclave.Reseal(ctx, &q)
}

func TestAFieldThatDoesNotOpenIsNamedAndGivenUpOnlyByName(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	spoiled := bytes.Repeat([]byte{7}, 60)
	r, _ := k.stored(id)
	for ref, enc := range r.Encs {
		sum := sealed.RefOf(enc)
		spoiled = append(append([]byte{5}, sum[:]...), spoiled...)
		_ = ref
	}
	k.must(k.store.Update(t.Context(), &store.Update{
		ID: id, Revision: r.Modified, Modified: r.Modified + 1, Keyed: true,
		Set: map[string]store.Value{"last_name": {Blob: spoiled}},
	}, nil))
	k.generation(2)
	k.now = k.now.Add(time.Minute)
	for _, drop := range [][]string{nil, {"city"}} {
		_, err := k.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: id, Drop: drop})
		var unopened *vault.UnopenedError
		if !errors.As(err, &unopened) || !slices.Equal(unopened.Fields, []string{"last_name"}) {
			t.Fatalf("drop %v: %v", drop, err)
		}
	}
	out := k.reseal(id, "city", "last_name")
	if !slices.Equal(out.Dropped, []string{"last_name"}) || out.Fields != 2 {
		t.Fatalf("%+v", out)
	}
	if got := k.decrypt(id, "city", "first_name"); got["city"] != `"Bern"` || got["first_name"] != `"Ada"` {
		t.Fatalf("%v", got)
	}
	log, _, err := k.Audit(t.Context(), k.caller, id, store.Page{})
	k.must(err)
	i := slices.IndexFunc(log, func(e vault.AuditEntry) bool { return e.Name == audit.EventReseal && e.Outcome == "ok" })
	if i < 0 || !slices.Equal(log[i].Key.Lost, []string{"last_name"}) || log[i].Key.Epoch != 2 {
		t.Errorf("%+v", log)
	}
}

func TestOf16KeysTheOldestGoesOnceItMayAndNotBefore(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	force := func() error {
		_, err := k.Reseal(t.Context(), k.caller, &vault.ResealRequest{ID: id, Force: true})
		return err
	}
	for range store.MaxEpochs - 1 {
		k.must(force())
	}
	k.want(force(), store.ErrEpochsFull)
	if n, err := k.DropKeys(t.Context(), k.caller, id); n != 0 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	k.now = k.now.Add(store.DefaultKeepEpochs)
	k.must(force())
	_, keys := k.stored(id)
	if len(keys.Epochs) != store.MaxEpochs || keys.Epoch(1) != nil || keys.Epoch(17) == nil || keys.Epoch(2) == nil {
		t.Fatalf("%d keys", len(keys.Epochs))
	}
	// The key that the record had until just now stays for its time.
	if n, err := k.DropKeys(t.Context(), k.caller, id); n != store.MaxEpochs-2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if _, keys = k.stored(id); len(keys.Epochs) != 2 || keys.Epoch(16) == nil {
		t.Fatalf("%d keys", len(keys.Epochs))
	}
	k.must(k.read(id))
}

func TestAMoveIsRefusedToOneWhoMayNotUpdateAllFields(t *testing.T) {
	k := setupKeyed(t)
	id := k.create(both)
	scoped := *k.caller
	scoped.Scope = &auth.Grant{Operations: []string{"decrypt", "read"}, Fields: []string{auth.AllFields}}
	_, err := k.Reseal(t.Context(), &scoped, &vault.ResealRequest{ID: id, Force: true})
	if err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Fatalf("%v", err)
	}
	if _, err := k.DropKeys(t.Context(), &scoped, id); err == nil {
		t.Error("keys dropped")
	}
	if _, err := k.Erased(t.Context(), &scoped, id); err == nil {
		t.Error("proof given")
	}
}
