package envelope

import (
	"encoding/binary"

	"redoubt/wire/kit/domain"
)

const (
	// MaxRecords bounds the domain records before a request.
	MaxRecords = 8
	// MaxBody bounds what may be posted: a request, with records before it.
	MaxBody = MaxRequest + MaxRecords*(recordHead+domain.MaxRecord)

	recordMagic = "RDR1"
	recordHead  = len(recordMagic) + 4
)

// AppendRecord appends a domain record that goes before a request. Error: [ErrTooLarge]; dst is then unchanged.
func AppendRecord(dst, record []byte) ([]byte, error) {
	if len(record) == 0 || len(record) > domain.MaxRecord {
		return dst, ErrTooLarge
	}
	return append(appendU32(append(dst, recordMagic...), uint32(len(record))), record...), nil
}

// NextRecord returns the first domain record of b and what comes after it. Without one, record is nil and rest is b:
// the request. Both borrow from b. What the record says is not looked at. The caller counts to [MaxRecords]. Error:
// [ErrRecords].
func NextRecord(b []byte) (record, rest []byte, err error) {
	if len(b) < len(recordMagic) || string(b[:len(recordMagic)]) != recordMagic {
		return nil, b, nil
	}
	if len(b) < recordHead {
		return nil, nil, ErrRecords
	}
	n := binary.BigEndian.Uint32(b[len(recordMagic):])
	if n == 0 || n > domain.MaxRecord || int(n) > len(b)-recordHead {
		return nil, nil, ErrRecords
	}
	end := recordHead + int(n)
	return b[recordHead:end:end], b[end:], nil
}

// SplitRecords returns the domain records before a request, and the request. All borrow from b. Without records it
// allocates nothing. Error: [ErrRecords], also for more than [MaxRecords].
func SplitRecords(b []byte) (records [][]byte, request []byte, err error) {
	for {
		record, rest, err := NextRecord(b)
		switch {
		case err != nil || len(records) == MaxRecords && record != nil:
			return nil, nil, ErrRecords
		case record == nil:
			return records, rest, nil
		}
		records, b = append(records, record), rest
	}
}
