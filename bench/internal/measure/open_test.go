package measure

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"
)

func TestEvenScheduleIsEven(t *testing.T) {
	s := Schedule{Rate: 1000, Even: true}
	for i := range 5000 {
		if got, want := s.Next(), time.Duration(i)*time.Millisecond; got != want {
			t.Fatalf("arrival %d at %v, want %v", i, got, want)
		}
	}
}

// TestPoissonScheduleHasRateAndVariance: the gaps' mean and standard deviation are both 1/rate.
func TestPoissonScheduleHasRateAndVariance(t *testing.T) {
	const n, rate = 200_000, 5000.0
	s := Schedule{Rate: rate, Seed: 7}
	var last time.Duration
	var sum, squares float64
	for range n {
		at := s.Next()
		if at < last {
			t.Fatal("time went back")
		}
		gap := (at - last).Seconds() * rate
		sum, squares, last = sum+gap, squares+gap*gap, at
	}
	mean := sum / n
	if deviation := math.Sqrt(squares/n - mean*mean); math.Abs(mean-1) > 0.02 || math.Abs(deviation-1) > 0.02 {
		t.Errorf("mean %v, standard deviation %v, want 1 and 1", mean, deviation)
	}
}

func TestScheduleRepeatsBySeed(t *testing.T) {
	a, b, c := Schedule{Rate: 10, Seed: 1}, Schedule{Rate: 10, Seed: 1}, Schedule{Rate: 10, Seed: 2}
	same := true
	for range 10 {
		x, y, z := a.Next(), b.Next(), c.Next()
		if x != y {
			t.Fatal("the same seed gives another schedule")
		}
		same = same && x == z
	}
	if same {
		t.Error("another seed gives the same schedule")
	}
}

// TestStallIsCountedForAllThatWaited is what an open loop is for: one stall of a single caller delays every request
// that was due meanwhile, and each is recorded with its whole delay.
func TestStallIsCountedForAllThatWaited(t *testing.T) {
	const stall = 100 * time.Millisecond
	first := true
	trip := func() (Outcome, error) {
		if first {
			first = false
			<-time.After(stall)
		}
		return OK, nil
	}
	r, err := Open(context.Background(), OpenOptions{
		Schedule: Schedule{Rate: 1000, Even: true}, Duration: 2 * stall,
	}, []OpenTrip{trip})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.By[OK].N(); n != 200 || r.Offered != 200 {
		t.Errorf("%d answered of %d offered, want 200", n, r.Offered)
	}
	// A quarter of them was due in the first half of the stall, and so waited for half of it or more.
	if p75 := r.By[OK].Quantile(0.76); p75 < 45_000 {
		t.Errorf("p76 is %v µs: the stall was left out", p75)
	}
	if s := r.Service.Quantile(0.5); s > 20_000 {
		t.Errorf("median service time %v µs", s)
	}
}

func TestOutcomesAreToldApart(t *testing.T) {
	n := 0
	trip := func() (Outcome, error) {
		n++
		return Outcome(n % int(Outcomes)), nil
	}
	r, err := Open(context.Background(), OpenOptions{Schedule: Schedule{Rate: 30_000, Even: true}, Duration: 10 * time.Millisecond}, []OpenTrip{trip})
	if err != nil || r.By[OK].N() != 100 || r.By[Refused].N() != 100 || r.By[Expired].N() != 100 {
		t.Errorf("%v: %d %d %d", err, r.By[OK].N(), r.By[Refused].N(), r.By[Expired].N())
	}
}

func TestErrorEndsTheRun(t *testing.T) {
	broken := errors.New("broken")
	_, err := Open(context.Background(), OpenOptions{Schedule: Schedule{Rate: 100}, Duration: time.Minute},
		[]OpenTrip{func() (Outcome, error) { return 0, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestHopelessRunEnds(t *testing.T) {
	block := make(chan struct{})
	ctx := context.Background()
	_, err := Open(ctx, OpenOptions{Schedule: Schedule{Rate: 1e6}, Duration: time.Minute, MaxWaiting: 10}, []OpenTrip{func() (Outcome, error) {
		select {
		case <-block:
		case <-time.After(50 * time.Millisecond):
		}
		return OK, nil
	}})
	if !errors.Is(err, ErrBehind) {
		t.Errorf("%v", err)
	}
}
