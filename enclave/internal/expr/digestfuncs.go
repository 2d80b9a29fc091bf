package expr

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// digestFunctions give digests in lower-case hex. The plain ones are the reference's. They hide nothing of a value
// that can be guessed (a date, a social security number). hmac_sha256 hides it from everyone who lacks the key.
func (l library) digestFunctions() []signature {
	return []signature{
		onString("sha256", func(s string) ref.Val {
			sum := sha256.Sum256(bytesOf(s))
			return hexOf(sum[:])
		}),
		onString("sha384", func(s string) ref.Val {
			sum := sha512.Sum384(bytesOf(s))
			return hexOf(sum[:])
		}),
		onString("sha512", func(s string) ref.Val {
			sum := sha512.Sum512(bytesOf(s))
			return hexOf(sum[:])
		}),
		onString("hmac_sha256", l.hmac),
	}
}

func (l library) hmac(s string) ref.Val {
	if l.mac == nil {
		return failed(KindKey)
	}
	sum, err := l.mac.HMACSHA256(make([]byte, 0, sha256.Size), bytesOf(s))
	if err != nil || len(sum) != sha256.Size {
		return failed(KindKey)
	}
	return hexOf(sum)
}

func hexOf(sum []byte) ref.Val {
	return types.String(stringOf(hex.AppendEncode(make([]byte, 0, 2*len(sum)), sum)))
}
