package workers

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// job records the order in which its units ran.
type job struct {
	Task
	name     string
	log      *journal
	gate     chan struct{} // nil: units do not wait
	boom     bool
	outcome  Outcome
	units    atomic.Int32
	panics   atomic.Int32
	finished chan struct{}
}

type journal struct {
	mu  sync.Mutex
	seq []string
}

func (l *journal) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq = append(l.seq, s)
}

func newJob(name string, l *journal) *job {
	return &job{name: name, log: l, finished: make(chan struct{})}
}

func (j *job) Unit(int) Outcome {
	if j.gate != nil {
		<-j.gate
	}
	j.log.add(j.name)
	j.units.Add(1)
	if j.boom {
		panic("boom")
	}
	return j.outcome
}
func (j *job) Done()     { close(j.finished) }
func (j *job) Panicked() { j.panics.Add(1) }

// held returns a pool of one worker that waits at a gate, so that what is queued behind it is deterministic.
func held(t *testing.T, cfg Config) (*Pool, *journal, func()) {
	t.Helper()
	cfg.Workers = 1
	p := New(cfg)
	l := &journal{}
	plug := newJob("plug", l)
	plug.gate = make(chan struct{})
	if err := p.Submit(&plug.Task, plug, Single, 0, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	for p.Queued() > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	return p, l, func() { close(plug.gate); p.Close() }
}

func submit(t *testing.T, p *Pool, j *job, class Class, units int) {
	t.Helper()
	if err := p.Submit(&j.Task, j, class, 0, units, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func TestASmallJobOvertakesALargeOne(t *testing.T) {
	p, l, release := held(t, Config{Cost: [Kinds]time.Duration{time.Hour}})
	big, small := newJob("big", l), newJob("small", l)
	submit(t, p, big, Single, 1000)
	submit(t, p, small, Single, 1)
	release()
	if l.seq[1] != "small" || len(l.seq) != 1002 {
		t.Errorf("small ran at %d of %d", slices.Index(l.seq, "small"), len(l.seq))
	}
}

func TestALargeJobIsNotStarvedByLaterSmallOnes(t *testing.T) {
	p, l, release := held(t, Config{Cost: [Kinds]time.Duration{time.Nanosecond}})
	big := newJob("big", l)
	submit(t, p, big, Single, 3) // due after Stretch*3 µs of estimated work, which the sleep below exceeds
	time.Sleep(time.Millisecond)
	for range 100 {
		submit(t, p, newJob("small", l), Single, 1)
	}
	release()
	if !slices.Equal(l.seq[1:4], []string{"big", "big", "big"}) {
		t.Errorf("order %v", l.seq[:5])
	}
}

func TestBatchGetsItsShareAndNoMore(t *testing.T) {
	p, l, release := held(t, Config{})
	for range 64 {
		submit(t, p, newJob("batch", l), Batch, 1)
	}
	for range 700 {
		submit(t, p, newJob("single", l), Single, 1)
	}
	release()
	n := 0
	for _, s := range l.seq[1:401] {
		if s == "batch" {
			n++
		}
	}
	if n != 400/BatchEvery {
		t.Errorf("batch got %d of 400 units, want one in %d", n, BatchEvery)
	}
}

func TestAJobSpreadsOverAllWorkers(t *testing.T) {
	p := New(Config{Workers: 4})
	defer p.Close()
	l := &journal{}
	j := newJob("j", l)
	var together sync.WaitGroup
	together.Add(4)
	w := &meeting{Task: &j.Task, wait: &together, done: make(chan struct{})}
	if err := p.Submit(w.Task, w, Single, 0, 4, time.Hour); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the units did not run at the same time")
	}
}

// meeting's units return only once all of them run.
type meeting struct {
	*Task
	wait *sync.WaitGroup
	done chan struct{}
}

func (m *meeting) Unit(int) Outcome { m.wait.Done(); m.wait.Wait(); return Worked }
func (m *meeting) Done()            { close(m.done) }
func (m *meeting) Panicked()        {}

func TestAPanicIsHandedToTheJobAndTheWorkerLives(t *testing.T) {
	p := New(Config{Workers: 1})
	l := &journal{}
	bad, good := newJob("bad", l), newJob("good", l)
	bad.boom = true
	submit(t, p, bad, Single, 3)
	submit(t, p, good, Single, 1)
	<-bad.finished
	<-good.finished
	p.Close()
	if bad.panics.Load() != 3 || good.panics.Load() != 0 {
		t.Errorf("panics: bad %d, good %d", bad.panics.Load(), good.panics.Load())
	}
}

func TestAJobThatWouldWaitTooLongIsRefused(t *testing.T) {
	ms := [Kinds]time.Duration{time.Millisecond}
	p, l, release := held(t, Config{Cost: ms, Target: [classes]time.Duration{10 * time.Millisecond, time.Second}})
	defer release()
	n := 0
	for {
		j := newJob("j", l)
		if err := p.Submit(&j.Task, j, Single, 0, 1, time.Hour); err != nil {
			if !errors.Is(err, ErrOverloaded) {
				t.Fatal(err)
			}
			break
		}
		n++
	}
	if n != 11 { // ten milliseconds of work ahead is still within the target
		t.Errorf("accepted %d jobs of 1 ms with a target of 10 ms", n)
	}
	b := newJob("b", l)
	if err := p.Submit(&b.Task, b, Batch, 0, 1, time.Hour); err != nil {
		t.Errorf("batch was refused by the target of single: %v", err)
	}
}

func TestAJobWhoseCallerHasNoTimeIsRefused(t *testing.T) {
	p, l, release := held(t, Config{Cost: [Kinds]time.Duration{time.Millisecond}})
	defer release()
	submit(t, p, newJob("a", l), Single, 1)
	submit(t, p, newJob("b", l), Single, 1)
	late := newJob("late", l)
	if err := p.Submit(&late.Task, late, Single, 0, 1, time.Millisecond); !errors.Is(err, ErrOverloaded) {
		t.Errorf("error %v, want overloaded", err)
	}
}

func TestASmallJobIsAcceptedBesideALargeBacklog(t *testing.T) {
	ms := [Kinds]time.Duration{time.Millisecond}
	p, l, release := held(t, Config{Cost: ms, Target: [classes]time.Duration{10 * time.Millisecond}})
	defer release()
	submit(t, p, newJob("big", l), Single, 100)
	small := newJob("small", l)
	if err := p.Submit(&small.Task, small, Single, 0, 1, time.Hour); err != nil {
		t.Errorf("refused although it goes first: %v", err)
	}
	big := newJob("big2", l)
	if err := p.Submit(&big.Task, big, Single, 0, 100, time.Hour); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a second large job: %v, want overloaded", err)
	}
}

func TestTheServiceTimeIsLearned(t *testing.T) {
	p := New(Config{Workers: 1, Cost: [Kinds]time.Duration{time.Hour}})
	l := &journal{}
	j := newJob("j", l)
	submit(t, p, j, Single, 400)
	<-j.finished
	p.Close()
	if c := p.Cost(0); c > time.Second {
		t.Errorf("estimate %v after 400 units of no time", c)
	}
}

func TestCloseRunsWhatIsQueuedAndRefusesTheRest(t *testing.T) {
	p, l, release := held(t, Config{})
	j := newJob("j", l)
	submit(t, p, j, Single, 5)
	release()
	if j.units.Load() != 5 {
		t.Errorf("%d of 5 units ran", j.units.Load())
	}
	k := newJob("k", l)
	if err := p.Submit(&k.Task, k, Single, 0, 1, time.Hour); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want closed", err)
	}
}

