package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/verified"
	"redoubt/wire"
	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/pksuid"
	"redoubt/wire/kit/sealed"
)

// KeyMode says where the keys of new vaults come from.
type KeyMode string

// The modes. Existing vaults of both kinds are served in the first two.
const (
	KeysKMS        KeyMode = "kms"         // KMS makes a key pair for each vault
	KeysDomain     KeyMode = "domain"      // the enclave makes them under a domain
	KeysDomainOnly KeyMode = "domain-only" // and a vault with a key of KMS's is refused
)

// KeyModes are the names of the modes.
func KeyModes() []string {
	return []string{string(KeysKMS), string(KeysDomain), string(KeysDomainOnly)}
}

// KeyConfig says which vaults are under a domain, and under which. Its zero value is a service that knows no domains.
type KeyConfig struct {
	Mode    KeyMode           // empty: KeysKMS
	Domains *domains.Registry // nil: the store has no place for domains
	Enclave Enclave           // makes and moves keys; needed with Domains
	// Domain is the id of the domain of new vaults, and of those that are moved from keys of KMS's.
	Domain string
	// WriteGeneration is the generation of Domain whose keys new vaults get. A vault of an earlier one gets a new key
	// before fields are written to it. 0: the highest that is active.
	WriteGeneration uint16
	// KeySuite is the name of the suite of new keys; empty: the domain's default.
	KeySuite string
	// MovedBefore bounds the vaults that may have had a key of KMS's: ids of an earlier time. Not in the future; zero:
	// there is none.
	MovedBefore time.Time
	// KeepEpochs is how long an older key of a vault is kept; 0: store.DefaultKeepEpochs.
	KeepEpochs time.Duration
	// EraseWindow is how long after an erasure the store itself can bring the keys back: DynamoDB's point-in-time
	// recovery. It is named in the audit entry of an erasure.
	EraseWindow time.Duration
	// Inline makes keys only while a request waits for them, for a host that stops the process between requests.
	Inline bool
}

// Errors about vaults under a domain. Those of the store pass as they are: store.ErrErased, store.ErrInconsistent,
// store.ErrEpochsFull, store.ErrNoDomains.
var (
	// ErrNotKeyed reports a vault with a key of KMS's where only keys of domains are allowed.
	ErrNotKeyed = errors.New("vault: the key was made by KMS, and the configuration allows keys of domains alone")
	// ErrRefused reports a mint or a move that the enclave refuses as such, which no caller can change.
	ErrRefused = errors.New("vault: the enclave refuses to make this key; do its release and its measured file allow it?")
	// ErrGenerationBack reports that the domain's highest generation is below one that was used.
	ErrGenerationBack = errors.New("vault: a generation of the domain that was used is no longer the highest; " +
		"was the table of domains restored from an older backup?")
)

func (c *KeyConfig) check(now time.Time) error {
	switch c.Mode {
	case "":
		c.Mode = KeysKMS
	case KeysKMS, KeysDomain, KeysDomainOnly:
	default:
		return errors.New("vault: unknown mode of keys")
	}
	if c.Domains != nil && c.Enclave == nil {
		return errors.New("vault: incomplete configuration")
	}
	if c.Mode != KeysKMS && (c.Domains == nil || !domain.ValidID(c.Domain)) {
		return errors.New("vault: keys under a domain need its id, and a store that keeps domains")
	}
	if c.KeepEpochs == 0 {
		c.KeepEpochs = store.DefaultKeepEpochs
	}
	if c.MovedBefore.After(now) {
		return ErrCutover
	}
	return nil
}

