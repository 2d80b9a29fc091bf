package store

import (
	"context"
	"crypto/sha512"
	"errors"
	"slices"
	"time"

	"redoubt/wire/kit/domain"
)

// These errors are about vaults under a domain and their keys.
var (
	// ErrErased reports a vault whose keys were erased. They, and its id, never come back.
	ErrErased = errors.New("store: the vault was erased")
	// ErrKeyed reports that a record is under a domain, and that the operation would leave its keys behind.
	ErrKeyed = errors.New("store: the record is under a domain: erase it, which removes its keys too")
	// ErrInconsistent reports a record whose key is not in its key item, also after both were read again.
	ErrInconsistent = errors.New("store: record and keys do not belong together; " +
		"was only one of the two brought back from a backup?")
	// ErrEpochsFull reports a key item that has MaxEpochs epochs, none of which may go yet.
	ErrEpochsFull = errors.New("store: the vault has as many keys as it may have; the oldest may go once it is old enough")
	// ErrEpochs reports epochs that are not in order, or an epoch that must stay.
	ErrEpochs = errors.New("store: epochs out of order, or one that is in use would go")
	// ErrNoDomains reports a store without a place for keys and domains.
	ErrNoDomains = errors.New("store: no tables for keys and domains are configured")
)

// EncodingDomain is the encoding of fields under a domain.
const EncodingDomain = 4

// Limits and defaults of vaults under a domain.
const (
	// MaxEpochs is the largest number of keys of one vault.
	MaxEpochs = 16
	// DefaultKeepEpochs is how long a key that is no longer a record's is kept: until then a backup of records from
	// before a reseal still opens.
	DefaultKeepEpochs = 90 * 24 * time.Hour
	// MaxDomainRecord is the largest domain record, in bytes.
	MaxDomainRecord = 16 << 10
)

// Epoch is one key of a vault under a domain. Its byte slices belong to the holder.
type Epoch struct {
	WrappedKey []byte // _sk; its head has the number
	PublicKey  []byte // _pk, raw
	Statement  []byte // _ks
	Suite      []byte // _hs, 10 bytes
	Created    int64  // ms since 1970
}

// Number is the epoch's number, from the head of the wrapped key. ok is false for a key that no domain wrapped.
func (e *Epoch) Number() (n uint16, ok bool) {
	head, err := domain.ParseHead(e.WrappedKey)
	return head.Epoch, err == nil
}

// Of reports whether the epoch is the one that r, which must be under a domain, names.
func (e *Epoch) Of(r *Record) bool {
	n, ok := e.Number()
	return ok && n == r.Epoch && r.Domain != nil
}

// Size is the number of bytes that the epoch takes, about.
func (e *Epoch) Size() int {
	return len(e.WrappedKey) + len(e.PublicKey) + len(e.Statement) + len(e.Suite)
}

// Keys is the key item of one vault: its epochs, or what is left of them after an erasure.
type Keys struct {
	VaultID  string
	Epochs   []Epoch  // newest first; at most MaxEpochs; none in a tombstone
	Revision int64    // of the key item; every change increases it
	ExpireAt int64    // as the record's, Unix seconds; 0: never. A tombstone never expires.
	Erased   int64    // ms since 1970; 0: not erased
	Digests  [][]byte // of a tombstone: the SHA-384 of each wrapped key that it had, newest first
}

// Expired reports whether the time to live has passed at now. A tombstone has none.
func (k *Keys) Expired(now time.Time) bool {
	return k.Erased == 0 && k.ExpireAt != 0 && k.ExpireAt <= now.Unix()
}

// Epoch returns the epoch of that number, or nil.
func (k *Keys) Epoch(n uint16) *Epoch {
	for i := range k.Epochs {
		if m, ok := k.Epochs[i].Number(); ok && m == n {
			return &k.Epochs[i]
		}
	}
	return nil
}

// Gone lists the epochs that may go at now: older than keep, not the newest, and not current, which is the record's.
func (k *Keys) Gone(now time.Time, keep time.Duration, current uint16) (out []uint16) {
	for i := 1; i < len(k.Epochs); i++ {
		n, _ := k.Epochs[i].Number()
		// An epoch was in use until the one after it was made.
		if n != current && now.Sub(time.UnixMilli(k.Epochs[i-1].Created)) >= keep {
			out = append(out, n)
		}
	}
	return out
}

// With returns the epochs after a reseal: add comes first, those in drop go. k may be nil, for a vault that has none.
// ErrEpochs, ErrEpochsFull.
func (k *Keys) With(add *Epoch, drop []uint16) ([]Epoch, error) {
	n, ok := add.Number()
	if !ok {
		return nil, ErrEpochs
	}
	out := []Epoch{*add}
	if k != nil {
		if len(k.Epochs) > 0 {
			if newest, ok := k.Epochs[0].Number(); !ok || newest >= n {
				return nil, ErrEpochs
			}
		}
		kept, err := k.Without(drop)
		if err != nil {
			return nil, err
		}
		out = append(out, kept...)
	}
	if len(out) > MaxEpochs {
		return nil, ErrEpochsFull
	}
	return out, nil
}

