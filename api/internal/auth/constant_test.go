package auth

import (
	"encoding/base64"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"redoubt/wire/kit/test/timing"
)

// The id of a key is no secret, but a stranger shall not find out by time which ids there are. A refusal therefore costs
// the same for an unknown id, a wrong secret and one that is nearly right, but for what a map's lookup takes less for an
// id that it has: 1 to 2 ns measured, of 500, which no caller of the service can see.
func TestTheTimeOfARefusedKeyTellsNothingOfTheKeysThatThereAre(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	k, err := OpenKeyFile(filepath.Join(t.TempDir(), "keys"), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	var token string
	for _, name := range []string{"a", "b", "c"} {
		if token, err = k.Create(name, Grant{Operations: []string{string(OpRead)}}, nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	const idAt, secretAt = len(keyPrefix), len(keyPrefix) + 2*keyIDSize + 1
	random := func(r *rand.Rand, in []byte) {
		var secret [keySecretSize]byte
		for i := range secret {
			secret[i] = byte(r.Uint32())
		}
		copy(in, token[:secretAt])
		base64.RawURLEncoding.Encode(in[secretAt:], secret[:])
	}
	near := func(_ *rand.Rand, in []byte) {
		copy(in, token)
		if in[secretAt+20] = 'M'; token[secretAt+20] == 'M' { // one letter is another
			in[secretAt+20] = 'N'
		}
	}
	unknown := func(r *rand.Rand, in []byte) {
		random(r, in)
		for i := range 2 * keyIDSize {
			in[idAt+i] = "0123456789abcdef"[r.IntN(16)]
		}
	}
	run := func(in []byte) bool { _, err := k.Authenticate(string(in)); return err == nil }
	for _, p := range []struct {
		what   string
		inputs [2]func(*rand.Rand, []byte)
		within time.Duration
	}{
		{"a wrong secret and one that is nearly right", [2]func(*rand.Rand, []byte){near, random}, 0},
		{"a known id and an unknown one", [2]func(*rand.Rand, []byte){random, unknown}, 10 * time.Nanosecond},
	} {
		t.Run(p.what, func(t *testing.T) {
			timing.Run(t, &timing.Probe{
				Size: len(token), Batch: 16, Sees: 40 * time.Nanosecond, Within: p.within, Inputs: p.inputs, Run: run,
			})
		})
	}
}
