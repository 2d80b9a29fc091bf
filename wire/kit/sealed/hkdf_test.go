package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	mrand "math/rand/v2"
	"testing"
)

// Each size of input that the steps of RFC 9180 have, and those around a block of the hash.
func TestHKDFIsTheStandardLibrarys(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := s.params()
		random := func(most int) []byte {
			b := make([]byte, mrand.IntN(most+1))
			_, _ = rand.Read(b)
			return b
		}
		for range 3000 {
			salt, ikm, info := random(p.block), random(2*maxBlock), random(maxLabeled)
			want, err := hkdf.Extract(p.hash, ikm, salt)
			if err != nil {
				t.Fatal(err)
			}
			prk := make([]byte, p.nh)
			if !p.hmac(prk, salt, append(make([]byte, p.block), ikm...)) || !bytes.Equal(prk, want) {
				t.Fatalf("extract of %d and %d bytes differs", len(salt), len(ikm))
			}
			out := make([]byte, mrand.IntN(4*p.nh))
			if want, err = hkdf.Expand(p.hash, prk, string(info), len(out)); err != nil {
				t.Fatal(err)
			}
			if !p.hkdfExpand(out, prk, info) || !bytes.Equal(out, want) {
				t.Fatalf("expand of %d bytes to %d differs", len(info), len(out))
			}
		}
	})
}

func TestHKDFRefusesWhatItHasNoRoomFor(t *testing.T) {
	p := P384.params()
	out := make([]byte, p.nh)
	if p.hmac(out, make([]byte, p.block+1), make([]byte, p.block)) {
		t.Error("took a key that is longer than a block")
	}
	if p.hkdfExpand(out, out, make([]byte, maxLabeled+1)) {
		t.Error("took an info without room for it")
	}
	if p.hkdfExpand(make([]byte, 255*p.nh+1), out, nil) {
		t.Error("derived more than 255 hashes")
	}
}

// A heap block under package secret's Do costs as much as hashing a block of the message.
func TestKeyScheduleAllocatesNothing(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := s.params()
		dh, point, mem := make([]byte, p.scalar), make([]byte, p.encSize), make([]byte, ContextSize)
		if n := testing.AllocsPerRun(100, func() {
			var shared [maxHashSize]byte
			if !p.shareDH(shared[:p.nh], dh, point, point) || !p.fillContext(mem, shared[:p.nh], []byte("v_1")) {
				t.Fatal("refused")
			}
		}); n > 0 {
			t.Errorf("%v heap blocks", n)
		}
	})
}