// Without returns the epochs but those in drop. The newest stays. ErrEpochs for the newest, or one that is not there.
func (k *Keys) Without(drop []uint16) ([]Epoch, error) {
	var out []Epoch
	for i := range k.Epochs {
		n, _ := k.Epochs[i].Number()
		if !slices.Contains(drop, n) {
			out = append(out, k.Epochs[i])
		} else if i == 0 {
			return nil, ErrEpochs
		}
	}
	if len(out)+len(drop) != len(k.Epochs) {
		return nil, ErrEpochs
	}
	return out, nil
}

// Sums are the SHA-384 of each wrapped key, newest first.
func (k *Keys) Sums() [][]byte {
	out := make([][]byte, len(k.Epochs))
	for i := range k.Epochs {
		sum := sha512.Sum384(k.Epochs[i].WrappedKey)
		out[i] = sum[:]
	}
	return out
}

// Together judges what an implementation found of a vault: its record, or found, which says why there is none, and its
// keys or tombstone. ErrErased, ErrInconsistent, or found.
func Together(r *Record, k *Keys, found error) error {
	switch {
	case errors.Is(found, ErrNotFound) && k != nil && k.Erased != 0:
		return ErrErased
	case found != nil:
		return found
	case k == nil || k.Epoch(r.Epoch) == nil:
		return ErrInconsistent
	}
	return nil
}

// Reseal replaces a record's key and all its fields.
type Reseal struct {
	Record   *Record  // as it is to be stored: with Domain, Epoch, Encs and all fields
	Revision int64    // the Modified that was read
	Keys     *Keys    // as read; nil: the vault has none, since its key was made by KMS
	Key      Epoch    // the new one, above all of Keys; its number is Record.Epoch
	Drop     []uint16 // epochs that go
}

// Domain is one generation of a domain.
type Domain struct {
	ID         string // [a-z0-9._-]{1,63}
	Generation uint16
	Record     []byte // descriptor and wraps; at most MaxDomainRecord bytes
	MAC        []byte
	State      string // a word of the registry's
	Revision   int64  // every change increases it
}

// Domains keeps vaults under domains, their keys and the domains. A record and its keys are in two places, and every
// write that is about both is one transaction, the audit entry included. Keys are never replaced: a put where a key
// is, or was and was erased, fails.
type Domains interface {
	// CreateKeyed stores a new record and its first key as [Store.Create] does. It returns ErrErased if a vault of that
	// id was erased, and ErrExists if its key item exists and has not expired.
	CreateKeyed(ctx context.Context, r *Record, k *Epoch, e *Entry, i *Idempotency) error
	// GetKeyed returns a record and its key item, which is nil if the record is not under a domain. Both are read in
	// one strongly consistent call. If the record's epoch is not in the key item, both are read once more, since a
	// write may have come between. ErrNotFound, ErrErased, ErrInconsistent, ErrDamaged.
	GetKeyed(ctx context.Context, id string) (*Record, *Keys, error)
	// Keys returns a key item or tombstone. ErrNotFound, ErrDamaged.
	Keys(ctx context.Context, id string) (*Keys, error)
	// Reseal changes a record at a revision, and adds the new key to the keys as they were read. The record's own new
	// revision is in it. ErrNotFound, ErrConflict, ErrErased, ErrEpochs, ErrEpochsFull.
	Reseal(ctx context.Context, r *Reseal, e *Entry) error
	// DropEpochs removes epochs of the keys as they were read, if the record still has the revision and uses none of
	// them. ErrNotFound, ErrConflict, ErrErased, ErrEpochs.
	DropEpochs(ctx context.Context, id string, revision int64, k *Keys, drop []uint16, e *Entry) error
	// Erase removes the record at the revision, and leaves of its keys, as they were read, a tombstone with at, in ms
	// since 1970. ErrNotFound, ErrConflict, ErrErased.
	Erase(ctx context.Context, id string, revision int64, k *Keys, at int64, e *Entry) error

	// PutDomain stores a generation of a domain. ErrExists, ErrTooLarge.
	PutDomain(ctx context.Context, d *Domain, e *Entry) error
	// UpdateDomain replaces record, MAC and state of a generation at the revision that d has. ErrNotFound, ErrConflict,
	// ErrTooLarge.
	UpdateDomain(ctx context.Context, d *Domain, e *Entry) error
	// Domain returns a generation. ErrNotFound, ErrDamaged.
	Domain(ctx context.Context, id string, generation uint16) (*Domain, error)
	// ListDomains calls yield with each generation of each domain, in no order that is promised. One that cannot be read
	// is left out, and counted as damaged.
	ListDomains(ctx context.Context, yield func(*Domain) error) error
}
