package attest

import (
	"fmt"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Limits of the payload's fields, in bytes, as AWS documents them.
const (
	maxCertificate = 1024
	maxBundle      = 16
	maxModuleID    = 256
	// MaxField is the limit of nonce, user data and public key each.
	MaxField = 1024
)

// payload is the document as it is on the wire. Items are kept raw where the library would be too lenient.
type payload struct {
	ModuleID    string                     `cbor:"module_id"`
	Digest      string                     `cbor:"digest"`
	Timestamp   cbor.RawMessage            `cbor:"timestamp"`
	PCRs        map[uint64]cbor.RawMessage `cbor:"pcrs"`
	RawCert     cbor.RawMessage            `cbor:"certificate"`
	RawBundle   []cbor.RawMessage          `cbor:"cabundle"`
	RawKey      cbor.RawMessage            `cbor:"public_key"`
	RawUserData cbor.RawMessage            `cbor:"user_data"`
	RawNonce    cbor.RawMessage            `cbor:"nonce"`

	Certificate []byte   `cbor:"-"`
	Bundle      [][]byte `cbor:"-"`
}

func parsePayload(raw []byte) (*payload, error) {
	var p payload
	if err := strict.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("%w: payload", ErrFormat)
	}
	if p.Digest != "SHA384" {
		return nil, fmt.Errorf("%w: digest is not SHA384", ErrAlgorithm)
	}
	if p.ModuleID == "" || len(p.ModuleID) > maxModuleID {
		return nil, fmt.Errorf("%w: module id", ErrFormat)
	}
	var err error
	if p.Certificate, err = certificateBytes(p.RawCert); err != nil {
		return nil, err
	}
	if len(p.RawBundle) == 0 || len(p.RawBundle) > maxBundle {
		return nil, fmt.Errorf("%w: length of cabundle", ErrFormat)
	}
	for _, item := range p.RawBundle {
		der, err := certificateBytes(item)
		if err != nil {
			return nil, err
		}
		p.Bundle = append(p.Bundle, der)
	}
	return &p, nil
}

func certificateBytes(item cbor.RawMessage) ([]byte, error) {
	der, err := byteString(item)
	if err != nil {
		return nil, err
	}
	if len(der) == 0 || len(der) > maxCertificate {
		return nil, fmt.Errorf("%w: length of a certificate", ErrFormat)
	}
	return der, nil
}

// document checks the remaining fields and gives them their types.
func (p *payload) document() (*Document, error) {
	doc := &Document{ModuleID: p.ModuleID, PCRs: make(PCRs, len(p.PCRs))}
	var err error
	if doc.Time, err = timestamp(p.Timestamp); err != nil {
		return nil, err
	}
	if len(p.PCRs) == 0 {
		return nil, fmt.Errorf("%w: no pcrs", ErrFormat)
	}
	for i, item := range p.PCRs {
		value, err := byteString(item)
		if err != nil {
			return nil, err
		}
		if i >= MaxPCRs || len(value) != MeasurementSize {
			return nil, fmt.Errorf("%w: index or length of a pcr", ErrFormat)
		}
		doc.PCRs[int(i)] = Measurement(value)
	}
	if doc.PublicKey, err = optional(p.RawKey); err != nil {
		return nil, err
	}
	if doc.UserData, err = optional(p.RawUserData); err != nil {
		return nil, err
	}
	doc.Nonce, err = optional(p.RawNonce)
	return doc, err
}

// timestamp reads milliseconds since 1970 from an unsigned integer; floats and tagged times are refused.
func timestamp(item cbor.RawMessage) (time.Time, error) {
	const majorType, unsignedType = 0xe0, 0x00
	var ms uint64
	if len(item) == 0 || item[0]&majorType != unsignedType {
		return time.Time{}, fmt.Errorf("%w: timestamp", ErrFormat)
	}
	if err := strict.Unmarshal(item, &ms); err != nil || ms == 0 || ms > math.MaxInt64/1_000_000 {
		return time.Time{}, fmt.Errorf("%w: timestamp", ErrFormat)
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}

// optional reads a byte string that may be missing or null; both give nil.
func optional(item cbor.RawMessage) ([]byte, error) {
	const null = 0xf6
	if len(item) == 0 || len(item) == 1 && item[0] == null {
		return nil, nil
	}
	b, err := byteString(item)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxField {
		return nil, fmt.Errorf("%w: length of a field", ErrFormat)
	}
	return b, nil
}
