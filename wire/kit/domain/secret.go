package domain

import (
	"crypto/ed25519"
	"encoding/binary"
	"slices"

	circl "github.com/cloudflare/circl/sign/ed25519"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// NewSecret writes the secret of a new generation of a domain, [SecretSize] bytes, to dst. hardware are 32 bytes of the
// security module's generator, system 32 of the kernel's. dataKeys are those of all wraps, in the record's order. The
// secret is unknown to whoever lacks one of the three. Error: [ErrSecret] for other sizes, [ErrID].
func NewSecret(dst, hardware, system []byte, dataKeys [][]byte, id string, generation uint16) error {
	if len(dst) != SecretSize || len(hardware) != 32 || len(system) != 32 || len(dataKeys) == 0 || generation == 0 {
		return ErrSecret
	}
	if !ValidID(id) {
		return ErrID
	}
	ikm := make([]byte, 0, 32+len(dataKeys)*DataKeySize)
	defer func() { secret.Wipe(ikm[:cap(ikm)]) }()
	ikm = append(ikm, system...)
	for _, dk := range dataKeys {
		if len(dk) != DataKeySize {
			return ErrSecret
		}
		ikm = append(ikm, dk...)
	}
	prk := extract(hardware, ikm)
	defer secret.Wipe(prk)
	expand(dst, prk, string(binary.BigEndian.AppendUint16(appendL([]byte(secretLabel), id), generation)))
	return nil
}

// SealSecret makes a wrap: ds under the data key of arn, whose KMS ciphertext is blob. descriptor is the hash of the
// domain's descriptor. The salt MUST be random and new.
func SealSecret(dataKey []byte, salt [SaltSize]byte, descriptor Hash, arn string, blob, ds []byte) (Wrap, error) {
	if len(dataKey) != DataKeySize || len(ds) != SecretSize {
		return Wrap{}, ErrSecret
	}
	w := Wrap{ARN: arn, DataKey: slices.Clone(blob), Salt: salt}
	m := wrapMessage(dataKey, &w, descriptor)
	m.seal(w.Sealed[:0], ds, wrapAAD(descriptor, arn))
	return w, nil
}

// Open writes the domain's secret, [SecretSize] bytes, to dst. Error: [ErrWrap]; dst is then wiped.
func (w *Wrap) Open(dst, dataKey []byte, descriptor Hash) error {
	if len(dst) != SecretSize || len(dataKey) != DataKeySize {
		return ErrWrap
	}
	m := wrapMessage(dataKey, w, descriptor)
	if _, ok := m.open(dst[:0], w.Sealed[:], wrapAAD(descriptor, w.ARN)); !ok {
		secret.Wipe(dst)
		return ErrWrap
	}
	return nil
}

func wrapMessage(dataKey []byte, w *Wrap, descriptor Hash) oneMessage {
	prk := extract(w.Salt[:], dataKey)
	defer secret.Wipe(prk)
	return newOneMessage(prk, wrapLabel+string(descriptor[:]))
}

func wrapAAD(descriptor Hash, arn string) []byte { return appendL(slices.Clone(descriptor[:]), arn) }

// Keys are the keys that one generation of a domain's secret gives, in locked memory. Several goroutines may use them
// until Destroy. They print as [secret.Redacted].
type Keys struct {
	descriptor *Descriptor
	hash       Hash
	mem        *secret.Buffer
}

// The derived keys, in the order in which they lie in memory.
const (
	keyVault = iota
	keySeed
	keyIndex
	keyToken
	keyRequest
	derivedKeys

	derivedSize = HashSize
	keysSize    = derivedKeys*derivedSize + circl.PrivateKeySize
)

var keyNames = [derivedKeys]string{"vault", "seed", "index", "token", "request"}

// Describe makes the descriptor of a domain whose secret is ds. suites are those of vaults, requests those of request
// keys. Errors: [ErrDescriptor], [ErrSecret], those of locked memory.
func Describe(ds []byte, id string, generation uint16, createdMS uint64, suites, requests []sealed.Suite) (
	descriptor []byte, err error,
) {
	d := &Descriptor{Generation: generation, ID: id, CreatedMS: createdMS, Suites: slices.Clone(suites)}
	k, err := derive(d, ds)
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	d.Statements = k.statements()
	for _, s := range requests {
		sk, err := k.RequestKey(s)
		if err != nil {
			return nil, ErrDescriptor
		}
		d.Requests = append(d.Requests, RequestKey{Suite: s, Public: sk.Public().AppendPoint(nil)})
		sk.Destroy()
	}
	return d.Append(nil)
}

// OpenKeys derives a domain's keys from its secret, and compares them with the descriptor: the statement key and all
// request keys MUST be the derived ones, which commits the descriptor to the secret. That proves consistency, not
// origin: whoever may encrypt under the KMS key can make a record of a secret that he knows. ds is neither kept nor
// wiped. Errors: [ErrDescriptor], [ErrSecret], those of locked memory.
func OpenKeys(descriptor, ds []byte) (*Keys, error) {
	d, err := ParseDescriptor(descriptor)
	if err != nil {
		return nil, err
	}
	k, err := derive(d, ds)
	if err != nil {
		return nil, err
	}
	k.hash = Sum(descriptor)
	if !k.match() {
		k.Destroy()
		return nil, ErrSecret
	}
	return k, nil
}

func derive(d *Descriptor, ds []byte) (*Keys, error) {
	if len(ds) != SecretSize {
		return nil, ErrSecret
	}
	mem, err := secret.New(keysSize)
	if err != nil {
		return nil, err
	}
	k := &Keys{descriptor: d, mem: mem}
	secret.Do(func() {
		prk := extract([]byte(extractLabel), ds)
		defer secret.Wipe(prk)
		for i, name := range keyNames {
			expand(k.key(i), prk, label(name, d.ID, d.Generation))
		}
		var seed [circl.SeedSize]byte
		defer secret.Wipe(seed[:])
		expand(seed[:], prk, label("statement", d.ID, d.Generation))
		private := circl.NewKeyFromSeed(seed[:])
		copy(k.signer(), private)
		secret.Wipe(private)
	})
	return k, nil
}

func (k *Keys) match() bool {
	if k.statements() != k.descriptor.Statements {
		return false
	}
	for _, r := range k.descriptor.Requests {
		sk, err := k.RequestKey(r.Suite)
		if err != nil {
			return false
		}
		same := string(sk.Public().AppendPoint(nil)) == string(r.Public)
		sk.Destroy()
		if !same {
			return false
		}
	}
	return true
}

func (k *Keys) key(i int) []byte { return k.mem.Bytes()[i*derivedSize:][:derivedSize:derivedSize] }

func (k *Keys) signer() circl.PrivateKey { return k.mem.Bytes()[derivedKeys*derivedSize:] }

func (k *Keys) statements() [PublicSize]byte { return [PublicSize]byte(k.signer()[circl.SeedSize:]) }

// Descriptor returns the domain's descriptor, which MUST NOT be changed.
func (k *Keys) Descriptor() *Descriptor { return k.descriptor }

// Hash returns the hash of the descriptor.
func (k *Keys) Hash() Hash { return k.hash }

// RequestKey makes the private key of the suite to which callers seal requests. The caller MUST Destroy it. Error:
// [ErrSuite] for an unknown suite.
func (k *Keys) RequestKey(s sealed.Suite) (*sealed.PrivateKey, error) {
	if !s.Valid() {
		return nil, ErrSuite
	}
	var buf [2 * sealed.MaxPrivateSize]byte
	defer secret.Wipe(buf[:])
	ikm, raw := buf[:s.PrivateSize()], buf[sealed.MaxPrivateSize:][:s.PrivateSize()]
	expand(ikm, k.key(keyRequest), "request"+string([]byte{byte(s)}))
	return newKey(s, raw, ikm)
}

// newKey makes the key that ikm gives. raw has room for its serialized form, which it then holds.
func newKey(s sealed.Suite, raw, ikm []byte) (*sealed.PrivateKey, error) {
	if err := sealed.KeyFrom(s, raw, ikm); err != nil {
		return nil, err
	}
	return sealed.NewPrivateKey(s, raw)
}

func (k *Keys) sign(message []byte) [SignatureSize]byte {
	return [SignatureSize]byte(circl.Sign(k.signer(), message))
}

// verify is Ed25519 of RFC 8032, section 5.1.7, without the cofactor. Keys of small order were refused with the
// descriptor.
func (d *Descriptor) verify(message []byte, signature [SignatureSize]byte) bool {
	return ed25519.Verify(d.Statements[:], message, signature[:])
}

// Destroy wipes the keys. No other method may be running, and none but Descriptor and Hash may be called afterwards.
func (k *Keys) Destroy() { k.mem.Destroy() }
