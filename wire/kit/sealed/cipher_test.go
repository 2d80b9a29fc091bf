package sealed

import (
	"bytes"
	"errors"
	"testing"

	"redoubt/wire/kit/secret"
)

// This fails when a new toolchain lays AES-GCM out otherwise: then gcmSize is to follow, or fields are slower.
func TestThisBuildHasCiphers(t *testing.T) {
	if !Ciphers() {
		t.Errorf("AES-256-GCM takes %d bytes, not %d", scrub.gcmLen, gcmSize)
	}
	if NewCipher(make([]byte, CipherSize-1)) != nil || NewCipher(make([]byte, CipherSize+8)[1:]) != nil {
		t.Error("a cipher over memory that is too short, or not aligned")
	}
}

// A copy of what an open leaves opens the same field and nothing else. It also does so when nothing else of the key is
// left, and not when it is wiped itself.
func TestACipherOpensTheFieldItWasFilledFor(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		p := newPair(t, s)
		for _, e := range []Encoding{EncodingField, EncodingRecord} {
			fields := benchSealed(t, e, p, 2)
			for i, f := range fields {
				var mem [ContextSize]byte
				c, err := p.sk.Derive(mem[:], []byte("v_1"), f.blob.Enc)
				if err != nil {
					t.Fatal(err)
				}
				first := NewCipher(make([]byte, CipherSize))
				if _, err := first.Open(nil, f.name, f.blob); !errors.Is(err, ErrOpen) {
					t.Error("a cipher that was not filled:", err)
				}
				want, err := c.OpenFor(first, nil, f.name, f.blob)
				if err != nil {
					t.Fatal(err)
				}
				secret.Wipe(mem[:])
				second := NewCipher(make([]byte, CipherSize))
				copy(second.Memory(), first.Memory())
				secret.Wipe(first.Memory())
				for range 2 {
					if got, err := second.Open([]byte("="), f.name, f.blob); err != nil || string(got) != "="+string(want) {
						t.Errorf("%q, %v", got, err)
					}
				}
				other := fields[1-i]
				changed := f.blob
				changed.CT = append([]byte{}, f.blob.CT...)
				changed.CT[len(changed.CT)-1] ^= 1
				short := f.blob
				short.CT = short.CT[:TagSize-1]
				for name, open := range map[string]func() ([]byte, error){
					"another name":  func() ([]byte, error) { return second.Open(nil, other.name, f.blob) },
					"another field": func() ([]byte, error) { return second.Open(nil, other.name, other.blob) },
					"changed":       func() ([]byte, error) { return second.Open(nil, f.name, changed) },
					"short":         func() ([]byte, error) { return second.Open(nil, f.name, short) },
					"long name":     func() ([]byte, error) { return second.Open(nil, make([]byte, MaxName+1), f.blob) },
					"wiped":         func() ([]byte, error) { return first.Open(nil, f.name, f.blob) },
				} {
					if got, err := open(); !errors.Is(err, ErrOpen) || got != nil {
						t.Errorf("%s: %q, %v", name, got, err)
					}
				}
			}
		}
	})
}

// An open that fails leaves a cipher as it was.
func TestAFailedOpenFillsNoCipher(t *testing.T) {
	c := NewCipher(make([]byte, CipherSize))
	var key [keySize]byte
	var nonce [nonceSize]byte
	if _, err := openAEAD(c, nil, key[:], nonce[:], make([]byte, 20), nil); !errors.Is(err, ErrOpen) {
		t.Error(err)
	}
	if !bytes.Equal(c.Memory(), make([]byte, CipherSize)) {
		t.Error("filled")
	}
}

func TestACipherAllocatesNothing(t *testing.T) {
	p := newPair(t, P256)
	f := benchSealed(t, EncodingRecord, p, 1)[0]
	var mem [ContextSize]byte
	ctx, err := p.sk.Derive(mem[:], []byte("v_1"), f.blob.Enc)
	if err != nil {
		t.Fatal(err)
	}
	c, dst := NewCipher(make([]byte, CipherSize)), make([]byte, 0, 256)
	if _, err := ctx.OpenFor(c, dst, f.name, f.blob); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = c.Open(dst, f.name, f.blob) }); n != 0 || err != nil {
		t.Errorf("%.1f allocations, %v", n, err)
	}
}
