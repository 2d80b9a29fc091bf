package wire

import "encoding/binary"

// MaxReads bounds the reads of an access report.
const MaxReads = MaxFields * MaxExpressions

// AccessSize is the most that [AppendAccess] appends for a report of n reads.
func AccessSize(n int) int { return 16 + 3*n }

// AppendAccess appends an access report to a response that is complete but for its extensions. The reads MUST be in
// the order of expressions and, for each, of fields, and each read once.
func AppendAccess(dst []byte, reads []FieldRead) []byte {
	size := uvarintLen(uint64(len(reads)))
	for _, r := range reads {
		size += uvarintLen(uint64(r.Expression)) + uvarintLen(r.code())
	}
	dst = append(dst, extAccess)
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = binary.AppendUvarint(dst, uint64(len(reads)))
	for _, r := range reads {
		dst = binary.AppendUvarint(dst, uint64(r.Expression))
		dst = binary.AppendUvarint(dst, r.code())
	}
	return dst
}

// code is the field's index and the bit.
func (r FieldRead) code() uint64 {
	code := uint64(r.Field) << 1
	if r.Raw {
		code |= 1
	}
	return code
}

// after reports whether r follows other in a report.
func (r FieldRead) after(other FieldRead) bool {
	return r.Expression > other.Expression || r.Expression == other.Expression && r.Field > other.Field
}

// checkReads checks what Append would write as the report.
func (m *DecryptResponse) checkReads() error {
	if !m.AccessReported && len(m.Reads) > 0 || m.AccessReported && m.Code != OK {
		return ErrValue
	}
	for i, r := range m.Reads {
		if r.Expression >= MaxExpressions || r.Field >= MaxFields || i > 0 && !r.after(m.Reads[i-1]) {
			return ErrValue
		}
	}
	return nil
}

// decodeAccess reads the report.
func (m *DecryptResponse) decodeAccess(v []byte) error {
	if m.AccessReported {
		return ErrValue
	}
	m.AccessReported = true
	r := reader{b: v}
	for range r.count(MaxReads, 2) {
		expression, code := r.uvarint(), r.uvarint()
		if r.err != nil {
			break
		}
		if expression >= MaxExpressions || code>>1 >= MaxFields {
			return ErrValue
		}
		m.Reads = append(m.Reads, FieldRead{uint16(expression), uint16(code >> 1), code&1 != 0})
	}
	if r.err == nil && len(r.b) > 0 {
		return ErrValue
	}
	if r.err != nil {
		return r.err
	}
	return m.checkReads()
}

func uvarintLen(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}
