package sealed

import (
	"crypto/rand"
	"crypto/sha256"
	"io"

	"redoubt/wire/kit/secret"
)

const (
	// RecordSize is the number of bytes of memory that a [Record] needs.
	RecordSize = 48
	// RefSize is the size of a [Ref].
	RefSize = 8

	recordLabel   = "redoubt/v4/record" // exporter context of a Record's secret
	refFieldLabel = "field"             // begins the info of a field's key and nonce in encoding 4
)

// Ref names the encapsulated key of a field of encoding 4: the first bytes of its SHA-256.
type Ref [RefSize]byte

// RefOf returns the ref of an encapsulated key.
func RefOf(enc []byte) Ref {
	sum := sha256.Sum256(enc)
	return Ref(sum[:RefSize])
}

// ParseRef splits a field of encoding 4 into the ref of its encapsulated key and its ciphertext, which borrows from
// blob. Error: [ErrBlob].
func ParseRef(blob []byte) (Ref, []byte, error) {
	if len(blob) < 1+RefSize+TagSize || blob[0] != refByte {
		return Ref{}, nil, ErrBlob
	}
	return Ref(blob[1 : 1+RefSize]), blob[1+RefSize:], nil
}

// JoinBlob puts a field of encoding 4 and its encapsulated key together. Both are borrowed. Errors: [ErrBlob] for a
// field that is malformed or an enc of another size; [ErrOpen] for an enc that is not the one which the field's ref
// names.
func JoinBlob(suite Suite, blob, enc []byte) (Blob, error) {
	ref, ct, err := ParseRef(blob)
	if err != nil || !suite.Valid() || len(enc) != suite.EncSize() {
		return Blob{}, ErrBlob
	}
	if RefOf(enc) != ref {
		return Blob{}, ErrOpen
	}
	return Blob{Encoding: EncodingRef, Enc: enc, CT: ct}, nil
}

// Record opens the fields of encoding 4 that one encapsulated key sealed, without public-key work. Like a [Context], it
// is a small value over memory that belongs to the caller, and several goroutines may use it. It prints as
// [secret.Redacted].
type Record struct{ mem []byte }

// LoadRecord makes a Record of RecordSize bytes that [PrivateKey.DeriveRecord] has filled.
func LoadRecord(mem []byte) Record { return Record{mem} }

// DeriveRecord is [PrivateKey.Derive] for encoding 4: it fills mem, RecordSize bytes. Error: [ErrOpen]; mem is then
// wiped.
func (k *PrivateKey) DeriveRecord(mem, info, enc []byte) (Record, error) {
	if len(mem) < RecordSize {
		return Record{}, ErrOpen
	}
	mem = mem[:RecordSize:RecordSize]
	if err := k.DeriveExports(mem, info, enc, recordLabel); err != nil {
		return Record{}, err
	}
	return Record{mem}, nil
}

// Field derives key and nonce of the field name, in lower case, into mem, FieldSize bytes. Error: [ErrOpen].
func (r Record) Field(mem, name []byte) (Field, error) {
	if len(r.mem) != RecordSize || len(mem) < FieldSize || len(name) > MaxName {
		return Field{}, ErrOpen
	}
	mem = mem[:FieldSize:FieldSize]
	if !recordField(mem, r.mem, name) {
		return Field{}, ErrOpen
	}
	return Field{mem}, nil
}

// recordField is HKDF-Expand of RFC 5869 with SHA-384, whatever the suite.
func recordField(mem, record, name []byte) bool {
	var info [len(refFieldLabel) + MaxName]byte
	return suites[P384].hkdfExpand(mem, record, append(append(info[:0], refFieldLabel...), name...))
}

// Open decrypts blob, which [JoinBlob] made of an encapsulated key from which r was derived. See [Context.Open].
func (r Record) Open(dst, name []byte, blob Blob) ([]byte, error) {
	if blob.Encoding != EncodingRef {
		return dst, ErrOpen
	}
	var mem [FieldSize]byte
	defer secret.Wipe(mem[:])
	f, err := r.Field(mem[:], name)
	if err != nil {
		return dst, err
	}
	return f.Open(dst, name, blob)
}

// Write is what one write in encoding 4 seals: an encapsulated key, and the fields by their normalised names.
type Write struct {
	Enc    []byte
	Fields map[string][]byte
}

// SealRefs seals the fields of one write with one fresh encapsulation (encoding 4), for a suite of [DomainSuites].
// Otherwise it does what [SealRecord] does. Without fields there is no encapsulated key.
func SealRefs(suite Suite, pub *PublicKey, info string, fields map[string][]byte) (Write, error) {
	return sealRefs(rand.Reader, suite, pub, info, fields)
}

func sealRefs(r io.Reader, suite Suite, pub *PublicKey, info string, fields map[string][]byte) (Write, error) {
	var w Write
	var err error
	w.Fields, err = seal(r, suite, pub, fields, func(r io.Reader, out, in map[string][]byte) error {
		var record [RecordSize]byte
		defer secret.Wipe(record[:])
		enc, err := setupExports(r, record[:], pub, info, []string{recordLabel})
		if err != nil {
			return err
		}
		w.Enc = enc
		ref := RefOf(enc)
		for name, plaintext := range in {
			if out[name], err = sealRefField(record[:], ref, name, plaintext); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Write{}, err
	}
	return w, nil
}

func sealRefField(record []byte, ref Ref, name string, plaintext []byte) ([]byte, error) {
	var keys [FieldSize]byte
	defer secret.Wipe(keys[:])
	if !recordField(keys[:], record, []byte(name)) {
		return nil, ErrSeal
	}
	out := make([]byte, 0, 1+RefSize+len(plaintext)+TagSize)
	out = append(append(out, refByte), ref[:]...)
	var aad [1 + MaxName]byte
	return sealAEAD(out, keys[:keySize], keys[keySize:], plaintext, append(append(aad[:0], refByte), name...))
}
