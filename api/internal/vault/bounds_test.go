package vault

import (
	"fmt"
	"testing"
	"time"
)

func TestCountsOfRefusalsAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRefusals(func() time.Time { return now })
	for i := range 2 * maxRefusals {
		r.due(refusal{principal: fmt.Sprint(i)})
	}
	if n := len(r.seen); n > maxRefusals {
		t.Fatalf("%d refusals are remembered", n)
	}
}
