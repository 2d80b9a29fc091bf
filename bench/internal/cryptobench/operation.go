package cryptobench

import (
	"fmt"

	"redoubt/wire/kit/sealed"
)

// Kinds of operations.
const (
	seal          = "seal"
	cold          = "open/cold"
	keyCached     = "open/key-cached"
	contextCached = "open/context-cached"
)

// operation is one thing that is measured.
type operation struct {
	name     string
	kind     string
	encoding sealed.Encoding
	fields   int
	prepare  func() (do func() error, err error)
}

func operations(b *bed, fields []int) []operation {
	var ops []operation
	for _, e := range []sealed.Encoding{sealed.EncodingField, sealed.EncodingRecord} {
		for _, n := range fields {
			for _, kind := range []string{seal, cold, keyCached, contextCached} {
				op := operation{kind: kind, encoding: e, fields: n}
				op.name = fmt.Sprintf("%s/encoding-%d/fields-%d", kind, e, n)
				op.prepare = func() (func() error, error) { return b.prepare(&op) }
				ops = append(ops, op)
			}
		}
	}
	return ops
}

func plain(n int) map[string][]byte {
	m := make(map[string][]byte, n)
	for i := range n {
		m[fmt.Sprintf("field_%02d", i)] = plaintext
	}
	return m
}

// field is a sealed field, taken apart.
type field struct {
	name []byte
	blob sealed.Blob
}

func (b *bed) prepare(op *operation) (func() error, error) {
	in := plain(op.fields)
	if op.kind == seal {
		return func() error {
			_, err := sealed.Seal(op.encoding, b.suite, b.public, vaultID, in)
			return err
		}, nil
	}
	blobs, err := sealed.Seal(op.encoding, b.suite, b.public, vaultID, in)
	if err != nil {
		return nil, err
	}
	var fields []field
	for name, raw := range blobs {
		blob, err := sealed.ParseBlob(b.suite, op.encoding, raw)
		if err != nil {
			return nil, err
		}
		fields = append(fields, field{[]byte(name), blob})
	}
	if op.kind == contextCached {
		return b.openCached(op, fields)
	}
	return b.openDerived(op, fields), nil
}

// contexts is how many encapsulations, and so contexts, the fields have.
func (op *operation) contexts() int {
	if op.encoding == sealed.EncodingRecord {
		return 1
	}
	return op.fields
}

func (b *bed) openCached(op *operation, fields []field) (func() error, error) {
	contexts := make([]sealed.Context, op.contexts())
	for i := range contexts {
		var err error
		contexts[i], err = b.key.Derive(make([]byte, sealed.ContextSize), []byte(vaultID), fields[i].blob.Enc)
		if err != nil {
			return nil, err
		}
	}
	dst := make([]byte, 0, 64)
	return func() error {
		for i := range fields {
			if _, err := contexts[i%len(contexts)].Open(dst, fields[i].name, fields[i].blob); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (b *bed) openDerived(op *operation, fields []field) func() error {
	dst, mem := make([]byte, 0, 64), make([]byte, sealed.ContextSize)
	return func() error {
		key := b.key
		if op.kind == cold {
			k, err := sealed.ParsePrivateKey(b.suite, b.der)
			if err != nil {
				return err
			}
			defer k.Destroy()
			key = k
		}
		var c sealed.Context
		for i := range fields {
			if i < op.contexts() {
				var err error
				if c, err = key.Derive(mem, []byte(vaultID), fields[i].blob.Enc); err != nil {
					return err
				}
			}
			if _, err := c.Open(dst, fields[i].name, fields[i].blob); err != nil {
				return err
			}
		}
		return nil
	}
}