// refused tells the enclave's refusal of what the service asks for from one of what a caller asks for.
func refused(err error) error {
	var up *upstream.Error
	if errors.As(err, &up) && up.Code == wire.BadRequest {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// item is a vault as it was read: its record and, for one under a domain, its keys.
type item struct {
	*store.Record
	keys *store.Keys // nil: KMS made the key
}

// keyed reports whether the vault is under a domain.
func (i *item) keyed() bool { return i.Domain != nil }

// read reads a vault from the store.
func (s *Service) read(ctx context.Context, id string) (*item, error) {
	if s.cfg.Domains == nil {
		r, err := s.cfg.Store.Get(ctx, id)
		if err == nil && r.Domain != nil {
			err = store.ErrNoDomains
		}
		return &item{Record: r}, err
	}
	r, k, err := s.cfg.Store.GetKeyed(ctx, id)
	return &item{r, k}, err
}

// allowed refuses a vault with a key of KMS's where there are to be none. Error: [ErrNotKeyed].
func (s *Service) allowed(r *item) error {
	if s.cfg.Mode == KeysDomainOnly && !r.keyed() {
		return ErrNotKeyed
	}
	return nil
}

// believed is a vault's key that its domain made.
type believed struct {
	*store.Epoch
	domain *domains.Domain
	suite  sealed.Suite
}

// believe verifies that the vault's key was made by its domain, for this vault. [ErrKeyUnverified], domains.ErrUnknown,
// domains.ErrUntrusted.
func (s *Service) believe(ctx context.Context, r *item) (*believed, error) {
	k := r.keys.Epoch(r.Epoch)
	if k == nil || len(r.Domain) != domain.HashSize {
		return nil, ErrKeyUnverified
	}
	d, err := s.cfg.Domains.ByHash(ctx, domain.Hash(r.Domain))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	kinds := []domain.Kind{domain.Made}
	if s.mayHaveMoved(r.ID) {
		kinds = append(kinds, domain.Moved)
	}
	head, err := s.verifyStatement(d, kinds, r.ID, k)
	if err != nil {
		return nil, err
	}
	if id := head.Suite.ID(); string(id[:]) != string(r.Suite) || string(id[:]) != string(k.Suite) {
		return nil, ErrKeyUnverified
	}
	return &believed{k, d, head.Suite}, nil
}

// mayHaveMoved reports whether the vault of this id may have had a key of KMS's.
func (s *Service) mayHaveMoved(id string) bool {
	made, ok := pksuid.Time(prefix, id)
	return ok && made.Before(s.cfg.MovedBefore)
}

// verifyStatement verifies that the domain states one of the kinds of a key. A statement that was verified is
// remembered. Error: [ErrKeyUnverified].
func (s *Service) verifyStatement(d *domains.Domain, kinds []domain.Kind, id string, k *store.Epoch) (
	domain.Head, error,
) {
	head, err := domain.ParseHead(k.WrappedKey)
	if err != nil || len(k.Statement) != domain.SignatureSize {
		return head, ErrKeyUnverified
	}
	for _, kind := range kinds {
		sum := statementSum(d.Hash, kind, id, k)
		if s.stated.Has(sum) {
			return head, nil
		}
		signature := [domain.SignatureSize]byte(k.Statement)
		if d.Descriptor.VerifyKey(d.Hash, kind, id, k.WrappedKey, k.PublicKey, signature) == nil {
			s.stated.Add(sum)
			return head, nil
		}
	}
	return head, ErrKeyUnverified
}

// statementSum identifies everything that a statement and its verification depend on.
func statementSum(h domain.Hash, kind domain.Kind, id string, k *store.Epoch) verified.Sum {
	b := make([]byte, 0, 2048)
	b = append(append(b, h[:]...), byte(kind))
	for _, part := range [][]byte{[]byte(id), k.WrappedKey, k.PublicKey, k.Statement} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

// maxStated bounds the statements that are remembered as verified, 32 bytes each.
const maxStated = 65_536

// unnamed removes from blobs, and returns, the fields that name no encapsulated key of the record.
func unnamed(r *store.Record, blobs map[string][]byte) (broken []string) {
	for name, blob := range blobs {
		if ref, ok := refOf(blob); !ok || r.Encs[ref] == nil {
			broken = append(broken, name)
			delete(blobs, name)
		}
	}
	slices.Sort(broken)
	return broken
}

// under makes a request one for a vault under a domain. Each of its fields MUST name an encapsulated key of the record.
func (s *Service) under(up *upstream.Request, r *item, k *believed) {
	up.WrappedKey, up.Domain, up.Records = k.WrappedKey, r.Domain, s.cfg.Domains.Record
	up.Encs = make(map[string][]byte, len(r.Encs))
	for _, blob := range up.Fields {
		ref, _ := refOf(blob)
		up.Encs[ref] = r.Encs[ref]
	}
}

// refOf is the reference of the encapsulated key that a field names, as in a record.
func refOf(blob []byte) (string, bool) {
	ref, _, err := sealed.ParseRef(blob)
	return hex.EncodeToString(ref[:]), err == nil
}

// target is the generation that new keys are made in. It is looked up anew every targetFor.
type target struct {
	mu      sync.Mutex
	domain  *domains.Domain
	until   time.Time
	highest uint16
}

// targetFor is how long a generation is used after it was looked up: a new one is used by all processes after that.
const targetFor = 10 * time.Second

// current returns the domain of new keys. store.ErrNotFound, domains.ErrUntrusted, [ErrGenerationBack].
func (s *Service) current(ctx context.Context) (*domains.Domain, error) {
	t := &s.target
	t.mu.Lock()
	defer t.mu.Unlock()
	now := s.cfg.Now()
	if t.domain != nil && now.Before(t.until) {
		return t.domain, nil
	}
	d, err := s.generation(ctx, s.cfg.Domain)
	if err != nil {
		return nil, err
	}
	if d.Descriptor.Generation < t.highest {
		return nil, ErrGenerationBack
	}
	t.domain, t.until, t.highest = d, now.Add(targetFor), d.Descriptor.Generation
	return d, nil
}

// generation returns the generation of a domain in which its vaults get new keys.
func (s *Service) generation(ctx context.Context, id string) (d *domains.Domain, err error) {
	if s.cfg.WriteGeneration > 0 && id == s.cfg.Domain {
		d, err = s.cfg.Domains.Get(ctx, id, s.cfg.WriteGeneration)
		if err == nil && d.State != domains.StateActive {
			err = domains.ErrRetired
		}
	} else {
		d, err = s.cfg.Domains.Current(ctx, id)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = domains.ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("vault: domain %s: %w", id, err)
	}
	return d, nil
}
