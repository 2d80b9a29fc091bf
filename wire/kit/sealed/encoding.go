package sealed

import "bytes"

// Encoding is the layout of a sealed field.
type Encoding uint8

// These are the encodings. An item's _v and a request's "encoding" hold their numbers.
const (
	EncodingHex    Encoding = 1 // hex(enc) "#" hex(ct): read forever, never written
	EncodingField  Encoding = 2 // enc || ct, one encapsulation per field: the reference's format
	EncodingRecord Encoding = 3 // 0x03 || enc || ct, one encapsulation per write
	EncodingRef    Encoding = 4 // 0x05 || ref || ct, one encapsulation per write, which stands beside the fields
)

const (
	pointByte  = 0x04 // SEC 1 section 2.3.3: an uncompressed point
	recordByte = 0x03 // first byte of encoding 3, and of its associated data
	refByte    = 0x05 // first byte of encoding 4, and of its associated data
)

// Valid reports whether e is one of the encodings above.
func (e Encoding) Valid() bool { return e >= EncodingHex && e <= EncodingRef }

// ParseEncoding reads a request's "encoding" where a field carries all that opens it: "1", "2" or "3"; empty (absent)
// means 2. Error: [ErrEncoding].
func ParseEncoding(s string) (Encoding, error) {
	switch s {
	case "1":
		return EncodingHex, nil
	case "", "2":
		return EncodingField, nil
	case "3":
		return EncodingRecord, nil
	}
	return 0, ErrEncoding
}

// Detect finds the encoding of a stored value by its form: first byte 0x04 is 2, first byte 0x03 is 3, first byte 0x05
// is 4, lower-case hex of a point and a '#' is 1. It checks no more than that. Error: [ErrEncoding].
func Detect(value []byte) (Encoding, error) {
	switch {
	case len(value) == 0:
	case value[0] == pointByte:
		return EncodingField, nil
	case value[0] == recordByte:
		return EncodingRecord, nil
	case value[0] == refByte:
		return EncodingRef, nil
	case bytes.HasPrefix(value, []byte("04")) && bytes.IndexByte(value, '#') >= 0:
		return EncodingHex, nil
	}
	return 0, ErrEncoding
}

// AppendHex decodes an encoding-1 value, lower-case hex that is split at its first '#', and appends enc || ct to dst.
// Error: [ErrBlob]; dst is then unchanged.
func AppendHex[T string | []byte](dst []byte, suite Suite, value T) ([]byte, error) {
	p := suite.params()
	if p == nil || p.curve == nil || len(value) < 2*p.encSize+1+2*TagSize || value[2*p.encSize] != '#' {
		return dst, ErrBlob
	}
	out, ok := appendHexDigits(dst, value[:2*p.encSize])
	if ok {
		out, ok = appendHexDigits(out, value[2*p.encSize+1:])
	}
	if !ok || out[len(dst)] != pointByte {
		return dst, ErrBlob
	}
	return out, nil
}

func appendHexDigits[T string | []byte](dst []byte, digits T) ([]byte, bool) {
	if len(digits)%2 != 0 {
		return dst, false
	}
	for i := 0; i < len(digits); i += 2 {
		hi, lo := hexDigit(digits[i]), hexDigit(digits[i+1])
		if hi|lo > 0xf {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

// hexDigit accepts lower case only, as the reference does. It returns 0xff for any other byte.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Blob is a sealed field split into its parts. Its slices borrow from the bytes that it was parsed from.
type Blob struct {
	Encoding Encoding
	Enc      []byte // encapsulated key, EncSize bytes
	CT       []byte // ciphertext and tag, at least TagSize bytes
}

// ParseBlob splits a sealed field of encodings 1 to 3 into its parts. It expects a value of encoding 1 as [AppendHex]
// leaves it (enc || ct). Error: [ErrBlob] for a blob that is too short or whose form contradicts encoding, and for
// X-Wing. Encoding 4 has [ParseRef] and [JoinBlob].
func ParseBlob(suite Suite, encoding Encoding, blob []byte) (Blob, error) {
	p := suite.params()
	if p == nil || p.curve == nil || encoding < EncodingHex || encoding > EncodingRecord {
		return Blob{}, ErrBlob
	}
	if encoding == EncodingRecord {
		if len(blob) == 0 || blob[0] != recordByte {
			return Blob{}, ErrBlob
		}
		blob = blob[1:]
	}
	if len(blob) < p.encSize+TagSize || blob[0] != pointByte {
		return Blob{}, ErrBlob
	}
	return Blob{Encoding: encoding, Enc: blob[:p.encSize:p.encSize], CT: blob[p.encSize:]}, nil
}
