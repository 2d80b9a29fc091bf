// Package pksuid makes and reads vault ids: a prefix, an underscore and 20 bytes in base62. The first four bytes are
// the time in seconds (big endian, since Unix 1400000000), and sixteen are random. The API makes the ids of vaults
// whose key KMS makes, the enclave those of vaults whose key it makes itself.
//
// An id cannot be guessed (128 bits from crypto/rand), and shows when it was made, to the second. It has the layout
// of PKSUIDs (segmentio/ksuid's payload with a prefix), which the reference uses (the AWS sample that Redoubt
// succeeds). Base62 is a plain big-endian integer over 0-9A-Za-z without padding.
package pksuid

import (
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"strings"
	"time"
)

const (
	epoch    = 1_400_000_000
	size     = 20
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	maxChars = 27
)

// New makes an id of the given time, which must lie between 2014 and 2150.
func New(prefix string, at time.Time) string {
	var raw [size]byte
	binary.BigEndian.PutUint32(raw[:4], uint32(at.Unix()-epoch))
	_, _ = rand.Read(raw[4:]) // never fails (crypto/rand)
	return prefix + "_" + encode(raw[:])
}

// Time returns the time inside an id with the given prefix, and whether it is an id as [New] writes it. Anything else
// is not, also another spelling of the same number.
func Time(prefix, id string) (time.Time, bool) {
	text, ok := strings.CutPrefix(id, prefix+"_")
	if !ok || text == "" || len(text) > maxChars {
		return time.Time{}, false
	}
	n := new(big.Int)
	base := big.NewInt(int64(len(alphabet)))
	for i := range len(text) {
		digit := strings.IndexByte(alphabet, text[i])
		if digit < 0 {
			return time.Time{}, false
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(digit)))
	}
	if n.BitLen() > size*8 {
		return time.Time{}, false
	}
	var raw [size]byte
	n.FillBytes(raw[:])
	if encode(raw[:]) != text {
		return time.Time{}, false
	}
	return time.Unix(epoch+int64(binary.BigEndian.Uint32(raw[:4])), 0).UTC(), true
}

func encode(raw []byte) string {
	n, digit := new(big.Int).SetBytes(raw), new(big.Int)
	base := big.NewInt(int64(len(alphabet)))
	var out [maxChars]byte
	i := len(out)
	for n.Sign() > 0 {
		n.DivMod(n, base, digit)
		i--
		out[i] = alphabet[digit.Int64()]
	}
	return string(out[i:])
}
