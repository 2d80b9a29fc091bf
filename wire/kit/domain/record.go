package domain

import (
	"redoubt/wire/kit/sealed"
)

const (
	// SecretSize is the size of a domain secret.
	SecretSize = 32
	// DataKeySize is the size of KMS's data keys.
	DataKeySize = 32
	// SaltSize is the size of a wrap's salt.
	SaltSize = 32
	// MaxRecord bounds a domain record.
	MaxRecord = 16 << 10
	// MaxARN bounds the ARN of a KMS key.
	MaxARN = 2048
	// MaxDataKey bounds KMS's ciphertext of a data key.
	MaxDataKey = 6144

	wrappedSecret = SecretSize + sealed.TagSize
)

// Record is what is stored and handed over of one generation of a domain: the descriptor, and its secret under one or
// more KMS keys. It holds nothing that is secret.
type Record struct {
	// Descriptor is the encoded descriptor.
	Descriptor []byte
	// Wraps are 1 to 255, each of another KMS key.
	Wraps []Wrap
}

// Wrap is a domain's secret under one KMS key.
type Wrap struct {
	// ARN of the KMS key, printable ASCII.
	ARN string
	// DataKey is KMS's CiphertextBlob of the data key.
	DataKey []byte
	Salt    [SaltSize]byte
	// Sealed is the secret under a key that the data key gives.
	Sealed [wrappedSecret]byte
}

// Append appends the encoded record. Error: [ErrRecord]; dst is then unchanged.
func (r *Record) Append(dst []byte) ([]byte, error) {
	if !r.valid() {
		return dst, ErrRecord
	}
	out := append(appendL(dst, r.Descriptor), byte(len(r.Wraps)))
	for i := range r.Wraps {
		w := &r.Wraps[i]
		out = append(append(appendL(appendL(out, w.ARN), w.DataKey), w.Salt[:]...), w.Sealed[:]...)
	}
	if len(out)-len(dst) > MaxRecord {
		return dst, ErrRecord
	}
	return out, nil
}

func (r *Record) valid() bool {
	if len(r.Descriptor) > MaxDescriptor || len(r.Wraps) < 1 || len(r.Wraps) > 255 {
		return false
	}
	for i := range r.Wraps {
		w := &r.Wraps[i]
		if len(w.ARN) == 0 || len(w.ARN) > MaxARN || len(w.DataKey) == 0 || len(w.DataKey) > MaxDataKey {
			return false
		}
		for k := range len(w.ARN) {
			if w.ARN[k] <= ' ' || w.ARN[k] > '~' {
				return false
			}
		}
		for k := range i {
			if r.Wraps[k].ARN == w.ARN {
				return false
			}
		}
	}
	return true
}

// ParseRecord reads a domain record with its descriptor, and nothing after it. The results do not borrow from b.
// Errors: [ErrRecord], [ErrDescriptor].
func ParseRecord(b []byte) (*Record, *Descriptor, error) {
	if len(b) > MaxRecord {
		return nil, nil, ErrRecord
	}
	in := reader{rest: append([]byte(nil), b...)}
	r := &Record{Descriptor: in.l()}
	for range in.u8() {
		var w Wrap
		w.ARN, w.DataKey = string(in.l()), in.l()
		copy(w.Salt[:], in.take(SaltSize))
		copy(w.Sealed[:], in.take(wrappedSecret))
		if in.failed {
			break
		}
		r.Wraps = append(r.Wraps, w)
	}
	if !in.done() || !r.valid() {
		return nil, nil, ErrRecord
	}
	d, err := ParseDescriptor(r.Descriptor)
	if err != nil {
		return nil, nil, err
	}
	return r, d, nil
}

// Find returns the wrap of a KMS key, or nil.
func (r *Record) Find(arn string) *Wrap {
	for i := range r.Wraps {
		if r.Wraps[i].ARN == arn {
			return &r.Wraps[i]
		}
	}
	return nil
}
