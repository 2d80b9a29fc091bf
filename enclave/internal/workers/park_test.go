package workers

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// parking is a job of one unit that parks until it is told.
type parking struct {
	Task
	pool     *Pool
	parked   chan struct{}
	runs     atomic.Int32
	finished chan struct{}
}

func (j *parking) Unit(int) Outcome {
	if j.runs.Add(1) == 1 {
		close(j.parked)
		return Parked
	}
	return Worked
}
func (j *parking) Done()     { close(j.finished) }
func (j *parking) Panicked() {}

// resuming is a job whose unit resumes others.
type resuming struct {
	Task
	others   []*parking
	finished chan struct{}
}

func (j *resuming) Unit(int) Outcome {
	for _, o := range j.others {
		o.pool.Resume(&o.Task, 0)
	}
	return Worked
}
func (j *resuming) Done()     { close(j.finished) }
func (j *resuming) Panicked() {}

func TestAParkedUnitTakesNoWorkerAndRunsAgainOnce(t *testing.T) {
	p := New(Config{Workers: 1})
	l := &journal{}
	r := &resuming{finished: make(chan struct{})}
	for range 100 {
		j := &parking{pool: p, parked: make(chan struct{}), finished: make(chan struct{})}
		if err := p.Submit(&j.Task, j, Single, 0, 1, time.Hour); err != nil {
			t.Fatal(err)
		}
		<-j.parked
		r.others = append(r.others, j)
	}
	free := newJob("free", l)
	submit(t, p, free, Single, 1)
	<-free.finished // the one worker is free, with a hundred units parked
	if err := p.Submit(&r.Task, r, Single, 0, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	p.Close() // what is parked still ends
	for _, j := range r.others {
		<-j.finished
		if n := j.runs.Load(); n != 2 {
			t.Fatalf("run %d times", n)
		}
	}
}

func TestAResumedUnitGoesBeforeThoseThatStillQueue(t *testing.T) {
	p := New(Config{Workers: 1})
	j := &parking{pool: p, parked: make(chan struct{}), finished: make(chan struct{})}
	if err := p.Submit(&j.Task, j, Single, 0, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	<-j.parked
	l := &journal{}
	plug := newJob("plug", l)
	plug.gate = make(chan struct{})
	submit(t, p, plug, Single, 1)
	r := &resuming{others: []*parking{j}, finished: make(chan struct{})}
	if err := p.Submit(&r.Task, r, Single, 0, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	last := newJob("last", l)
	last.gate = make(chan struct{})
	submit(t, p, last, Single, 1)
	close(plug.gate)
	<-j.finished // while last, which came before it was resumed, has not ended
	close(last.gate)
	p.Close()
}

// The estimate of a kind is that of its work: units that found it done teach nothing, and those whose work others do are
// admitted at a wait that theirs would exceed.
func TestSharedWorkIsCountedOnce(t *testing.T) {
	const unit = 10 * time.Millisecond
	p, l, release := held(t, Config{Cost: [Kinds]time.Duration{unit}, Target: [classes]time.Duration{time.Second, time.Second}})
	submit(t, p, newJob("first", l), Single, 10)
	for range 1000 {
		j := newJob("shares", l)
		j.outcome = Spared
		if err := p.SubmitShared(&j.Task, j, Single, 0, 10, 10, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if wait := p.Wait(Single); wait < 10*unit || wait > 20*unit {
		t.Errorf("expected wait is %v", wait)
	}
	for range 100 {
		j := newJob("own", l)
		if err := p.Submit(&j.Task, j, Single, 0, 10, time.Hour); err != nil {
			if !errors.Is(err, ErrOverloaded) {
				t.Error(err)
			}
			release()
			return
		}
	}
	t.Error("work of its own was admitted without bound")
	release()
}

func TestSparedUnitsDoNotTeachWhatAUnitCosts(t *testing.T) {
	p := New(Config{Workers: 1, Cost: [Kinds]time.Duration{time.Second}})
	l := &journal{}
	j := newJob("spared", l)
	j.outcome = Spared
	submit(t, p, j, Single, 1000)
	p.Close()
	if got := p.Cost(0); got != time.Second {
		t.Errorf("the estimate went to %v", got)
	}
}
