package envelope

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

func appendU16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func appendU32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }
func appendU64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

// appendL appends the length of v as u16, and v, which is shorter than 64 KiB.
func appendL[T string | []byte](dst []byte, v T) []byte {
	return append(appendU16(dst, uint16(len(v))), v...)
}

// readBytes borrows n bytes from the front of in.
func readBytes(in *cryptobyte.String, out *[]byte, n uint32) bool {
	return uint64(n) <= uint64(len(*in)) && in.ReadBytes(out, int(n))
}
