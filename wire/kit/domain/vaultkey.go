package domain

import (
	"encoding/binary"
	"io"

	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

const (
	// HeadSize is the size of the head of a wrapped vault key.
	HeadSize = 54
	// MaxVaultKey is the largest wrapped vault key.
	MaxVaultKey = HeadSize + sealed.MaxPrivateSize + sealed.TagSize
	// MaxVaultID is the longest vault id in bytes.
	MaxVaultID = 256
	// Mark is the first byte of a wrapped vault key. KMS's ciphertexts begin with another.
	Mark = 0xD1

	keySalt    = 16
	publicHash = 32
)

// Head says of a wrapped vault key what everybody may know.
type Head struct {
	Suite      sealed.Suite
	Generation uint16
	// Epoch counts the keys that a vault has had, from 1.
	Epoch uint16
	Salt  [keySalt]byte
	// Public is the beginning of the public key's SHA-384.
	Public [publicHash]byte
}

func (h *Head) append(dst []byte) []byte {
	dst = append(dst, Mark, byte(h.Suite))
	dst = binary.BigEndian.AppendUint16(dst, h.Generation)
	dst = binary.BigEndian.AppendUint16(dst, h.Epoch)
	return append(append(dst, h.Salt[:]...), h.Public[:]...)
}

// ParseHead reads the head of a wrapped vault key, and checks the size of the whole. Error: [ErrVaultKey].
func ParseHead(wrapped []byte) (Head, error) {
	r := reader{rest: wrapped}
	if r.u8() != Mark {
		return Head{}, ErrVaultKey
	}
	h := Head{Suite: sealed.Suite(r.u8()), Generation: r.u16(), Epoch: r.u16()}
	copy(h.Salt[:], r.take(keySalt))
	copy(h.Public[:], r.take(publicHash))
	if r.failed || !h.Suite.Valid() || h.Generation == 0 || h.Epoch == 0 ||
		len(r.rest) != h.Suite.PrivateSize()+sealed.TagSize {
		return Head{}, ErrVaultKey
	}
	return h, nil
}

// Minted is a key that was made for a vault.
type Minted struct {
	// Wrapped is the private key, stored as _sk. Public is the public key, serialized, stored as _pk.
	Wrapped, Public []byte
	// Statement says that the domain made the key for this vault id; it is stored as _ks.
	Statement [SignatureSize]byte
}

// mintRandom is what Mint draws: 32 bytes for the key, then the salt of its wrap.
const mintRandom = 32 + keySalt

// Mint makes a key for a vault id. random MUST be a cryptographic generator; if it fails to be random, K_seed still
// keeps the key secret, but the same values then give the same key. The statement is of kind [Made], or [Moved] for a
// vault that had a key of KMS's. Errors: [ErrID], [ErrSuite], [ErrEpoch], or that of random.
func (k *Keys) Mint(random io.Reader, kind Kind, vaultID string, s sealed.Suite, epoch uint16) (Minted, error) {
	m, key, err := k.MintKey(random, kind, vaultID, s, epoch)
	if err == nil {
		key.Destroy()
	}
	return m, err
}

// MintKey is Mint, and also returns the private key, which the caller MUST Destroy.
func (k *Keys) MintKey(random io.Reader, kind Kind, vaultID string, s sealed.Suite, epoch uint16) (
	m Minted, key *sealed.PrivateKey, err error,
) {
	switch {
	case !validVaultID(vaultID):
		return Minted{}, nil, ErrID
	case !k.descriptor.Allows(s):
		return Minted{}, nil, ErrSuite
	case epoch == 0:
		return Minted{}, nil, ErrEpoch
	}
	secret.Do(func() { m, key, err = k.mint(random, kind, vaultID, s, epoch) })
	return m, key, err
}

func (k *Keys) mint(random io.Reader, kind Kind, vaultID string, s sealed.Suite, epoch uint16) (
	Minted, *sealed.PrivateKey, error,
) {
	var buf [mintRandom + 2*sealed.MaxPrivateSize]byte
	defer secret.Wipe(buf[:])
	drawn, rest := buf[:mintRandom], buf[mintRandom:]
	if _, err := io.ReadFull(random, drawn); err != nil {
		return Minted{}, nil, err
	}
	ikm, raw := rest[:s.PrivateSize()], rest[sealed.MaxPrivateSize:][:s.PrivateSize()]
	prk := extract(drawn[:32], k.key(keySeed))
	defer secret.Wipe(prk)
	info := appendL(append([]byte("seed"), byte(s)), vaultID)
	expand(ikm, prk, string(binary.BigEndian.AppendUint16(info, epoch)))
	key, err := newKey(s, raw, ikm)
	if err != nil {
		return Minted{}, nil, err
	}
	public := key.Public().AppendPoint(nil)
	h := Head{Suite: s, Generation: k.descriptor.Generation, Epoch: epoch, Salt: [keySalt]byte(drawn[32:])}
	sum := Sum(public)
	copy(h.Public[:], sum[:])
	m := Minted{Wrapped: k.wrap(&h, vaultID, raw), Public: public}
	m.Statement = k.sign(keyStatement(kind, k.hash, vaultID, Sum(m.Wrapped), sum))
	return m, key, nil
}

// wrap seals a serialized key under K_vault. The whole head is in the message key's derivation, so a salt that comes
// again cannot give the same key and nonce for another key.
func (k *Keys) wrap(h *Head, vaultID string, raw []byte) []byte {
	out := h.append(make([]byte, 0, HeadSize+len(raw)+sealed.TagSize))
	m, aad := k.keyMessage(out[:HeadSize], vaultID)
	return m.seal(out, raw, aad)
}

func (k *Keys) keyMessage(head []byte, vaultID string) (oneMessage, []byte) {
	info := append(appendL([]byte("wrap"), vaultID), head...)
	aad := appendL(appendL(append([]byte(nil), head...), k.descriptor.ID), vaultID)
	return newOneMessage(k.key(keyVault), string(info)), aad
}

// Open unwraps a vault key and compares its public key with the head's. It also copies the serialized key,
// [sealed.Suite.PrivateSize] bytes, to raw if that is not nil. The caller MUST Destroy the key and wipe raw. Errors:
// [ErrVaultKey], [ErrGeneration], [ErrSuite], [ErrUnwrap]; raw is then as it was.
func (k *Keys) Open(raw []byte, vaultID string, wrapped []byte) (*sealed.PrivateKey, error) {
	h, err := ParseHead(wrapped)
	switch {
	case err != nil:
		return nil, err
	case h.Generation != k.descriptor.Generation:
		return nil, ErrGeneration
	case !k.descriptor.Allows(h.Suite):
		return nil, ErrSuite
	case !validVaultID(vaultID):
		return nil, ErrUnwrap
	}
	var own [sealed.MaxPrivateSize]byte
	defer secret.Wipe(own[:])
	var key *sealed.PrivateKey
	secret.Do(func() {
		m, aad := k.keyMessage(wrapped[:HeadSize], vaultID)
		if plain, ok := m.open(own[:0], wrapped[HeadSize:], aad); ok {
			key, err = sealed.NewPrivateKey(h.Suite, plain)
		}
	})
	if key != nil {
		sum := Sum(key.Public().AppendPoint(nil))
		if [publicHash]byte(sum[:publicHash]) == h.Public {
			copy(raw, own[:h.Suite.PrivateSize()])
			return key, nil
		}
		key.Destroy()
	}
	return nil, ErrUnwrap
}

func validVaultID(id string) bool { return len(id) > 0 && len(id) <= MaxVaultID }
