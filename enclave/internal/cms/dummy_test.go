package cms

import (
	"bytes"
	"crypto/rand"
	"testing"
)

// A wrapped key that does not unwrap must cost what one does that unwraps: the content is decrypted all the same, under
// a key that nobody knows. A fixed key would let an attacker choose the padding that comes out.
func TestAKeyThatDoesNotUnwrapCostsTheSameWorkUnderARandomOne(t *testing.T) {
	key := testKey(t)
	plain := bytes.Repeat([]byte{7}, 185)
	e, ok := parse(seal(t, &key.PublicKey, plain, pkcs7(len(plain))).bytes())
	if !ok {
		t.Fatal("the envelope does not parse")
	}
	e.wrappedKey = make([]byte, key.Size())
	if _, err := rand.Read(e.wrappedKey[1:]); err != nil {
		t.Fatal(err)
	}
	var seen [3][]byte
	for i := range seen {
		seen[i] = make([]byte, len(e.ciphertext))
		valid, err := e.decrypt(key, seen[i])
		if valid != 0 || err != nil {
			t.Fatalf("valid %d, %v", valid, err)
		}
		if bytes.Equal(seen[i], make([]byte, len(seen[i]))) {
			t.Fatal("nothing was decrypted")
		}
		if i > 0 && bytes.Equal(seen[i], seen[i-1]) {
			t.Error("the same key took the place twice")
		}
	}
}
