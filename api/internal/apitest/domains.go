package apitest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"slices"
	"sync"
	"time"

	"redoubt/api/internal/upstream"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// domainKey is the ARN of the KMS key that wraps the secrets of played domains.
const domainKey = "arn:aws:kms:us-east-1:000000000000:key/domains"

// Domains plays an enclave's part in domains: keys are really made, wrapped, stated and opened. As an enclave it knows
// a domain only once it was given its record, and then until Forget.
type Domains struct {
	// Unwrap opens a key of KMS's; nil: such a vault cannot be resealed.
	Unwrap func(r *upstream.Request) (sealed.Suite, *sealed.PrivateKey, error)
	// Random and Now are for ids and keys; nil: the true ones.
	Random io.Reader
	Now    func() time.Time
	// Lowest closes the generations below it for all but reseals.
	Lowest uint16

	mu       sync.Mutex
	dataKeys map[string][]byte // by their blob
	opened   map[domain.Hash]*domain.Keys
	calls    map[string]int
	fail     error
	tamper   func(any)
}

func (d *Domains) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened == nil {
		d.opened, d.dataKeys, d.calls = map[domain.Hash]*domain.Keys{}, map[string][]byte{}, map[string]int{}
	}
	f()
}

// Fail makes every call about domains end in err until it is nil again.
func (d *Domains) Fail(err error) { d.locked(func() { d.fail = err }) }

// Tamper lets f change each answer of Mint (a []parentapi.VaultKey) and Reseal (a *parentapi.Resealed), as a hostile
// parent may.
func (d *Domains) Tamper(f func(any)) { d.locked(func() { d.tamper = f }) }

// Calls says how often an operation was called: Mint, Reseal, Decrypt, Record.
func (d *Domains) Calls(operation string) (n int) {
	d.locked(func() { n = d.calls[operation] })
	return n
}

// Forget makes the enclave know no domain, as one that was started anew.
func (d *Domains) Forget() { d.locked(func() { clear(d.opened) }) }

func (d *Domains) random() io.Reader {
	if d.Random != nil {
		return d.Random
	}
	return rand.Reader
}

// Make returns the record of a new generation of a domain, whose first suite is the default.
func (d *Domains) Make(id string, generation uint16, suites ...sealed.Suite) ([]byte, error) {
	var ds [domain.SecretSize]byte
	var dataKey, blob [domain.DataKeySize]byte
	var salt [domain.SaltSize]byte
	for _, b := range [][]byte{ds[:], dataKey[:], blob[:], salt[:]} {
		if _, err := io.ReadFull(d.random(), b); err != nil {
			return nil, err
		}
	}
	described, err := domain.Describe(ds[:], id, generation, 1, suites, nil)
	if err != nil {
		return nil, err
	}
	w, err := domain.SealSecret(dataKey[:], salt, domain.Sum(described), domainKey, blob[:], ds[:])
	if err != nil {
		return nil, err
	}
	d.locked(func() { d.dataKeys[string(blob[:])] = dataKey[:] })
	return (&domain.Record{Descriptor: described, Wraps: []domain.Wrap{w}}).Append(nil)
}

// open opens a domain record, as an enclave does with KMS.
func (d *Domains) open(record []byte) (*domain.Keys, error) {
	r, _, err := domain.ParseRecord(record)
	if err != nil {
		return nil, &upstream.Error{Code: wire.BadRequest}
	}
	for i := range r.Wraps {
		ds := make([]byte, domain.SecretSize)
		dataKey := d.dataKeys[string(r.Wraps[i].DataKey)]
		if dataKey == nil || r.Wraps[i].Open(ds, dataKey, domain.Sum(r.Descriptor)) != nil {
			continue
		}
		return domain.OpenKeys(r.Descriptor, ds)
	}
	return nil, &upstream.Error{Code: wire.KeyDenied}
}

// keys returns the keys of a domain. For one that it does not know it asks for the record, once.
func (d *Domains) keys(ctx context.Context, operation string, h domain.Hash, give upstream.Records) (
	k *domain.Keys, err error,
) {
	d.locked(func() {
		d.calls[operation]++
		k, err = d.opened[h], d.fail
	})
	if k != nil || err != nil {
		return k, err
	}
	unknown := &upstream.Error{Code: wire.DomainUnknown}
	if give == nil {
		return nil, unknown
	}
	record, err := give(ctx, h)
	if err != nil {
		return nil, err
	}
	d.locked(func() {
		d.calls["Record"]++
		if k, err = d.open(record); err == nil {
			d.opened[k.Hash()] = k
		}
		k = d.opened[h]
	})
	if k == nil && err == nil {
		err = unknown
	}
	return k, err
}

