package keys

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// This file makes domains and wraps. Both are rare, and wait for KMS. Every secret on the way lies in locked memory,
// and is wiped before the answer is given.

// NewDomain says what is to be created. Its contents are untrusted.
type NewDomain struct {
	ID         string
	Generation uint16
	// Suites are those of vaults, Requests those of request keys, in a descriptor's order.
	Suites, Requests []sealed.Suite
	// DataKeys has one for each wrap.
	DataKeys []DataKey
}

// DataKey is KMS's ciphertext of a data key for a domain, and the key under which KMS made it.
type DataKey struct {
	KeyARN  string
	Wrapped []byte
}

// CreateDomain makes the secret of a new generation of a domain and returns its record, and the hash of its descriptor.
// It asks KMS once for each data key, and blocks until then or until ctx ends. The domain is not open afterwards, and
// the record is not known to this enclave any more. Errors are *wire.Error: bad_request for values that no domain may
// have, key_denied if the domain's rule or KMS does not allow it, overloaded beyond the rule's creations, those of KMS,
// internal if a generator fails.
func (c *Cache) CreateDomain(ctx context.Context, n NewDomain, by Credentials) (
	record []byte, descriptor domain.Hash, err error,
) {
	if err := c.judge(&n); err != nil {
		return nil, descriptor, err
	}
	ctx, end, err := c.turn(ctx)
	if err != nil {
		return nil, descriptor, err
	}
	defer end()
	var dks []*secret.Buffer
	defer func() {
		for _, dk := range dks {
			dk.Destroy()
		}
	}()
	for _, k := range n.DataKeys {
		dk, err := c.dataKey(ctx, n.ID, n.Generation, k.KeyARN, k.Wrapped, by)
		if err != nil {
			return nil, descriptor, c.failure(err)
		}
		dks = append(dks, dk)
	}
	if c.closed.Load() {
		return nil, descriptor, errShuttingDown
	}
	secret.Do(func() { record, descriptor, err = c.newRecord(&n, dks) })
	return record, descriptor, err
}

// judge says whether the domain may be created, before KMS is asked.
func (c *Cache) judge(n *NewDomain) error {
	d := &c.domains
	if d.cfg.Opener == nil || d.cfg.Hardware == nil {
		return errDenied
	}
	if !domain.ValidID(n.ID) || n.Generation == 0 || !domain.ValidSuites(n.Suites, n.Requests) || len(n.DataKeys) == 0 {
		return errBadRecord
	}
	rule := d.cfg.Rule(n.ID)
	if rule.Denied || n.Generation < rule.Lowest || !rule.allows(n.Suites...) || !rule.allows(n.Requests...) {
		return errDenied
	}
	for i, k := range n.DataKeys {
		if err := d.judgeKey(k); err != nil {
			return err
		}
		if slices.ContainsFunc(n.DataKeys[:i], func(had DataKey) bool { return had.KeyARN == k.KeyARN }) {
			return errBadRecord
		}
	}
	return rule.create()
}

// judgeKey says whether a wrap under the data key may be made.
func (d *domains) judgeKey(k DataKey) error {
	switch {
	case len(k.Wrapped) == 0 || len(k.Wrapped) > domain.MaxDataKey:
		return errBadRecord
	case !slices.Contains(d.cfg.KeyARNs, k.KeyARN):
		return errDenied
	}
	return nil
}

// create takes one of the creations that the rule allows.
func (r *DomainRule) create() error {
	const longest = time.Hour
	if r.Denied || r.Creations == nil {
		return errDenied
	}
	turn := r.Creations.Reserve()
	wait := turn.Delay()
	if turn.OK() && wait == 0 {
		return nil
	}
	turn.Cancel()
	return &wire.Error{Code: wire.Overloaded, RetryAfterMS: uint32(max(1, min(wait, longest).Milliseconds()))}
}

