package resealjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// vaults is a deployment with keys of generation 1 or 2.
type vaults struct {
	mu         sync.Mutex
	generation []int
	broken     map[string]Outcome
	writes     int
	step       func() error // before each call
	size       int
}

func deployment(n, size int) *vaults {
	v := &vaults{size: size, broken: map[string]Outcome{}, step: func() error { return nil }}
	for range n {
		v.generation = append(v.generation, 1)
	}
	return v
}

func (v *vaults) List(_ context.Context, cursor string) (ids []string, next string, err error) {
	if err := v.step(); err != nil {
		return nil, "", err
	}
	from, _ := strconv.Atoi(cursor)
	to := min(from+v.size, len(v.generation))
	for i := from; i < to; i++ {
		ids = append(ids, fmt.Sprint(i))
	}
	if to < len(v.generation) {
		next = strconv.Itoa(to)
	}
	return ids, next, nil
}

func (v *vaults) Reseal(_ context.Context, id string, dry bool) (*Result, error) {
	if err := v.step(); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	i, _ := strconv.Atoi(id)
	switch o, broken := v.broken[id]; {
	case broken:
		return &Result{Outcome: o}, nil
	case v.generation[i] == 2:
		return &Result{Outcome: Current}, nil
	case dry:
		return &Result{Outcome: Due}, nil
	}
	v.generation[i], v.writes = 2, v.writes+1
	return &Result{Outcome: Resealed}, nil
}

func (v *vaults) left() (n int) {
	for _, g := range v.generation {
		if g == 1 {
			n++
		}
	}
	return n
}

func TestEveryVaultGetsANewKeyOnceAndFailuresAreNamed(t *testing.T) {
	v := deployment(50, 7)
	v.broken["13"] = Unopened
	v.generation[4] = 2
	var seen int
	got, err := (&Job{Vaults: v, Parallel: 4, Progress: func(r *Report) { seen = r.Vaults }}).Run(t.Context())
	if err != nil || !got.Complete || got.Vaults != 50 || got.Failed() != 1 || got.Outcomes[Resealed] != 48 ||
		got.Outcomes[Current] != 1 || len(got.Failures) != 1 || got.Failures[0].VaultID != "13" || v.writes != 48 || seen != 50 {
		t.Errorf("%+v, %v, %d writes", got, err, v.writes)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	v := deployment(10, 4)
	got, err := (&Job{Vaults: v, Dry: true}).Run(t.Context())
	if err != nil || got.Outcomes[Due] != 10 || v.writes != 0 || got.Failed() != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

var errKilled = errors.New("killed")

// A job that is killed at any of its steps is given again, with what it kept, and does nothing twice.
func TestAJobThatEndsAtAnyStepGoesOn(t *testing.T) {
	for at := 1; ; at++ {
		v := deployment(12, 5)
		var kept []byte
		keep := func(p *Place) (err error) {
			kept, err = json.Marshal(p)
			return err
		}
		step := 0
		v.step = func() error {
			if step++; step == at {
				return errKilled
			}
			return nil
		}
		_, err := (&Job{Vaults: v, Keep: keep}).Run(t.Context())
		if err == nil {
			if at < 15 {
				t.Errorf("only %d steps", at)
			}
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		var from *Place
		if kept != nil {
			if err := json.Unmarshal(kept, &from); err != nil {
				t.Fatal(err)
			}
		}
		got, err := (&Job{Vaults: v, Keep: keep, From: from}).Run(t.Context())
		if err != nil || !got.Complete || got.Vaults != 12 || v.left() != 0 || v.writes != 12 {
			t.Fatalf("ended at step %d: %+v, %v, %d writes", at, got, err, v.writes)
		}
	}
}

func TestTwoJobsAtOnceDoNothingTwice(t *testing.T) {
	v := deployment(200, 9)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if got, err := (&Job{Vaults: v, Parallel: 3}).Run(t.Context()); err != nil || got.Failed() != 0 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v.writes != 200 || v.left() != 0 {
		t.Errorf("%d writes", v.writes)
	}
}

func TestAJobThatIsStoppedFinishesTheVaultInWork(t *testing.T) {
	v := deployment(20, 5)
	ctx, stop := context.WithCancel(t.Context())
	var kept *Place
	got, err := (&Job{Vaults: v, Keep: func(p *Place) error {
		kept = p
		return nil
	}, Progress: func(r *Report) {
		if r.Vaults == 7 {
			stop()
		}
	}}).Run(ctx)
	if !errors.Is(err, context.Canceled) || got.Complete || got.Vaults != v.writes || v.writes < 7 || v.writes == 20 ||
		kept == nil || kept.Cursor != "5" {
		t.Errorf("%+v, %v, %d writes, %+v", got, err, v.writes, kept)
	}
}

func TestAJobWaitsForADeploymentThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := deployment(3, 3)
		calls := 0
		v.step = func() error {
			if calls++; calls <= 5 {
				return ErrTransient
			}
			return nil
		}
		start := time.Now()
		got, err := (&Job{Vaults: v}).Run(t.Context())
		if took := time.Since(start); err != nil || !got.Complete || took != 3100*time.Millisecond {
			t.Errorf("%+v, %v, after %v", got, err, took)
		}
		v.step = func() error { return ErrTransient }
		start = time.Now()
		_, err = (&Job{Vaults: v}).Run(t.Context())
		if took := time.Since(start); !errors.Is(err, ErrTransient) || took > 5*time.Minute {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestTheRateBoundsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if _, err := (&Job{Vaults: deployment(101, 50), Rate: 10, Parallel: 8}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestAPlaceThatCannotBeKeptEndsTheJob(t *testing.T) {
	v := deployment(20, 5)
	got, err := (&Job{Vaults: v, Keep: func(*Place) error { return errKilled }}).Run(t.Context())
	if !errors.Is(err, errKilled) || got.Vaults != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}
