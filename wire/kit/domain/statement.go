package domain

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"slices"
	"strings"

	"redoubt/wire/kit/sealed"
)

// Kind says what a vault key's statement states.
type Kind uint8

const (
	// Made states that the domain made the key, for this vault id.
	Made Kind = iota
	// Moved states the same of a vault that had a key of KMS's before. The enclave cannot know whose id such a key
	// was, so a caller believes it only for ids that it knows to have had one.
	Moved
)

var kindLabels = [2]string{Made: "redoubt/vault-key/v1\x00", Moved: "redoubt/vault-moved/v1\x00"}

const (
	resealLabel  = "redoubt/reseal/v1\x00"
	macLabel     = "redoubt/v1/domain-mac\x00"
	createdLabel = "redoubt/v1/domain-created\x00"
	openedLabel  = "redoubt/v1/domain\x00"
)

// keyStatement is the message that a statement signs.
func keyStatement(kind Kind, descriptor Hash, vaultID string, wrapped, public Hash) []byte {
	b := append([]byte(kindLabels[kind]), descriptor[:]...)
	b = append(appendL(b, vaultID), wrapped[:]...)
	return append(b, public[:]...)
}

// VerifyKey checks that the domain whose encoded descriptor is given made the key for the vault id, and that the
// wrapped key names this public key, this generation and a suite of the domain. The caller MUST have come to believe
// the descriptor by other means. Errors: [ErrDescriptor], [ErrVaultKey], [ErrStatement].
func VerifyKey(
	descriptor []byte, kind Kind, vaultID string, wrapped, public []byte, statement [SignatureSize]byte,
) error {
	d, err := ParseDescriptor(descriptor)
	if err != nil {
		return err
	}
	return d.VerifyKey(Sum(descriptor), kind, vaultID, wrapped, public, statement)
}

// VerifyKey is the function of this name, for a descriptor that was parsed before and its hash.
func (d *Descriptor) VerifyKey(
	descriptor Hash, kind Kind, vaultID string, wrapped, public []byte, statement [SignatureSize]byte,
) error {
	h, err := ParseHead(wrapped)
	if err != nil {
		return err
	}
	sum := Sum(public)
	if kind > Moved || !validVaultID(vaultID) || h.Generation != d.Generation || !d.Allows(h.Suite) ||
		len(public) != h.Suite.PublicSize() || !bytes.Equal(h.Public[:], sum[:publicHash]) ||
		!d.verify(keyStatement(kind, descriptor, vaultID, Sum(wrapped), sum), statement) {
		return ErrStatement
	}
	return nil
}

// SealedField is a field as it is stored, split as its encoding says ([sealed.ParseBlob], [sealed.JoinBlob]).
type SealedField struct {
	Name    string
	Enc, CT []byte
}

// Fields splits what was sealed in one write of encoding 4. Error: [ErrReseal] for a field of another form, or with the
// ref of another encapsulated key, which [HashRecord] does not cover.
func Fields(w sealed.Write) ([]SealedField, error) {
	all := make([]SealedField, 0, len(w.Fields))
	for name, raw := range w.Fields {
		ref, ct, err := sealed.ParseRef(raw)
		if err != nil || ref != sealed.RefOf(w.Enc) {
			return nil, ErrReseal
		}
		all = append(all, SealedField{name, w.Enc, ct})
	}
	return all, nil
}

// HashRecord is H(x) of the design: it commits to a vault's id, its wrapped key and its sealed fields, in any order.
// fields are sorted in place. Error: [ErrID] for ids and names that are empty or too long, names that are there twice,
// and more fields, or longer ones, than the encoding holds.
func HashRecord(vaultID string, wrapped []byte, fields []SealedField) (Hash, error) {
	const most = 1<<16 - 1
	if !validVaultID(vaultID) || len(wrapped) > most || len(fields) > most {
		return Hash{}, ErrID
	}
	slices.SortFunc(fields, func(a, b SealedField) int { return strings.Compare(a.Name, b.Name) })
	b := appendL(appendL(nil, vaultID), wrapped)
	b = binary.BigEndian.AppendUint16(b, uint16(len(fields)))
	last := ""
	for _, f := range fields {
		if f.Name == last || len(f.Name) > sealed.MaxName || len(f.Enc) > most { // an empty name comes first
			return Hash{}, ErrID
		}
		last = f.Name
		sum := sha512.New384() // takes a field of megabytes without a copy
		_, _ = sum.Write(appendL(nil, f.Enc))
		_, _ = sum.Write(f.CT)
		b = sum.Sum(appendL(b, f.Name))
	}
	return Sum(b), nil
}

func resealStatement(descriptor, old, fresh Hash) []byte {
	b := append([]byte(resealLabel), descriptor[:]...)
	return append(append(b, old[:]...), fresh[:]...)
}

// SignReseal states that the fields of the record that fresh hashes are those of the record that old hashes. The
// enclave signs it only after it has opened all of the old ones and sealed them itself.
func (k *Keys) SignReseal(old, fresh Hash) [SignatureSize]byte {
	return k.sign(resealStatement(k.hash, old, fresh))
}

// VerifyReseal checks a reseal's statement. descriptor is the hash of d. Error: [ErrReseal].
func (d *Descriptor) VerifyReseal(descriptor, old, fresh Hash, statement [SignatureSize]byte) error {
	if !d.verify(resealStatement(descriptor, old, fresh), statement) {
		return ErrReseal
	}
	return nil
}

// MACInput is what the API's KMS key authenticates of a domain that it came to believe.
func MACInput(descriptor Hash) []byte { return append([]byte(macLabel), descriptor[:]...) }

// CreatedUserData is the user data of the attestation document of an enclave that created the domain. configuration is
// the digest of its measured file.
func CreatedUserData(configuration [32]byte, descriptor Hash) []byte {
	return append(append([]byte(createdLabel), configuration[:]...), descriptor[:]...)
}

// OpenedUserData is that of an enclave that opened the domain. It means less: see [OpenKeys].
func OpenedUserData(configuration [32]byte, descriptor Hash) []byte {
	return append(append([]byte(openedLabel), configuration[:]...), descriptor[:]...)
}
