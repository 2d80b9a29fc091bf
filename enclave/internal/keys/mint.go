package keys

import (
	"crypto/rand"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
)

// Domain is an open domain in which keys are made. It MUST be released exactly once. Until then its keys stay in
// memory, also if it is purged or evicted meanwhile: hold it as long as it takes to make the keys of one answer.
type Domain struct {
	o *openDomain
	c *Cache
}

// Domain returns an open domain for making keys of the suite; 0 stands for the domain's default. Errors are
// *wire.Error: domain_unknown, generation_closed below the lowest generation of its rule, key_denied for a suite that
// the descriptor or the rule does not allow.
func (c *Cache) Domain(name DomainName, s sealed.Suite, by Credentials) (Domain, sealed.Suite, error) {
	if c.closed.Load() {
		return Domain{}, 0, errShuttingDown
	}
	o := c.findDomain(name, by)
	if o == nil {
		return Domain{}, 0, errDomainUnknown
	}
	desc := o.keys.Descriptor()
	if s == 0 {
		s = desc.Default()
	}
	var err error
	switch {
	case desc.Generation < o.rule.Lowest:
		err = errGenerationClosed
	case !desc.Allows(s) || !o.rule.allows(s):
		err = errDenied
	}
	if err != nil {
		o.release()
		return Domain{}, 0, err
	}
	return Domain{o, c}, s, nil
}

// Closed reports whether the domain was purged, denied or evicted since it was lent: then nothing that it made may be
// answered any more.
func (d Domain) Closed() bool { return d.o.dead.Load() }

// Release gives the domain back.
func (d Domain) Release() { d.o.release() }

// Mint makes a key of a new vault.
func (d Domain) Mint(vaultID string, s sealed.Suite) (domain.Minted, error) {
	return d.o.keys.Mint(rand.Reader, domain.Made, vaultID, s, 1)
}

// Takes says whether the vault of a key may be resealed into the domain, with a key of the epoch, and of which kind the
// new key's statement is. A vault in a domain stays under its domain id, in its generation or a higher one, and its
// epoch rises. One with a key of KMS's goes where the configuration lets that KMS key's vaults go. k may be no key yet,
// for a request that names no domain. Error: *wire.Error: key_denied,
// bad_request for the epoch, domain_unknown if the old domain was closed meanwhile.
func (d Domain) Takes(k Key, r *Request, epoch uint16) (domain.Kind, error) {
	to := d.o.keys.Descriptor()
	if r.Domain == nil {
		if !d.c.domains.cfg.Moves(r.KeyARN, to.ID) {
			return 0, errDenied
		}
		return domain.Moved, nil
	}
	from := k.e.domain.keys.Descriptor()
	head, err := domain.ParseHead(k.e.wrapped)
	switch {
	case err != nil:
		return 0, errMalformedKey
	case from.ID != to.ID || to.Generation < from.Generation ||
		to.Generation == from.Generation && d.o.name != k.e.domain.name:
		return 0, errDenied
	case epoch <= head.Epoch:
		return 0, errBadRecord
	case k.e.domain.dead.Load():
		return 0, errDomainUnknown
	}
	return domain.Made, nil
}

// Resealed is what a reseal makes.
type Resealed struct {
	Key       domain.Minted
	Write     sealed.Write
	Statement [domain.SignatureSize]byte
}

// Reseal makes a key for a vault, seals the fields to it, and states that they are those of the record whose hash is
// old. The plaintexts are neither kept nor wiped. Nothing is answered for a domain that was closed meanwhile:
// domain_unknown. Other errors are those of package domain and [sealed.ErrSeal].
func (d Domain) Reseal(
	kind domain.Kind, vaultID string, s sealed.Suite, epoch uint16, old domain.Hash, fields map[string][]byte,
) (Resealed, error) {
	minted, key, err := d.o.keys.MintKey(rand.Reader, kind, vaultID, s, epoch)
	if err != nil {
		return Resealed{}, err
	}
	pk := key.Public()
	key.Destroy() // before anything can fail
	write, err := sealed.SealRefs(s, pk, vaultID, fields)
	if err != nil {
		return Resealed{}, err
	}
	split, err := domain.Fields(write)
	if err != nil {
		return Resealed{}, err
	}
	fresh, err := domain.HashRecord(vaultID, minted.Wrapped, split)
	if err != nil {
		return Resealed{}, err
	}
	if d.o.dead.Load() {
		return Resealed{}, errDomainUnknown
	}
	return Resealed{Key: minted, Write: write, Statement: d.o.keys.SignReseal(old, fresh)}, nil
}