func TestDoRunsOnAWorkerAndAfterCloseByItself(t *testing.T) {
	p := New(Config{Workers: 1, Target: [classes]time.Duration{1, 1}})
	n := 0
	p.Do(Single, 0, func() { n++ })
	panicked := func() (v any) {
		defer func() { v = recover() }()
		p.Do(Single, 0, func() { panic("boom") })
		return nil
	}()
	p.Close()
	p.Do(Single, 0, func() { n++ })
	if n != 2 || panicked == nil {
		t.Errorf("ran %d times, panic %v", n, panicked)
	}
}

func TestEveryUnitRunsExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(Config{Workers: rapid.IntRange(1, 4).Draw(t, "workers")})
		sizes := rapid.SliceOfN(rapid.IntRange(1, 20), 0, 30).Draw(t, "sizes")
		l := &journal{}
		jobs := make([]*job, len(sizes))
		for i, n := range sizes {
			jobs[i] = newJob("j", l)
			if err := p.Submit(&jobs[i].Task, jobs[i], Class(i%2), Kind(i%Kinds), n, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		p.Close()
		for i, j := range jobs {
			<-j.finished
			if int(j.units.Load()) != sizes[i] {
				t.Fatalf("job %d: %d of %d units", i, j.units.Load(), sizes[i])
			}
		}
		if p.backlog != [classes]int64{} {
			t.Fatalf("backlog %v after all work is done", p.backlog)
		}
	})
}

func TestTheHeapOrdersByDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h heap
		dues := rapid.SliceOf(rapid.Int64()).Draw(t, "dues")
		for _, d := range dues {
			h.push(&Task{due: d})
		}
		slices.Sort(dues)
		for _, d := range dues {
			if h[0].due != d {
				t.Fatalf("popped %d, want %d", h[0].due, d)
			}
			h.pop()
		}
	})
}

// BenchmarkSubmit is the way to a worker and back. A worker that gives way is on a thread of its own, and to wake that
// takes longer.
func BenchmarkSubmit(b *testing.B) {
	for _, polite := range []bool{false, true} {
		b.Run(fmt.Sprintf("giveWay=%t", polite), func(b *testing.B) {
			p := New(Config{Workers: 1, GiveWay: polite})
			defer p.Close()
			j := &bench{done: make(chan struct{}, 1)}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Submit(&j.Task, j, Single, 0, 1, time.Hour); err != nil {
					b.Fatal(err)
				}
				<-j.done
			}
		})
	}
}

type bench struct {
	Task
	done chan struct{}
}

func (*bench) Unit(int) Outcome { return Worked }
func (j *bench) Done()          { j.done <- struct{}{} }
func (*bench) Panicked()        {}

// relay is a job that goes on as another kind of work when its first part is done.
type relay struct {
	*job
	pool  *Pool
	parts int
}

func (r *relay) Done() {
	if r.parts--; r.parts > 0 {
		r.pool.Again(&r.Task, r, 1, 2)
		return
	}
	r.job.Done()
}

// TestAJobGoesOnBehindOthers: what a job queues when its first part is done comes after a job with less to do that was
// queued meanwhile, each unit runs once, and Close waits for all of it.
func TestAJobGoesOnBehindOthers(t *testing.T) {
	cfg := Config{Workers: 1}
	cfg.Cost[0], cfg.Cost[1] = time.Millisecond, time.Hour
	p, log, open := held(t, cfg)
	long, short := &relay{job: newJob("long", log), pool: p, parts: 3}, newJob("short", log)
	if err := p.Submit(&long.Task, long, Single, 0, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	submit(t, p, short, Single, 1)
	open() // closes the pool too
	<-long.finished
	if want := []string{"plug", "long", "short", "long", "long", "long", "long"}; !slices.Equal(log.seq, want) {
		t.Errorf("%v, want %v", log.seq, want)
	}
}
