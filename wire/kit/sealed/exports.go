package sealed

import (
	"crypto/rand"
	"io"
	"sync"

	"github.com/cloudflare/circl/hpke"

	"redoubt/wire/kit/secret"
)

// This file is for formats that use an HPKE context only for the secrets that it exports, and seal messages of their
// own under them: encoding 4, and requests to the enclave. Any HPKE library gives these secrets, messages open in any
// order, and what is kept of a context is small.

// ExportSize is the size of an exported secret. It suits HKDF-Expand with SHA-384, whatever the suite's own hash.
const ExportSize = RecordSize

// DeriveExports does the key agreement of k with the encapsulated key enc. Then it writes Export(label, ExportSize) of
// RFC 9180, section 5.3, for each label in turn, to mem, which has that size. info, enc and labels are borrowed; a
// label has at most [MaxName] bytes. An enc that is not a point of the curve takes as much time as one that is. Error:
// [ErrOpen]; mem is then wiped.
func (k *PrivateKey) DeriveExports(mem, info, enc []byte, labels ...string) error {
	p := k.suite.params()
	if p == nil || len(mem) != ExportSize*len(labels) {
		return ErrOpen
	}
	done := false
	p.erasing(func() {
		var buf [maxHashSize]byte
		defer secret.Wipe(buf[:])
		shared := buf[:p.nh]
		valid, ok := k.share(p, shared, enc)
		done = ok && p.fillExports(mem, shared, info, labels) && valid
	})
	if !done {
		secret.Wipe(mem)
		return ErrOpen
	}
	return nil
}

// SetupExports makes a fresh encapsulation to pub, and writes to mem what [PrivateKey.DeriveExports] does for it.
// Errors: [ErrKey], [ErrSeal]; mem is then wiped.
func SetupExports(mem []byte, pub *PublicKey, info string, labels ...string) (enc []byte, err error) {
	return setupExports(rand.Reader, mem, pub, info, labels)
}

func setupExports(r io.Reader, mem []byte, pub *PublicKey, info string, labels []string) (enc []byte, err error) {
	if pub == nil || len(mem) != ExportSize*len(labels) {
		return nil, ErrKey
	}
	secret.Do(func() {
		var sealer hpke.Sealer
		if enc, sealer, err = setupSender(r, pub, info); err != nil {
			return
		}
		for i, label := range labels {
			out := sealer.Export([]byte(label), ExportSize)
			copy(mem[i*ExportSize:], out)
			secret.Wipe(out)
		}
	})
	if err != nil {
		secret.Wipe(mem)
		return nil, err
	}
	return enc, nil
}

// fillExports writes the secrets that the key schedule exports under the labels.
func (p *params) fillExports(mem, shared, info []byte, labels []string) bool {
	var s keySchedule
	var buf [maxHashSize]byte
	defer secret.Wipe(s.secret[:])
	defer secret.Wipe(buf[:])
	exporter := buf[:p.nh]
	ok := p.schedule(&s, shared, info) && p.fromSchedule(exporter, &s, "exp")
	for i, label := range labels {
		var context [maxExportContext]byte
		ok = ok && len(label) <= MaxName &&
			export(p, mem[i*ExportSize:][:ExportSize], exporter, append(context[:0], label...))
	}
	return ok
}

// MaxOnce bounds the info of [OpenOnce] and [SealOnce].
const MaxOnce = maxInfo

// SealOnce appends the ciphertext of plaintext to dst, under the key and nonce that HKDF-Expand (RFC 5869, SHA-384)
// makes of an exported secret and info. Of one secret and info there MUST be one message. If dst has room, plaintext
// may lie where the ciphertext begins. Error: [ErrSeal].
func SealOnce(dst, exported, info, plaintext, aad []byte) ([]byte, error) {
	kn := oncePool.Get().(*[FieldSize]byte)
	defer putOnce(kn)
	if !once(kn, exported, info) {
		return dst, ErrSeal
	}
	return sealAEAD(dst, kn[:keySize], kn[keySize:], plaintext, aad)
}

// OpenOnce opens what [SealOnce] sealed, and appends it to dst, which may be ct[:0]. Error: [ErrOpen]; where the
// plaintext would be are then zeros.
func OpenOnce(dst, exported, info, ct, aad []byte) ([]byte, error) {
	kn := oncePool.Get().(*[FieldSize]byte)
	defer putOnce(kn)
	if !once(kn, exported, info) {
		return dst, ErrOpen
	}
	return openAEAD(nil, dst, kn[:keySize], kn[keySize:], ct, aad)
}

// oncePool saves the allocation of a key and nonce, which escape into the AEAD. They are wiped before they go back.
var oncePool = sync.Pool{New: func() any { return new([FieldSize]byte) }}

func putOnce(kn *[FieldSize]byte) {
	secret.Wipe(kn[:])
	oncePool.Put(kn)
}

func once(kn *[FieldSize]byte, exported, info []byte) bool {
	return len(exported) == ExportSize && len(info) <= MaxOnce &&
		suites[P384].hkdfExpand(kn[:], exported, info)
}
