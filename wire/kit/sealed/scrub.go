package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"reflect"
	"unsafe"

	"github.com/cloudflare/circl/kem"

	"redoubt/wire/kit/secret"
)

// The libraries keep keys in private fields and cannot wipe them. This file does it for them. It finds the fields
// once, by name and type, when the program starts. If a new version lays its types out otherwise, nothing is touched.
// Those copies then last until the garbage collector ends them, Scrubs says so, and a test fails.

// scrubber knows where the libraries' types hold keys.
type scrubber struct {
	block, aead       reflect.Type // concrete types of AES and GCM
	blockSize, gcmLen uintptr

	circlKey    reflect.Type // circl's private key over a NIST curve
	ecdhKey     uintptr      // offset of the *ecdh.PrivateKey in circlKey
	scalar      uintptr      // offsets in ecdh.PrivateKey: the scalar ...
	inner       uintptr      // ... and the pointer to the inner key ...
	innerScalar uintptr      // ... with its own copy of the scalar
}

var (
	scrub       = newScrubber()
	bytesType   = reflect.TypeFor[[]byte]()
	ecdhKeyType = reflect.TypeFor[*ecdh.PrivateKey]()
)

// Scrubs reports whether this build knows how to wipe the copies of private scalars that crypto/ecdh keeps, and the
// key schedules of crypto/aes and crypto/cipher.
func Scrubs() (scalars, ciphers bool) {
	return scrub.circlKey != nil, scrub.block != nil && scrub.aead != nil
}

func newScrubber() (s scrubber) {
	s.findCipher()
	s.findScalar()
	return s
}

// findCipher accepts only concrete types that are plain memory. They have no pointers, so zeroing them is safe.
func (s *scrubber) findCipher() {
	block, err := aes.NewCipher(make([]byte, keySize))
	if err != nil {
		return
	}
	if t := reflect.TypeOf(block); t.Kind() == reflect.Pointer && isPlain(t.Elem()) {
		s.block, s.blockSize = t, t.Elem().Size()
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return
	}
	if t := reflect.TypeOf(aead); t.Kind() == reflect.Pointer && isPlain(t.Elem()) {
		s.aead, s.gcmLen = t, t.Elem().Size()
	}
}

func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !isPlain(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128 && t.Kind() != reflect.Uintptr
	}
}

// findScalar finds circl's key -> *ecdh.PrivateKey -> its scalar, and -> inner key -> its scalar.
func (s *scrubber) findScalar() {
	_, sk, err := suites[P256].kem.Scheme().GenerateKeyPair()
	if err != nil {
		return
	}
	t := reflect.TypeOf(sk)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return
	}
	priv, ok := t.Elem().FieldByName("priv")
	outer, ok2 := ecdhKeyType.Elem().FieldByName("privateKey")
	inner, ok3 := ecdhKeyType.Elem().FieldByName("fips")
	if !ok || !ok2 || !ok3 || priv.Type != ecdhKeyType || outer.Type != bytesType ||
		inner.Type.Kind() != reflect.Pointer || inner.Type.Elem().Kind() != reflect.Struct {
		return
	}
	d, ok := inner.Type.Elem().FieldByName("d")
	if !ok || d.Type != bytesType {
		return
	}
	s.circlKey, s.ecdhKey = t, priv.Offset
	s.scalar, s.inner, s.innerScalar = outer.Offset, inner.Offset, d.Offset
}

// wipeCipher zeroes the key schedules. Neither value may be used afterwards.
func wipeCipher(block cipher.Block, aead cipher.AEAD) {
	if scrub.block != nil && reflect.TypeOf(block) == scrub.block {
		secret.Wipe(unsafe.Slice((*byte)(reflect.ValueOf(block).UnsafePointer()), scrub.blockSize))
	}
	if scrub.aead != nil && reflect.TypeOf(aead) == scrub.aead {
		secret.Wipe(unsafe.Slice((*byte)(reflect.ValueOf(aead).UnsafePointer()), scrub.gcmLen))
	}
}

// wipeScalar zeroes both copies of the scalar that crypto/ecdh keeps for sk. sk is unusable afterwards.
func wipeScalar(sk kem.PrivateKey) {
	if sk == nil || scrub.circlKey == nil || reflect.TypeOf(sk) != scrub.circlKey {
		return
	}
	key := *(*unsafe.Pointer)(unsafe.Add(reflect.ValueOf(sk).UnsafePointer(), scrub.ecdhKey))
	if key == nil {
		return
	}
	secret.Wipe(*(*[]byte)(unsafe.Add(key, scrub.scalar)))
	if inner := *(*unsafe.Pointer)(unsafe.Add(key, scrub.inner)); inner != nil {
		secret.Wipe(*(*[]byte)(unsafe.Add(inner, scrub.innerScalar)))
	}
}