// newRecord makes secret, descriptor and wraps. It answers only with a record whose wraps it has opened again.
func (c *Cache) newRecord(n *NewDomain, dks []*secret.Buffer) (record []byte, descriptor domain.Hash, err error) {
	mem, err := secret.New(3 * domain.SecretSize) // the secret, and both random values
	if err != nil {
		return nil, descriptor, errInternal
	}
	defer mem.Destroy()
	ds, hardware := mem.Bytes()[:domain.SecretSize], mem.Bytes()[domain.SecretSize:2*domain.SecretSize]
	system := mem.Bytes()[2*domain.SecretSize:]
	if _, err := rand.Read(system); err != nil || c.domains.cfg.Hardware(hardware) != nil {
		return nil, descriptor, errInternal
	}
	keys := make([][]byte, len(dks))
	for i, dk := range dks {
		keys[i] = dk.Bytes()
	}
	if domain.NewSecret(ds, hardware, system, keys, n.ID, n.Generation) != nil {
		return nil, descriptor, errInternal
	}
	rec := &domain.Record{}
	rec.Descriptor, err = domain.Describe(ds, n.ID, n.Generation, uint64(time.Now().UnixMilli()), n.Suites, n.Requests)
	if err != nil {
		return nil, descriptor, errInternal
	}
	for i, k := range n.DataKeys {
		if err := addWrap(rec, k, keys[i], ds); err != nil {
			return nil, descriptor, err
		}
	}
	record, err = rec.Append(nil)
	if err != nil {
		return nil, descriptor, errBadRecord // too many wraps, or too long
	}
	return record, domain.Sum(rec.Descriptor), nil
}

// addWrap appends a wrap of ds under the data key, once it has seen that the wrap opens to the descriptor's secret.
func addWrap(rec *domain.Record, k DataKey, dk, ds []byte) error {
	var salt [domain.SaltSize]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return errInternal
	}
	descriptor := domain.Sum(rec.Descriptor)
	w, err := domain.SealSecret(dk, salt, descriptor, k.KeyARN, k.Wrapped, ds)
	if err != nil {
		return errInternal
	}
	again, err := secret.New(domain.SecretSize)
	if err != nil {
		return errInternal
	}
	defer again.Destroy()
	if w.Open(again.Bytes(), dk, descriptor) != nil {
		return errInternal
	}
	opened, err := domain.OpenKeys(rec.Descriptor, again.Bytes())
	if err != nil {
		return errInternal
	}
	opened.Destroy()
	rec.Wraps = append(rec.Wraps, w)
	return nil
}

// WrapDomain opens a record afresh, whatever is open or was refused, and returns it with one wrap more, under a data
// key that KMS made for this domain. Without a data key it returns the record as it is: then it has shown that the
// record opens. A wrap lets the domain be opened under one more KMS key, so it is allowed where domains may be created,
// and counts as one. Errors are those of [Cache.CreateDomain] and [Cache.OpenDomain].
func (c *Cache) WrapDomain(ctx context.Context, record []byte, k *DataKey, by Credentials) ([]byte, error) {
	d := &c.domains
	if d.cfg.Opener == nil {
		return nil, errDenied
	}
	rec, desc, err := domain.ParseRecord(record)
	if err != nil {
		return nil, errBadRecord
	}
	rule := d.cfg.Rule(desc.ID)
	if rule.Denied {
		return nil, errDenied
	}
	if k == nil {
		return record, c.useSecret(ctx, rec, desc, by, func([]byte) error { return nil })
	}
	if rec.Find(k.KeyARN) != nil {
		return nil, errBadRecord
	}
	if err := d.judgeKey(*k); err != nil {
		return nil, err
	}
	if err := rule.create(); err != nil {
		return nil, err
	}
	dk, err := c.newDataKey(ctx, desc, *k, by)
	if err != nil {
		return nil, c.failure(err)
	}
	defer dk.Destroy()
	more := &domain.Record{Descriptor: rec.Descriptor, Wraps: slices.Clone(rec.Wraps)}
	err = c.useSecret(ctx, rec, desc, by, func(ds []byte) error { return addWrap(more, *k, dk.Bytes(), ds) })
	if err != nil {
		return nil, err
	}
	out, err := more.Append(nil)
	if err != nil {
		return nil, errBadRecord
	}
	return out, nil
}

func (c *Cache) newDataKey(
	ctx context.Context, desc *domain.Descriptor, k DataKey, by Credentials,
) (*secret.Buffer, error) {
	ctx, end, err := c.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return c.dataKey(ctx, desc.ID, desc.Generation, k.KeyARN, k.Wrapped, by)
}

// useSecret opens a record and lends its secret.
func (c *Cache) useSecret(
	ctx context.Context, rec *domain.Record, desc *domain.Descriptor, by Credentials, use func(ds []byte) error,
) error {
	opened, _, _, err := c.openRecord(ctx, rec, desc, by, use)
	if err != nil {
		return c.failure(err)
	}
	opened.Destroy()
	if c.closed.Load() {
		return errShuttingDown
	}
	return nil
}
