//go:build attack

package attack

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheVerdictFailsWhenItShould tries the judge on made-up samples: it must fail for slowness in three windows running,
// and for any failed request, and must not for a slow machine.
func TestTheVerdictFailsWhenItShould(t *testing.T) {
	made := func(took func(window int) time.Duration, err error) (all []sample) {
		for w := range 10 {
			for i := range 10 {
				all = append(all, sample{at: time.Duration(w)*window + time.Duration(i)*honestEvery, took: took(w), err: err})
			}
		}
		return all
	}
	always := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	quick := made(always(time.Millisecond), nil)
	slowFrom := func(from, to int) []sample {
		return made(func(w int) time.Duration {
			if w >= from && w < to {
				return 60 * time.Millisecond
			}
			return time.Millisecond
		}, nil)
	}
	for _, c := range []struct {
		name                   string
		quiet, during, control []sample
		fails                  string
	}{
		{"quiet", quick, quick, quick, ""},
		{"two slow windows", quick, slowFrom(3, 5), quick, ""},
		{"three slow windows", quick, slowFrom(3, 6), quick, "p99"},
		{"a slow machine", quick, slowFrom(3, 6), made(always(16*time.Millisecond), nil), ""},
		{"a caller that was slow before", made(always(8*time.Millisecond), nil), slowFrom(3, 6), quick, ""},
		{"failures", quick, made(always(time.Millisecond), errors.New("status 500")), quick, "status 500"},
		{"nothing asked", quick, nil, quick, "never asked"},
	} {
		v := judge(c.name, 1, c.quiet, c.during, c.control)
		if (v.err == nil) != (c.fails == "") || v.err != nil && !strings.Contains(v.err.Error(), c.fails) {
			t.Errorf("%s: %v", c.name, v.err)
		}
	}
}

// TestTheMonitorSeesAnswersThatComeLate: a server that stops answering for a while shows in as many windows, since
// requests are sent at their times and not when the one before was answered.
func TestTheMonitorSeesAnswersThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		stalled := honest{name: "stalled", ask: func(ctx context.Context) (bool, error) {
			if at := time.Since(begin); at > time.Second && at < 2*time.Second {
				return false, pause(ctx, 2*time.Second-at)
			}
			return false, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if v := judge("stalled", 1, nil, watch(ctx, []honest{stalled})[0], nil); v.err == nil || v.worst < 900*time.Millisecond {
			t.Errorf("%+v", v)
		}
	})
}

// TestRoundsAreAFunctionOfTheSeed: the same seed writes the same bytes.
func TestRoundsAreAFunctionOfTheSeed(t *testing.T) {
	base := []byte(strings.Repeat("GET / HTTP/1.1\r\n", 8))
	differ := 0
	for i := range 500 {
		write := func(seed uint64) string {
			g := newGen(seed, "x", i)
			return string(g.data(base)) + string(g.random(4))
		}
		once, again := write(7), write(7)
		if once != again {
			t.Fatalf("round %d differs from itself", i)
		}
		if once != write(8) {
			differ++
		}
	}
	if differ < 450 {
		t.Errorf("only %d rounds depend on the seed", differ)
	}
}

// TestMutationsReachTheirLimitsAndNoFurther: they grow texts, within a bound, and none happens in a round without.
func TestMutationsReachTheirLimitsAndNoFurther(t *testing.T) {
	g := newGen(1, "x", 0)
	longest := 0
	for range 20000 {
		longest = max(longest, len(g.mutate([]byte("0123456789"))))
	}
	if longest < 4<<10 || longest > 4*maxGrown {
		t.Errorf("the longest has %d bytes", longest)
	}
	for range 100 {
		g.odds = 0
		if g.num(5, 10) != 5 || g.text("a") != "a" {
			t.Fatal("a round without mutations mutates")
		}
	}
}
