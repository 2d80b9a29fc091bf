// Package reply defines what the enclave seals to a caller's reply key, and opens it for the caller. For each
// requested result that is its value, or the reason why there is none. The form hides from the parts that carry it
// which of the two it is, and how long the value is.
//
// # Layout
//
// Each result is a field of encoding 3 (package sealed). All results of an answer share one encapsulation to the
// reply key. The field's name is the result's, in lower case; info is "redoubt/v2/reply" || 0x00 || vault id. The
// sealed bytes are
//
//	u8   type: 1 string (UTF-8), 2 JSON (RFC 8259), 3 problem: there is no value, and this JSON object says why
//	u32  length of the value, big endian
//	     the value
//	     zeros, up to the size that [Size] gives
//
// A problem is the object that /v1 shows without a reply key: {"code", "message", "kind"?, "position"?}
// ([redoubt/wire.AppendProblem]).
//
// Sizes are those of Padmé (Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with
// PURBs, PoPETs 2019, section 4), at least 256 bytes: with E = floor(log2 L) and S = floor(log2 E) + 1, L is rounded
// up to a multiple of 2^(E-S). From 256 bytes on that adds at most 6.25 %, and tells O(log log L) bits of the length.
//
// # What it guarantees, and against whom
//
// The parent, the load balancer and the API carry the answer. To them values of up to 251 bytes and problems look
// alike. Of a longer value they see the class of its size. They also see how many results there are, and their names.
// [Open] refuses a body that is not padded exactly in this way: a value has one encoding. HPKE base mode does not say
// who sealed. So a hostile parent can seal values of its own making.
//
// The first layout ("redoubt/v1/reply", JSON text without padding) is no longer made or opened.
package reply

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"redoubt/wire/kit/sealed"
)

// Type says how to read a value.
type Type uint8

// The types.
const (
	String  Type = 1
	JSON    Type = 2
	Problem Type = 3
)

const (
	// MinSize is the least size of the sealed bytes.
	MinSize = 256
	head    = 1 + 4
	info    = "redoubt/v2/reply\x00"
)

// ErrOpen is the error of every failure of [Open] and [Parse].
var ErrOpen = errors.New("reply: not a sealed reply for this key, vault and name")

// Value is a result as the caller sees it.
type Value struct {
	Type Type
	// Data is the string, the JSON text, or the problem as JSON.
	Data []byte
}

// Info is the HPKE info of replies about a vault.
func Info(vaultID string) string { return info + vaultID }

// Padme rounds n up to the next size of its class; n must not be negative.
func Padme(n int) int {
	if n < 2 {
		return n
	}
	e := bits.Len(uint(n)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}

// Size is the number of bytes that are sealed for a value of n bytes.
func Size(n int) int { return Padme(max(MinSize, head+n)) }

// Append appends the bytes to be sealed: Size(len(value)) of them.
func Append(dst []byte, t Type, value []byte) []byte {
	end := len(dst) + Size(len(value))
	dst = append(dst, byte(t))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, value...)
	return append(dst, make([]byte, end-len(dst))...)
}

// Parse reads bytes that were sealed. Data borrows from body. Error: [ErrOpen].
func Parse(body []byte) (Value, error) {
	if len(body) < MinSize {
		return Value{}, ErrOpen
	}
	v := Value{Type: Type(body[0])}
	n := binary.BigEndian.Uint32(body[1:head])
	if v.Type < String || v.Type > Problem || uint64(n) > uint64(len(body)-head) || Size(int(n)) != len(body) {
		return Value{}, ErrOpen
	}
	for _, b := range body[head+n:] {
		if b != 0 {
			return Value{}, ErrOpen
		}
	}
	v.Data = body[head : head+n : head+n]
	return v, nil
}

// Open opens the result of that name, in upper or lower case, with the private half of the reply key. The caller owns
// the value and should wipe it. Error: [ErrOpen].
func Open(key *sealed.PrivateKey, vaultID, name string, blob []byte) (Value, error) {
	n, err := sealed.NormalizeName(name)
	if err != nil {
		return Value{}, ErrOpen
	}
	b, err := sealed.ParseBlob(key.Suite(), sealed.EncodingRecord, blob)
	if err != nil {
		return Value{}, ErrOpen
	}
	c, err := key.Derive(make([]byte, sealed.ContextSize), []byte(Info(vaultID)), b.Enc)
	if err != nil {
		return Value{}, ErrOpen
	}
	body, err := c.Open(nil, []byte(n), b)
	if err != nil {
		return Value{}, ErrOpen
	}
	return Parse(body)
}
