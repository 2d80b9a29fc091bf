package sealed

import "sync"

// FieldSize is the number of bytes of memory that a [Field] needs: AEAD key and nonce.
const FieldSize = keySize + nonceSize

// Field opens one field of encoding 3 or 4. A Context, or a Record, can open the same field, but derives the field's
// key each time, which takes four times as long as everything else. Like a Context, a Field is a small value over
// memory that belongs to the caller.
type Field struct{ mem []byte }

// LoadField makes a Field of FieldSize bytes that [Context.Field] has filled.
func LoadField(mem []byte) Field { return Field{mem} }

// aadPool saves the allocation of associated data, which escapes into the AEAD. Associated data are not secret.
var aadPool = sync.Pool{New: func() any { return new([1 + MaxName]byte) }}

// Field exports key and nonce of the field name, in lower case, into mem, FieldSize bytes. Error: [ErrOpen].
func (c Context) Field(mem, name []byte) (Field, error) {
	if !c.valid() || len(mem) < FieldSize || len(name) > MaxName {
		return Field{}, ErrOpen
	}
	mem = mem[:FieldSize:FieldSize]
	p, ok := c.suite.params(), false
	p.erasing(func() {
		var context [maxExportContext]byte
		ok = export(p, mem, c.exporter(), appendExportContext(context[:0], name))
	})
	if !ok {
		return Field{}, ErrOpen
	}
	return Field{mem}, nil
}

// Open decrypts blob as [Context.Open] does. blob must be a field of the encoding and the name for
// which f was made.
func (f Field) Open(dst, name []byte, blob Blob) ([]byte, error) {
	return f.OpenFor(nil, dst, name, blob)
}

// OpenFor is Open that also fills keep, if it succeeds. keep may be nil.
func (f Field) OpenFor(keep *Cipher, dst, name []byte, blob Blob) ([]byte, error) {
	if len(f.mem) != FieldSize || len(name) > MaxName {
		return dst, ErrOpen
	}
	mark := fieldMark(blob.Encoding)
	if mark == 0 {
		return dst, ErrOpen
	}
	aad := aadPool.Get().(*[1 + MaxName]byte)
	defer aadPool.Put(aad)
	return openAEAD(keep, dst, f.mem[:keySize], f.mem[keySize:], blob.CT, append(append(aad[:0], mark), name...))
}

// fieldMark is the first byte of the associated data of a field that has a key of its own, and 0 for one that has not.
func fieldMark(e Encoding) byte {
	switch e {
	case EncodingRecord:
		return recordByte
	case EncodingRef:
		return refByte
	case EncodingHex, EncodingField:
	}
	return 0
}
