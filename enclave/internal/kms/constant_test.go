package kms

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"redoubt/wire/kit/test/timing"
)

// A session whose credentials are nearly those of another must not find out.
func TestTheTimeOfComparingCredentialsDoesNotTellHowMuchIsEqual(t *testing.T) {
	const size = 512 // a session token's, of the short ones
	id, long := []byte("AKIA"), bytes.Repeat([]byte("s"), size)
	random := func(r *rand.Rand, in []byte) {
		for i := range in {
			in[i] = byte(r.Uint32())
		}
	}
	near := func(_ *rand.Rand, in []byte) { copy(in, long); in[len(in)-1] ^= 1 }
	for what, run := range map[string]func(in []byte) bool{
		"secret": func(in []byte) bool {
			s := set{accessKeyID: "AKIA", secret: long[:40], token: long}
			return s.is(&Credentials{AccessKeyID: id, SecretAccessKey: in[size-40:], SessionToken: long})
		},
		"token": func(in []byte) bool {
			s := set{accessKeyID: "AKIA", secret: long[:40], token: long}
			return s.is(&Credentials{AccessKeyID: id, SecretAccessKey: long[:40], SessionToken: in})
		},
	} {
		t.Run(what, func(t *testing.T) {
			timing.Run(t, &timing.Probe{
				Size: size, Batch: 16, Sees: 20 * time.Nanosecond, Inputs: [2]func(*rand.Rand, []byte){near, random},
				Run: run,
			})
		})
	}
}
