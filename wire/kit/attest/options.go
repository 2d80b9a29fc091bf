package attest

import (
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"
)

// Defaults of [Options].
const (
	// DefaultMaxAge is how old a document may be: AWS KMS accepts documents for five minutes.
	DefaultMaxAge = 5 * time.Minute
	// DefaultSkew is how far in the future a document may lie, to allow for clocks that differ.
	DefaultSkew = time.Minute
	// maxWindow bounds MaxAge and Skew: leaf certificates live for about three hours.
	maxWindow = 3 * time.Hour
)

// MeasurementSize is the length of a PCR value in bytes (SHA-384).
const MeasurementSize = 48

// MaxPCRs is the number of platform configuration registers; indices run from 0 to MaxPCRs-1.
const MaxPCRs = 32

// A Measurement is the value of one PCR.
type Measurement [MeasurementSize]byte

// ParseMeasurement reads 96 hexadecimal digits, of either case, as `nitro-cli build-enclave` prints them.
func ParseMeasurement(s string) (Measurement, error) {
	var m Measurement
	if len(s) != 2*MeasurementSize {
		return m, fmt.Errorf("%w: a measurement has 96 hexadecimal digits", ErrOptions)
	}
	if _, err := hex.Decode(m[:], []byte(s)); err != nil {
		return Measurement{}, fmt.Errorf("%w: a measurement has 96 hexadecimal digits", ErrOptions)
	}
	return m, nil
}

// String returns the measurement in lower-case hexadecimal. A measurement is public.
func (m Measurement) String() string { return hex.EncodeToString(m[:]) }

// IsZero reports whether all bytes are zero, as in PCR0 to PCR2 in debug mode.
func (m Measurement) IsZero() bool { return m == Measurement{} }

// PCRs maps indices of registers to their values.
type PCRs map[int]Measurement

// Match reports whether every register of want is present in p with the same value. An empty want matches nothing.
func (p PCRs) Match(want PCRs) bool {
	ok := len(want) > 0
	for i, w := range want {
		got, present := p[i]
		ok = ok && present && subtle.ConstantTimeCompare(got[:], w[:]) == 1
	}
	return ok
}

// An Expect says what a field of the document must be. Its zero value requires the field to be absent or empty.
type Expect struct {
	mode  expectMode
	value []byte
}

type expectMode uint8

const (
	expectAbsent expectMode = iota
	expectPresent
	expectEqual
	expectAny
)

// Absent requires a field to be missing, null or empty. It is the zero value of [Expect].
func Absent() Expect { return Expect{} }

// Present requires a field to be there and not empty, whatever its value.
func Present() Expect { return Expect{mode: expectPresent} }

// Equal requires a field to have exactly this value. An empty value is never met. The slice is kept, not copied.
func Equal(value []byte) Expect { return Expect{mode: expectEqual, value: value} }

// Any accepts a field that is present or absent.
func Any() Expect { return Expect{mode: expectAny} }

func (e Expect) met(field []byte) bool {
	switch e.mode {
	case expectAbsent:
		return len(field) == 0
	case expectPresent:
		return len(field) > 0
	case expectEqual:
		return len(e.value) > 0 && subtle.ConstantTimeCompare(field, e.value) == 1
	case expectAny:
		return true
	}
	return false
}

// Options say which documents are accepted. They are only read, so one value may serve concurrent calls.
type Options struct {
	// Roots are the pinned roots. Empty means the root of AWS, G1.
	Roots []Root
	// Allowed is the allow list: a document's PCRs must match one of these sets. An empty list, or an empty set in
	// it, is refused with ErrOptions, unless UncheckedPCRs is set.
	Allowed []PCRs
	// UncheckedPCRs leaves the comparison of measurements to the caller, which MUST compare Document.PCRs (as a KMS
	// does with its key policy). Allowed must then be empty. Debug mode is refused all the same.
	UncheckedPCRs bool
	// AllowDebug accepts documents of enclaves in debug mode (PCR0 all zeroes or missing): for development only.
	AllowDebug bool
	// Nonce, UserData and PublicKey are expectations. The zero value requires absence.
	Nonce, UserData, PublicKey Expect
	// MaxAge and Skew bound the document's time: now-MaxAge <= time <= now+Skew. 0 means the default. The maximum is
	// three hours.
	MaxAge, Skew time.Duration
	// Now is the verifier's clock; nil means time.Now.
	Now func() time.Time
}

func (o *Options) valid() error {
	switch {
	case o.UncheckedPCRs && len(o.Allowed) > 0:
		return fmt.Errorf("%w: an allow list that nobody would check", ErrOptions)
	case !o.UncheckedPCRs && len(o.Allowed) == 0:
		return fmt.Errorf("%w: the allow list is empty", ErrOptions)
	case o.MaxAge < 0 || o.MaxAge > maxWindow || o.Skew < 0 || o.Skew > maxWindow:
		return fmt.Errorf("%w: time window out of range", ErrOptions)
	}
	for _, set := range o.Allowed {
		if len(set) == 0 {
			return fmt.Errorf("%w: a set of measurements is empty", ErrOptions)
		}
		for i := range set {
			if i < 0 || i >= MaxPCRs {
				return fmt.Errorf("%w: register out of range", ErrOptions)
			}
		}
	}
	for i := range o.Roots {
		if err := o.Roots[i].valid(); err != nil {
			return err
		}
	}
	return nil
}

// pinned returns the roots, or that of AWS if the caller named none.
func (o *Options) pinned() []Root {
	if len(o.Roots) > 0 {
		return o.Roots
	}
	return []Root{AWSRoot()}
}

// A Document is the content of a verified attestation document. It owns all its memory.
type Document struct {
	// ModuleID names the enclave: instance id and enclave id.
	ModuleID string
	// Time is when the document was made, to the millisecond.
	Time time.Time
	// PCRs are the registers that were set or locked.
	PCRs PCRs
	// PublicKey, UserData and Nonce are nil when absent.
	PublicKey, UserData, Nonce []byte
	// Certificate is the leaf that signed. VerifyUnsigned leaves it nil.
	Certificate *x509.Certificate
}
