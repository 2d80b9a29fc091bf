package differential

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// forSeeds runs a test for each of usual seeds, for SEEDS of them, or for SEED alone.
func forSeeds(t *testing.T, usual uint64, test func(t *testing.T, seed uint64)) {
	t.Helper()
	first, n := uint64(1), usual
	if s := number(t, "SEEDS"); s > 0 {
		n = s
	}
	if s := number(t, "SEED"); s > 0 {
		first, n = s, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("replay: make test-differential SEED=%d", seed)
				}
			}()
			test(t, seed)
		})
	}
}

func number(t *testing.T, name string) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s: not a number", name, text)
	}
	return n
}
