package trace

import (
	"encoding/hex"
	"math/rand/v2"
)

// MaxRequestID bounds a caller's request id, in bytes.
const MaxRequestID = 128

// RequestIDSize is the length of an id made here, in bytes.
const RequestIDSize = 32

// ValidRequestID reports whether a caller's id is safe to echo and to log: 1 to [MaxRequestID] ASCII letters, digits
// and -._:= (which gateways use), beginning with a letter or digit.
func ValidRequestID[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > MaxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case decimal(c), lower(c), c >= 'A' && c <= 'Z':
		case i > 0 && (c == '-' || c == '.' || c == '_' || c == ':' || c == '='):
		default:
			return false
		}
	}
	return true
}

// AppendRequestID appends a new request id, [RequestIDSize] lower-case hex digits.
func AppendRequestID(dst []byte) []byte {
	var id [RequestIDSize / 2]byte
	put(id[:8], rand.Uint64()) //nolint:gosec // an id for logs, not a secret
	put(id[8:], rand.Uint64()) //nolint:gosec // as above
	return hex.AppendEncode(dst, id[:])
}
