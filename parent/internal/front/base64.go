package front

import (
	"bytes"
	"encoding/base64"
	"errors"
)

var errBase64 = errors.New("not standard padded base64")

var strictBase64 = base64.StdEncoding.Strict()

// appendBase64 appends the bytes that src encodes to dst: RFC 4648 section 4, padding required, trailing bits zero,
// no line breaks (which encoding/base64 would skip). dst is unchanged on error.
func appendBase64(dst, src []byte) ([]byte, error) {
	if len(src)%4 != 0 || bytes.IndexByte(src, '\n') >= 0 || bytes.IndexByte(src, '\r') >= 0 {
		return dst, errBase64
	}
	at := len(dst)
	dst = grow(dst, len(src)/4*3)
	n, err := strictBase64.Decode(dst[at:cap(dst)], src)
	if err != nil {
		return dst[:at], errBase64
	}
	return dst[:at+n], nil
}

// grow returns b with room for n more bytes, its length unchanged.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	nb := make([]byte, len(b), 2*cap(b)+n)
	copy(nb, b)
	return nb
}
