package sealed

import (
	"crypto/ecdh"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"redoubt/wire/kit/test/timing"
)

// forms are the ways in which a sealed field fails. A caller who could tell them apart by time would learn whether a
// guessed vault, name or key was right.
const (
	wrongTag = iota
	wrongName
	wrongVault
	wrongKey
)

var constantForms = map[string]byte{"name": wrongName, "vault": wrongVault, "key": wrongKey}

// SECURITY.md, check 26, by statistics: the time of a failure does not tell what was wrong, in either encoding.
func TestTheTimeOfAFailureDoesNotTellWhatWasWrong(t *testing.T) {
	pairs := [2]pair{newPair(t, P256), newPair(t, P256)}
	for _, e := range []Encoding{EncodingField, EncodingRecord} {
		good := sealOne(t, e, pairs[0], "v_1", "ssn", "123-45-6789")
		for what, form := range constantForms {
			t.Run(fmt.Sprint("encoding ", e, ", a wrong tag and a wrong ", what), func(t *testing.T) {
				timing.Run(t, &timing.Probe{
					Size: 1 + len(good), Slow: true, Samples: 1000, Sees: 5 * time.Microsecond,
					Inputs: [2]func(*rand.Rand, []byte){failing(wrongTag, good), failing(form, good)},
					Run: func(in []byte) bool {
						names, vaults := [2]string{"ssn", "dob"}, [2]string{"v_1", "v_2"}
						_, err := openOnce(pairs[is(in[0], wrongKey)].sk, vaults[is(in[0], wrongVault)],
							names[is(in[0], wrongName)], e, in[1:])
						return err == nil
					},
				})
			})
		}
	}
}

// The same for a field whose key agreement is in the cache: here a nanosecond is a larger part.
func TestTheTimeOfAHotFailureDoesNotTellWhatWasWrong(t *testing.T) {
	p := newPair(t, P256)
	for _, e := range []Encoding{EncodingField, EncodingRecord} {
		good := sealOne(t, e, p, "v_1", "ssn", "123-45-6789")
		blob, err := ParseBlob(P256, e, good)
		if err != nil {
			t.Fatal(err)
		}
		var mem [2][ContextSize]byte
		var contexts [2]Context
		for i, vault := range []string{"v_1", "v_2"} {
			if contexts[i], err = p.sk.Derive(mem[i][:], []byte(vault), blob.Enc); err != nil {
				t.Fatal(err)
			}
		}
		names := [2][]byte{[]byte("ssn"), []byte("dob")}
		for what, form := range map[string]byte{"name": wrongName, "key": wrongVault} {
			t.Run(fmt.Sprint("encoding ", e, ", a wrong tag and a wrong ", what), func(t *testing.T) {
				timing.Run(t, &timing.Probe{
					Size: 1 + len(good), Batch: 8, Sees: 100 * time.Nanosecond,
					Inputs: [2]func(*rand.Rand, []byte){failing(wrongTag, good), failing(form, good)},
					Run: func(in []byte) bool {
						b, err := ParseBlob(P256, e, in[1:])
						if err != nil {
							return true
						}
						_, err = contexts[is(in[0], wrongVault)].Open(nil, names[is(in[0], wrongName)], b)
						return err == nil
					},
				})
			})
		}
	}
}

// failing makes inputs that fail in one way: the way, and the sealed field.
func failing(form byte, good []byte) func(*rand.Rand, []byte) {
	return func(r *rand.Rand, in []byte) {
		in[0] = form
		copy(in[1:], good)
		if form == wrongTag {
			in[len(in)-1-r.IntN(TagSize)] ^= byte(1 + r.IntN(255))
		}
	}
}

// is is 1 for the form, without a branch that would take time of its own.
func is(form, what byte) int { return int((uint16(form^what) - 1) >> 15) }

// The classes of dudect's paper: one private key against many. A scalar of few bits is what a short cut would show.
func TestTheTimeOfKeyAgreementDoesNotTellTheKey(t *testing.T) {
	forSuites(t, func(t *testing.T, s Suite) {
		const many = 32
		short := make([]byte, s.params().scalar)
		short[len(short)-1] = 3
		keys := make([]*PrivateKey, 0, 2*many)
		for i := range 2 * many {
			var std *ecdh.PrivateKey
			var err error
			if i < many {
				std, err = s.Curve().NewPrivateKey(short)
			} else {
				std = newPair(t, s).std
			}
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(std)
			if err != nil {
				t.Fatal(err)
			}
			sk, err := ParsePrivateKey(s, der)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, sk)
		}
		enc := newPair(t, s).std.PublicKey().Bytes()
		// P-384 and P-521 of the standard library take half a millisecond and two.
		samples := map[Suite]int{P256: 1000, P384: 300, P521: 150}[s]
		sees := map[Suite]time.Duration{P256: 20 * time.Microsecond, P384: 60 * time.Microsecond, P521: 200 * time.Microsecond}[s]
		timing.Run(t, &timing.Probe{
			Size: 1, Slow: true, Samples: samples, Sees: sees, Result: [2]bool{true, true},
			Inputs: [2]func(*rand.Rand, []byte){
				func(r *rand.Rand, in []byte) { in[0] = byte(r.IntN(many)) },
				func(r *rand.Rand, in []byte) { in[0] = byte(many + r.IntN(many)) },
			},
			Run: func(in []byte) bool {
				var dh [maxScalarSize]byte
				return keys[in[0]].agree(dh[:s.params().scalar], enc)
			},
		})
	})
}

// A public key beside a private one is compared whole.
func TestTheTimeOfComparingAPublicKeyDoesNotTellWhereItDiffers(t *testing.T) {
	point := newPair(t, P256).std.PublicKey().Bytes()
	timing.Run(t, &timing.Probe{
		Size: len(point), Batch: 64, Sees: 5 * time.Nanosecond,
		Inputs: [2]func(*rand.Rand, []byte){
			func(_ *rand.Rand, in []byte) { copy(in, point); in[len(in)-1] ^= 1 },
			func(r *rand.Rand, in []byte) {
				copy(in, point)
				for i := range in[1:] {
					in[1+i] = byte(r.Uint32())
				}
			},
		},
		Run: func(in []byte) bool { return samePoint(point, in) },
	})
	if !samePoint(point, slices.Clone(point)) {
		t.Error("a point is not itself")
	}
}
