package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"reflect"
	"unsafe"

	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/kem/xwing"

	"redoubt/wire/kit/secret"
)

// The libraries keep keys in private fields and cannot wipe them. This file does it for them. It finds the fields
// once, by name and type, when the program starts. If a new version lays its types out otherwise, nothing is touched.
// Those copies then last until the garbage collector ends them, Scrubs says so, and a test fails.

// scrubber knows where the libraries' types hold keys.
type scrubber struct {
	block, aead       reflect.Type // concrete types of AES and GCM
	blockSize, gcmLen uintptr

	scalars     bool    // the offsets below are known
	scalar      uintptr // offsets in ecdh.PrivateKey: the scalar ...
	inner       uintptr // ... and the pointer to the inner key ...
	innerScalar uintptr // ... with its own copy of the scalar

	lattice     bool    // the next two are known
	latticeKey  uintptr // offset in xwing.PrivateKey of the pointer to ML-KEM's decryption key
	latticeSize uintptr
}

var (
	scrub       = newScrubber()
	bytesType   = reflect.TypeFor[[]byte]()
	ecdhKeyType = reflect.TypeFor[ecdh.PrivateKey]()
)

// Scrubs reports whether this build knows how to wipe the copies of private scalars that crypto/ecdh keeps, with those
// of ML-KEM's keys that circl keeps, and the key schedules of crypto/aes and crypto/cipher.
func Scrubs() (scalars, ciphers bool) {
	return scrub.scalars && scrub.lattice, scrub.block != nil && scrub.aead != nil
}

func newScrubber() (s scrubber) {
	s.findCipher()
	s.findScalar()
	s.findLattice()
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

// findScalar finds the scalar in crypto/ecdh's key, and in the inner key that it points to.
func (s *scrubber) findScalar() {
	outer, ok := ecdhKeyType.FieldByName("privateKey")
	inner, ok2 := ecdhKeyType.FieldByName("fips")
	if !ok || !ok2 || outer.Type != bytesType ||
		inner.Type.Kind() != reflect.Pointer || inner.Type.Elem().Kind() != reflect.Struct {
		return
	}
	d, ok := inner.Type.Elem().FieldByName("d")
	if !ok || d.Type != bytesType {
		return
	}
	s.scalars, s.scalar, s.inner, s.innerScalar = true, outer.Offset, inner.Offset, d.Offset
}

// findLattice finds ML-KEM's decryption key, plain memory that X-Wing's private key points to.
func (s *scrubber) findLattice() {
	m, ok := reflect.TypeFor[xwing.PrivateKey]().FieldByName("m")
	if !ok || m.Type != reflect.TypeFor[mlkem768.PrivateKey]() {
		return
	}
	sk, ok := m.Type.FieldByName("sk")
	if !ok || sk.Type.Kind() != reflect.Pointer || !isPlain(sk.Type.Elem()) {
		return
	}
	s.lattice, s.latticeKey, s.latticeSize = true, m.Offset+sk.Offset, sk.Type.Elem().Size()
}

// wipeXWing zeroes the expanded key. sk is unusable afterwards.
func wipeXWing(sk *xwing.PrivateKey) {
	if sk == nil {
		return
	}
	if scrub.lattice {
		if key := *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(sk), scrub.latticeKey)); key != nil {
			secret.Wipe(unsafe.Slice((*byte)(key), scrub.latticeSize))
		}
	}
	*sk = xwing.PrivateKey{}
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

// Scrub zeroes the key schedules of an AES block and of a GCM made of it. It is for packages of the kit that make
// their own. Neither value may be used afterwards.
func Scrub(block cipher.Block, aead cipher.AEAD) { wipeCipher(block, aead) }

// wipeScalar zeroes both copies of the scalar that sk keeps. sk is unusable afterwards.
func wipeScalar(sk *ecdh.PrivateKey) {
	if sk == nil || !scrub.scalars {
		return
	}
	key := unsafe.Pointer(sk)
	secret.Wipe(*(*[]byte)(unsafe.Add(key, scrub.scalar)))
	if inner := *(*unsafe.Pointer)(unsafe.Add(key, scrub.inner)); inner != nil {
		secret.Wipe(*(*[]byte)(unsafe.Add(inner, scrub.innerScalar)))
	}
}
