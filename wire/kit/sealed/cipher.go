package sealed

import (
	"crypto/cipher"
	"reflect"
	"unsafe"
)

const (
	// gcmSize is the size of the library's AES-256-GCM with its key schedule and the products of its hash key. It is
	// known beforehand so that memory can be laid out; findCipher measures the real one.
	gcmSize = 760
	// CipherSize is the number of bytes of memory that a [Cipher] needs: AES-256-GCM set up, and its nonce.
	CipherSize = (gcmSize + nonceSize + 7) / 8 * 8
)

// Cipher opens one field, again and again, with AES-256-GCM that is set up already. Setting it up takes six times as
// long as opening a short field, and 1,280 bytes of heap. Like a [Context] and a [Field], a Cipher is over memory that
// belongs to the caller. The caller copies into that memory what [Context.OpenFor] or [Field.OpenFor] has written to
// the memory of another Cipher, and wipes it. One goroutine at a time may use it.
type Cipher struct {
	mem  []byte
	aead cipher.AEAD // lies in mem
	aad  [1 + MaxName]byte
}

// Ciphers reports whether this build knows how the library lays AES-256-GCM out. If not, there is no Cipher.
func Ciphers() bool { return scrub.aead != nil && scrub.gcmLen == gcmSize }

// NewCipher makes a Cipher over CipherSize bytes of memory, which must begin at a multiple of 8. It returns nil if this
// build has none.
func NewCipher(mem []byte) *Cipher {
	if !Ciphers() || len(mem) < CipherSize || uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 != 0 {
		return nil
	}
	c := &Cipher{mem: mem[:CipherSize:CipherSize]}
	// The library's type is plain memory (isPlain), so what is copied from a value of it is one.
	at := unsafe.Pointer(unsafe.SliceData(c.mem))
	c.aead, _ = reflect.NewAt(scrub.aead.Elem(), at).Interface().(cipher.AEAD)
	return c
}

// Memory is what NewCipher was given: the key.
func (c *Cipher) Memory() []byte { return c.mem }

// fill copies AES-GCM that was set up, and the nonce, into the memory.
func (c *Cipher) fill(aead cipher.AEAD, nonce []byte) {
	if c == nil || reflect.TypeOf(aead) != scrub.aead {
		return
	}
	copy(c.mem, unsafe.Slice((*byte)(reflect.ValueOf(aead).UnsafePointer()), gcmSize))
	copy(c.mem[gcmSize:], nonce)
}

// Open decrypts blob as [Context.Open] does. The blob must be a field with the name and the encapsulated key for which
// the memory was filled. Memory that was not filled, or is wiped, opens nothing.
func (c *Cipher) Open(dst, name []byte, blob Blob) ([]byte, error) {
	if len(name) > MaxName {
		return dst, ErrOpen
	}
	if mark := fieldMark(blob.Encoding); mark != 0 {
		return c.open(dst, blob.CT, append(append(c.aad[:0], mark), name...))
	}
	return c.open(dst, blob.CT, append(c.aad[:0], name...))
}

func (c *Cipher) open(dst, ct, aad []byte) ([]byte, error) {
	if len(ct) < TagSize || c.aead.NonceSize() != nonceSize {
		return dst, ErrOpen
	}
	out, err := c.aead.Open(dst, c.mem[gcmSize:gcmSize+nonceSize], ct, aad)
	if err != nil {
		return dst, ErrOpen
	}
	return out, nil
}
