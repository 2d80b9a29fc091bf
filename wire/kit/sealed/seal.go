package sealed

import (
	"crypto/rand"
	"io"

	"github.com/cloudflare/circl/hpke"

	"redoubt/wire/kit/secret"
)

// Seal seals the fields of one write in the given encoding, [EncodingRecord] or [EncodingField]. See [SealRecord].
func Seal(encoding Encoding, suite Suite, pub *PublicKey, info string, fields map[string][]byte) (
	map[string][]byte, error,
) {
	switch encoding {
	case EncodingRecord:
		return SealRecord(suite, pub, info, fields)
	case EncodingField:
		return SealFields(suite, pub, info, fields)
	}
	return nil, ErrEncoding
}

// SealRecord seals the fields of one write with one fresh encapsulation (encoding 3). info is the vault id or, for a
// reply, the data to which the reply is bound. Names go through [NormalizeName] and are the keys of the result. The
// plaintexts are borrowed. Nothing of the sender outlives the call, and a caller that retries gets another
// encapsulation. Errors: [ErrName], [ErrSameName], [ErrKey] for a public key of another suite and for
// X-Wing, [ErrSeal].
func SealRecord(suite Suite, pub *PublicKey, info string, fields map[string][]byte) (map[string][]byte, error) {
	if !suite.OnCurve() {
		return nil, ErrKey
	}
	return seal(rand.Reader, suite, pub, fields, func(r io.Reader, out, in map[string][]byte) error {
		enc, sealer, err := setupSender(r, pub, info)
		if err != nil {
			return err
		}
		for name, plaintext := range in {
			if out[name], err = sealRecordField(suite.params(), sealer, enc, name, plaintext); err != nil {
				return err
			}
		}
		return nil
	})
}

// SealFields seals each field with an encapsulation of its own (encoding 2, the reference's). Otherwise it does what
// [SealRecord] does.
func SealFields(suite Suite, pub *PublicKey, info string, fields map[string][]byte) (map[string][]byte, error) {
	if !suite.OnCurve() {
		return nil, ErrKey
	}
	return seal(rand.Reader, suite, pub, fields, func(r io.Reader, out, in map[string][]byte) error {
		for name, plaintext := range in {
			enc, sealer, err := setupSender(r, pub, info)
			if err != nil {
				return err
			}
			ct, err := sealer.Seal(plaintext, []byte(name))
			if err != nil {
				return ErrSeal
			}
			out[name] = append(enc, ct...)
		}
		return nil
	})
}

type sealFunc func(r io.Reader, out, in map[string][]byte) error

// seal checks the key and the names, and runs f so that its temporaries are erased.
func seal(r io.Reader, suite Suite, pub *PublicKey, fields map[string][]byte, f sealFunc) (map[string][]byte, error) {
	if suite.params() == nil || pub == nil || pub.suite != suite {
		return nil, ErrKey
	}
	in := make(map[string][]byte, len(fields))
	for name, plaintext := range fields {
		n, err := NormalizeName(name)
		if err != nil {
			return nil, err
		}
		if _, twice := in[n]; twice {
			return nil, ErrSameName
		}
		in[n] = plaintext
	}
	out := make(map[string][]byte, len(in))
	if len(in) == 0 {
		return out, nil
	}
	var err error
	secret.Do(func() { err = f(r, out, in) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func setupSender(r io.Reader, pub *PublicKey, info string) (enc []byte, s hpke.Sealer, err error) {
	sender, err := pub.suite.params().hpke.NewSender(pub.pk, []byte(info))
	if err != nil {
		return nil, nil, ErrKey
	}
	enc, s, err = sender.Setup(r)
	if err != nil {
		return nil, nil, ErrSeal
	}
	return enc, s, nil
}

// sealRecordField seals one field under the key and nonce that the exporter gives for its name. It never uses the
// context's own Seal, since fields are opened in any order and in any subset.
func sealRecordField(p *params, sealer hpke.Sealer, enc []byte, name string, plaintext []byte) ([]byte, error) {
	var nameBuf [maxExportContext]byte
	keys := sealer.Export(appendExportContext(nameBuf[:0], []byte(name)), keySize+nonceSize)
	defer secret.Wipe(keys)
	out := make([]byte, 0, 1+p.encSize+len(plaintext)+TagSize)
	out = append(out, recordByte)
	out = append(out, enc...)
	var aad [1 + MaxName]byte
	return sealAEAD(out, keys[:keySize], keys[keySize:], plaintext, appendRecordAAD(aad[:0], []byte(name)))
}
