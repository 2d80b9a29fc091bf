package front

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/timing"
)

// keyring is an Auth of as many keys as there may be, and the header of each.
func keyring(t *testing.T) (a *Auth, headers [][]byte) {
	t.Helper()
	var file strings.Builder
	for i := range maxKeys {
		secret := fmt.Sprintf("0123456789abcdef0123456789abcd%02d", i)
		fmt.Fprintf(&file, "caller-%02d %x\n", i, sha256.Sum256([]byte(secret)))
		headers = append(headers, []byte("Bearer "+secret))
	}
	a = NewAuth(false)
	if err := a.Load(strings.NewReader(file.String())); err != nil {
		t.Fatal(err)
	}
	return a, headers
}

func TestTheTimeOfARefusedKeyDoesNotTellHowMuchOfItIsRight(t *testing.T) {
	a, headers := keyring(t)
	timing.Run(t, &timing.Probe{
		Size: len(headers[0]), Batch: 8, Sees: 50 * time.Nanosecond,
		Inputs: [2]func(*rand.Rand, []byte){
			func(_ *rand.Rand, in []byte) { copy(in, headers[0]); in[len(in)-1] ^= 0x40 },
			func(r *rand.Rand, in []byte) {
				copy(in, headers[0])
				for i := len("Bearer "); i < len(in); i++ {
					in[i] = byte('A' + r.IntN(26))
				}
			},
		},
		Run: func(in []byte) bool { _, ok := a.Bearer(in); return ok },
	})
}

func TestTheTimeOfAnAdmittedKeyDoesNotTellWhichItIs(t *testing.T) {
	a, headers := keyring(t)
	timing.Run(t, &timing.Probe{
		Size: len(headers[0]), Batch: 8, Sees: 50 * time.Nanosecond, Result: [2]bool{true, true},
		Inputs: [2]func(*rand.Rand, []byte){
			func(_ *rand.Rand, in []byte) { copy(in, headers[0]) },
			func(r *rand.Rand, in []byte) { copy(in, headers[1+r.IntN(maxKeys-1)]) },
		},
		Run: func(in []byte) bool { _, ok := a.Bearer(in); return ok },
	})
}
