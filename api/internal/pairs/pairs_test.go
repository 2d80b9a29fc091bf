package pairs_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"redoubt/api/internal/pairs"
	"redoubt/api/internal/store"
	"redoubt/api/internal/store/memory"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
)

// world is a store with a domain and vaults under it. Each test takes something of it away.
type world struct {
	store.Store
	keys    map[string]func(*store.Keys) (*store.Keys, error)
	get     func(id string) error
	unnamed bool // the store has no domain
}

func (w *world) Keys(ctx context.Context, id string) (*store.Keys, error) {
	k, err := w.Store.Keys(ctx, id)
	if change := w.keys[id]; change != nil && err == nil {
		return change(k)
	}
	return k, err
}

func (w *world) Get(ctx context.Context, id string) (*store.Record, error) {
	if w.get != nil {
		if err := w.get(id); err != nil {
			return nil, err
		}
	}
	return w.Store.Get(ctx, id)
}

func (w *world) ListDomains(ctx context.Context, yield func(*store.Domain) error) error {
	if w.unnamed {
		return nil
	}
	return w.Store.ListDomains(ctx, yield)
}

const vaults = 3

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Store: memory.New(nil), keys: map[string]func(*store.Keys) (*store.Keys, error){}}
	ds := []byte(rand.Text() + rand.Text())[:domain.SecretSize]
	described, err := domain.Describe(ds, "acme", 1, 1, []sealed.Suite{sealed.XWing}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrap, err := domain.SealSecret(ds, [domain.SaltSize]byte{}, domain.Sum(described), "arn", []byte("blob"), ds)
	if err != nil {
		t.Fatal(err)
	}
	record, err := (&domain.Record{Descriptor: described, Wraps: []domain.Wrap{wrap}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := domain.OpenKeys(described, ds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Destroy)
	dh := keys.Hash()
	err = errors.Join(
		w.PutDomain(t.Context(), &store.Domain{ID: "acme", Generation: 1, Record: record, MAC: []byte("m")}, nil),
		w.Create(t.Context(), &store.Record{ID: "v_kms", WrappedKey: []byte("k"), PublicKey: []byte("p"), Modified: 1}, nil, nil))
	for i := range vaults {
		id := fmt.Sprintf("v_%d", i+1)
		kind := []domain.Kind{domain.Made, domain.Moved}[i%2]
		m, minted := keys.Mint(rand.Reader, kind, id, sealed.XWing, 1)
		err = errors.Join(err, minted, w.CreateKeyed(t.Context(), &store.Record{
			ID: id, Encoding: store.EncodingDomain, Domain: dh[:], Epoch: 1, Modified: 1,
		}, &store.Epoch{WrappedKey: m.Wrapped, PublicKey: m.Public, Statement: m.Statement[:], Suite: []byte("s")}, nil, nil))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRecordsAndKeysOfOneTimeBelongTogether(t *testing.T) {
	got, err := pairs.Check(t.Context(), newWorld(t))
	if err != nil || got.Records != vaults+1 || got.Keyed != vaults || got.Domains != 1 || len(got.Problems) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEachKindOfMismatchIsNamed(t *testing.T) {
	flip := func(b []byte, i int) []byte {
		b = slices.Clone(b)
		b[i] ^= 1
		return b
	}
	for kind, change := range map[pairs.Kind]func(*store.Keys) (*store.Keys, error){
		pairs.NoKeys:     func(*store.Keys) (*store.Keys, error) { return nil, store.ErrNotFound },
		pairs.Unreadable: func(*store.Keys) (*store.Keys, error) { return nil, store.ErrDamaged },
		pairs.Erased: func(k *store.Keys) (*store.Keys, error) {
			return &store.Keys{VaultID: k.VaultID, Erased: 1}, nil
		},
		pairs.NoEpoch: func(k *store.Keys) (*store.Keys, error) {
			k.Epochs[0].WrappedKey = flip(k.Epochs[0].WrappedKey, 5) // the epoch's last byte
			return k, nil
		},
		pairs.KeyChanged: func(k *store.Keys) (*store.Keys, error) {
			k.Epochs[0].PublicKey = flip(k.Epochs[0].PublicKey, 0)
			return k, nil
		},
		pairs.Unstated: func(k *store.Keys) (*store.Keys, error) {
			k.Epochs[0].Statement = flip(k.Epochs[0].Statement, 0)
			return k, nil
		},
	} {
		w := newWorld(t)
		w.keys["v_2"] = change
		got, err := pairs.Check(t.Context(), w)
		if err != nil || got.Records != vaults+1 || len(got.Problems) != 1 ||
			got.Problems[0] != (pairs.Problem{VaultID: "v_2", Kind: kind, Epoch: 1}) {
			t.Errorf("%s: %+v, %v", kind, got, err)
			continue
		}
		if line := got.Problems[0].String(); !strings.HasPrefix(line, "v_2: it") && kind != pairs.Unreadable {
			t.Errorf("%s: %q", kind, line)
		}
	}
}

// The statement is the key's, for the vault: another vault's key is of another vault, however whole it is.
func TestAnotherVaultsKeyIsNotThisVaults(t *testing.T) {
	w := newWorld(t)
	other, err := w.Store.Keys(t.Context(), "v_3")
	if err != nil {
		t.Fatal(err)
	}
	w.keys["v_1"] = func(*store.Keys) (*store.Keys, error) { return other, nil }
	got, err := pairs.Check(t.Context(), w)
	if err != nil || len(got.Problems) != 1 || got.Problems[0].Kind != pairs.Unstated {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWithoutItsDomainNoVaultOpens(t *testing.T) {
	w := newWorld(t)
	w.unnamed = true
	got, err := pairs.Check(t.Context(), w)
	if err != nil || got.Domains != 0 || len(got.Problems) != vaults || got.Problems[0].Kind != pairs.NoDomain {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestARecordThatCannotBeReadIsNamedAndHidesNoOther(t *testing.T) {
	w := newWorld(t)
	w.get = func(id string) error {
		if id == "v_2" {
			return store.ErrDamaged
		}
		return nil
	}
	got, err := pairs.Check(t.Context(), w)
	if err != nil || got.Records != vaults+1 || got.Keyed != vaults-1 || len(got.Problems) != 1 ||
		got.Problems[0].Kind != pairs.Unreadable {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAStoreThatDoesNotAnswerGivesNoVerdict(t *testing.T) {
	w := newWorld(t)
	w.get = func(string) error { return store.ErrUnavailable }
	if got, err := pairs.Check(t.Context(), w); !errors.Is(err, store.ErrUnavailable) || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// A write between the reads of the two items is no mismatch.
func TestAWriteMeanwhileIsReadAgain(t *testing.T) {
	w := newWorld(t)
	reads := 0
	w.keys["v_2"] = func(k *store.Keys) (*store.Keys, error) {
		if reads++; reads > 1 {
			return k, nil
		}
		err := w.Update(t.Context(), &store.Update{ID: "v_2", Revision: 1, Modified: 2, Keyed: true}, nil)
		return nil, errors.Join(err, store.ErrNotFound)
	}
	got, err := pairs.Check(t.Context(), w)
	if err != nil || len(got.Problems) != 0 || got.Records != vaults+1 || reads != 2 {
		t.Errorf("%+v, %v, %d reads", got, err, reads)
	}
}