func (d *Domains) suite(k *domain.Keys, name string) (sealed.Suite, error) {
	if name == "" {
		return k.Descriptor().Default(), nil
	}
	for _, s := range k.Descriptor().Suites {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, &upstream.Error{Code: wire.BadRequest}
}

// Mint implements vault.Enclave.
func (d *Domains) Mint(ctx context.Context, m *upstream.Mint) ([]parentapi.VaultKey, error) {
	k, err := d.keys(ctx, "Mint", m.Domain, m.Records)
	if err != nil {
		return nil, err
	}
	suite, err := d.suite(k, m.Suite)
	switch {
	case err != nil:
		return nil, err
	case m.Count < 1 || m.Count > parentapi.MaxMint:
		return nil, &upstream.Error{Code: wire.BadRequest}
	case k.Descriptor().Generation < d.Lowest:
		return nil, &upstream.Error{Code: wire.GenerationClosed}
	}
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	out := make([]parentapi.VaultKey, m.Count)
	for i := range out {
		id := pksuid.New("v", now())
		made, err := k.Mint(d.random(), domain.Made, id, suite, 1)
		if err != nil {
			return nil, err
		}
		out[i] = vaultKey(id, &made)
	}
	d.changed(out)
	return out, nil
}

func (d *Domains) changed(answer any) {
	var f func(any)
	d.locked(func() { f = d.tamper })
	if f != nil {
		f(answer)
	}
}

func vaultKey(id string, m *domain.Minted) parentapi.VaultKey {
	return parentapi.VaultKey{
		VaultID: id, WrappedKey: m.Wrapped, PublicKey: m.Public, Statement: slices.Clone(m.Statement[:]),
	}
}

// private opens the key of a vault, whatever its kind.
func (d *Domains) private(ctx context.Context, operation string, r *upstream.Request) (
	suite sealed.Suite, key *sealed.PrivateKey, err error,
) {
	if r.Domain == nil {
		if d.Unwrap == nil {
			return 0, nil, &upstream.Error{Code: wire.KeyDenied}
		}
		return d.Unwrap(r)
	}
	k, err := d.keys(ctx, operation, domain.Hash(r.Domain), r.Records)
	if err != nil {
		return 0, nil, err
	}
	if operation == "Decrypt" && k.Descriptor().Generation < d.Lowest {
		return 0, nil, &upstream.Error{Code: wire.GenerationClosed}
	}
	key, err = k.Open(nil, r.VaultID, r.WrappedKey)
	if err != nil {
		return 0, nil, &upstream.Error{Code: wire.DecryptFailed}
	}
	return key.Suite(), key, nil
}

// Decrypt implements vault.Opener for vaults under a domain.
func (d *Domains) Decrypt(ctx context.Context, r *upstream.Request) (*upstream.Result, error) {
	suite, key, err := d.private(ctx, "Decrypt", r)
	if err != nil {
		return nil, err
	}
	if r.Domain != nil {
		defer key.Destroy()
	}
	return openRequest(suite, key, r, access(r))
}

// Reseal implements vault.Enclave.
func (d *Domains) Reseal(ctx context.Context, r *upstream.Reseal) (*parentapi.Resealed, error) {
	suite, old, err := d.private(ctx, "Reseal", r.Old)
	if err != nil {
		return nil, err
	}
	to, err := d.keys(ctx, "Reseal", r.To, r.Old.Records)
	if err != nil {
		return nil, err
	}
	kind := domain.Moved
	if r.Old.Domain != nil {
		kind = domain.Made
		if head, err := domain.ParseHead(r.Old.WrappedKey); err != nil || head.Epoch >= r.Epoch {
			return nil, &upstream.Error{Code: wire.BadRequest}
		}
	}
	next, err := d.suite(to, r.Suite)
	if err != nil {
		return nil, err
	}
	plain, from, unopened := map[string][]byte{}, []domain.SealedField{}, []string{}
	for name, blob := range r.Old.Fields {
		value, err := openField(suite, old, r.Old, name, blob)
		if err != nil {
			unopened = append(unopened, name)
			continue
		}
		split, err := splitField(suite, r.Old, blob)
		if err != nil {
			return nil, err
		}
		plain[name], from = value, append(from, domain.SealedField{Name: name, Enc: split.Enc, CT: split.CT})
	}
	if len(unopened) > 0 {
		return nil, &upstream.Error{Code: wire.DecryptFailed, Fields: unopened}
	}
	made, key, err := to.MintKey(d.random(), kind, r.Old.VaultID, next, r.Epoch)
	if err != nil {
		return nil, &upstream.Error{Code: wire.BadRequest}
	}
	defer key.Destroy()
	w, err := sealed.SealRefs(next, key.Public(), r.Old.VaultID, plain)
	if err != nil {
		return nil, err
	}
	out := &parentapi.Resealed{Key: vaultKey(r.Old.VaultID, &made), Encs: map[string][]byte{}, Fields: w.Fields}
	if len(w.Fields) > 0 {
		ref := sealed.RefOf(w.Enc)
		out.Encs[hex.EncodeToString(ref[:])] = w.Enc
	}
	fields, err := domain.Fields(w)
	if err != nil {
		return nil, err
	}
	before, err := domain.HashRecord(r.Old.VaultID, r.Old.WrappedKey, from)
	if err != nil {
		return nil, err
	}
	after, err := domain.HashRecord(r.Old.VaultID, made.Wrapped, fields)
	if err != nil {
		return nil, err
	}
	statement := to.SignReseal(before, after)
	out.Statement = statement[:]
	d.changed(out)
	return out, nil
}
