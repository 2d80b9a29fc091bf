package cms

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"redoubt/wire/kit/test/timing"
)

// The two questions whose answers an attacker would ask for again and again: does the content key unwrap (Manger, CRYPTO
// 2001), and is the padding right (Vaudenay, EUROCRYPT 2002)?
func TestTheTimeOfARefusedEnvelopeDoesNotTellWhatWasWrong(t *testing.T) {
	key := testKey(t)
	plain := bytes.Repeat([]byte{7}, 185)
	message := seal(t, &key.PublicKey, plain, pkcs7(len(plain))).bytes()
	e, ok := parse(message)
	if !ok {
		t.Fatal("the envelope does not parse")
	}
	wrapped := bytes.Index(message, e.wrappedKey)
	padding := bytes.Index(message, e.iv) // which is before the ciphertext, whose last block is the padding
	if wrapped < 0 || padding < 0 {
		t.Fatal("the envelope's parts are not in it")
	}
	last := bytes.LastIndex(message, e.ciphertext[len(e.ciphertext)-16:])
	timing.Run(t, &timing.Probe{
		Size: len(message), Slow: true, Samples: 200, Sees: 150 * time.Microsecond,
		Inputs: [2]func(*rand.Rand, []byte){
			func(r *rand.Rand, in []byte) { // the wrapped key, below the modulus
				copy(in, message)
				for i := range 32 {
					in[wrapped+100+i] = byte(r.Uint32())
				}
			},
			func(r *rand.Rand, in []byte) { // the last block, by the one before
				copy(in, message)
				in[last-1] ^= byte(0x80 | r.IntN(128))
			},
		},
		Run: func(in []byte) bool {
			b, err := Open(key, in)
			if b != nil {
				b.Destroy()
			}
			return err == nil
		},
	})
}

// The check of the padding alone, where a nanosecond shows.
func TestTheTimeOfThePaddingsCheckDoesNotTellItsLength(t *testing.T) {
	timing.Run(t, &timing.Probe{
		Size: 16, Batch: 64, Sees: 10 * time.Nanosecond, Result: [2]bool{true, true},
		Inputs: [2]func(*rand.Rand, []byte){
			func(_ *rand.Rand, in []byte) { in[15] = 1 },
			func(_ *rand.Rand, in []byte) { copy(in, bytes.Repeat([]byte{16}, 16)) },
		},
		Run: func(in []byte) bool { _, valid := unpad(in); return valid == 1 },
	})
}
