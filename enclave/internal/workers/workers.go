// Package workers runs the enclave's expensive work, above all public-key work, on a fixed number of goroutines,
// fairly between jobs.
//
// # Guarantee
//
// A job is a number of units, of which several may run at once, and each runs exactly once. After the last unit the
// job's Done runs exactly once, on the worker that finished that unit. A panic in either is caught and passed to the
// job's Panicked, and the worker lives on.
//
// A job that has more to do after its units continues with [Pool.Again] when its Done runs. Its next units are queued
// anew, at their own cost. So the queue accounts for them, and they do not lengthen the units of another kind.
//
// Within a class, jobs are ordered by a virtual deadline: arrival plus a multiple ([Stretch]) of the job's own work.
// So the units of one job spread over all workers. A small job overtakes a large one in work after the unit in hand.
// A stream of small jobs does not starve a large one: after Stretch times its own work it is the most urgent. Between
// the classes, one unit in [BatchEvery] belongs to [Batch] while both have work.
//
// A unit that needs the result of a running unit parks, and takes no worker while it waits. It is resumed before the
// units of its class that are still in the queue, since it has had its turn.
//
// Admission is by queue time. Submit refuses a job at once if the work ahead of it would take longer than the class's
// target or the time that the caller has left. It reckons with the service time measured so far for each kind of
// unit, and counts the work of shared units once. Early refusal keeps goodput up under overload. To bound the time in
// a queue, and not its length, is the lesson of CoDel (RFC 8289).
//
// With [Config.GiveWay] each worker has a thread of its own that gives way, within a unit, to the process's other
// threads, and gets a tenth of a CPU when they leave none. Without it, a goroutine that has a microsecond of work
// waits behind units until the kernel's scheduler shares a CPU among equal threads, a slice of milliseconds at a
// time. The Go scheduler must have a processor to spare (GOMAXPROCS above the number of workers). Otherwise such a
// goroutine does not reach the kernel's scheduler.
//
// # Limits
//
// Units do not preempt one another: a unit should take no longer than a few milliseconds. The service time is wall
// time, so a loaded machine looks like a slow one.
package workers

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Class separates jobs for which a caller waits from the jobs of a batch.
type Class uint8

// The classes.
const (
	Single Class = iota
	Batch
	classes
)

// Kind selects the estimate of a unit's cost. It is below [Kinds].
type Kind uint8

// Kinds is the number of estimates kept.
const Kinds = 24

// Stretch is the multiple of its own work (on one worker) after which a job goes before every later one.
const Stretch = 4

// sparedCost is the cost of a unit whose work another unit does: an AEAD open and the handling of the unit.
const sparedCost = 5 * time.Microsecond

// BatchEvery says how large the share of Batch is while singles wait: one unit in BatchEvery.
const BatchEvery = 8

var (
	// ErrOverloaded refuses a job that would wait too long.
	ErrOverloaded = errors.New("workers: overloaded")
	// ErrClosed refuses a job after Close.
	ErrClosed = errors.New("workers: closed")
)

// Outcome is how a unit ended.
type Outcome uint8

const (
	// Worked says that the unit did the work of its kind, so its time counts for the estimate.
	Worked Outcome = iota
	// Spared says that the unit found its work done, or no longer wanted.
	Spared
	// Parked says that the unit needs the result of another unit that is running, and occupies no worker until it is
	// there. It is run again after one call of [Pool.Resume], which may come before Unit returns. So Unit MUST NOT
	// touch its job once it has registered with the other unit.
	Parked
)

// Job is a piece of work of several units.
type Job interface {
	// Unit does unit i. It may run at the same time as other units of the job.
	Unit(i int) Outcome
	// Done runs once, after every unit has returned or panicked.
	Done()
	// Panicked is called if a Unit or Done panicked, in place of its return. It must not panic.
	Panicked()
}

// Task is the queue's view of one job. The owner embeds it in the job, so that submitting allocates nothing. It may
// be submitted again after Done.
type Task struct {
	job     Job
	class   Class
	kind    Kind
	units   int
	next    int
	cost    int64 // ns of one unit, as estimated at admission
	due     int64 // in ns on the pool's clock
	pending atomic.Int32
}

// Config sizes a pool.
type Config struct {
	// Workers is the number of goroutines; at least 1.
	Workers int
	// GiveWay makes each worker give way, within a unit, to the other work of the process; see the package's doc.
	GiveWay bool
	// Target is the longest expected wait per class. 0 means no bound but the caller's.
	Target [classes]time.Duration
	// Cost is the first estimate per kind; 0 means 100 µs.
	Cost [Kinds]time.Duration
}

// Pool is a fixed set of workers and their queues.
type Pool struct {
	cfg   Config
	start time.Time
	cost  [Kinds]atomic.Int64
	done  sync.WaitGroup

	mu      sync.Mutex
	work    sync.Cond
	queue   [classes]heap
	ready   [classes][]place // resumed units, which have had their turn in the queue
	backlog [classes]int64   // ns of units that have not begun
	turn    uint
	closed  bool
}

// New starts a pool.
func New(cfg Config) *Pool {
	p := &Pool{cfg: cfg, start: time.Now()}
	p.work.L = &p.mu
	for k := range p.cost {
		p.cost[k].Store(int64(cfg.Cost[k]))
		if cfg.Cost[k] <= 0 {
			p.cost[k].Store(int64(100 * time.Microsecond))
		}
	}
	p.cfg.Workers = max(1, cfg.Workers)
	for range p.cfg.Workers {
		p.done.Go(p.run)
	}
	return p
}

// place is one unit of a task.
type place struct {
	task *Task
	unit int
}

// Submit queues a job of one kind with this number of units, at least 1. left is the time that its caller still has.
// On an error the job was not queued, and none of its methods will run.
func (p *Pool) Submit(t *Task, job Job, class Class, kind Kind, units int, left time.Duration) error {
	return p.SubmitShared(t, job, class, kind, units, 0, left)
}

// SubmitShared is Submit for a job of which others in the queue do the work of spared units. The sharing shortens
// what later jobs have to wait, but does not change the job's own turn.
func (p *Pool) SubmitShared(
	t *Task, job Job, class Class, kind Kind, units, spared int, left time.Duration,
) error {
	p.prepare(t, job, class, kind, units)
	t.cost = (t.cost*int64(units-spared) + min(t.cost, int64(sparedCost))*int64(spared)) / int64(units)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	limit := left
	if target := p.cfg.Target[class]; target > 0 {
		limit = min(limit, target)
	}
	if p.late(t, int64(limit)) {
		return ErrOverloaded
	}
	p.push(t)
	return nil
}

// Again queues more units of a job whose Done runs. The wait has no bound, since the job was admitted and is in work.
// The job takes its place behind jobs that have less to do. Again MUST be called by Done, whose worker runs the units
// after Close too.
func (p *Pool) Again(t *Task, job Job, kind Kind, units int) {
	p.prepare(t, job, t.class, kind, units)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.push(t)
}

// enqueue is Submit of one unit without a bound on the wait. It returns false after Close.
func (p *Pool) enqueue(t *Task, job Job, class Class, kind Kind) bool {
	p.prepare(t, job, class, kind, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.push(t)
	return true
}

func (p *Pool) prepare(t *Task, job Job, class Class, kind Kind, units int) {
	t.job, t.class, t.kind, t.units, t.next = job, class, kind, units, 0
	t.cost = p.cost[kind].Load()
	t.due = int64(time.Since(p.start)) + Stretch*int64(units)*t.cost
	t.pending.Store(int32(units))
}

// push queues t. The caller holds p.mu.
func (p *Pool) push(t *Task) {
	p.backlog[t.class] += int64(t.units) * t.cost
	p.queue[t.class].push(t)
	for range min(t.units, p.cfg.Workers) {
		p.work.Signal()
	}
}

// late reports whether the work ahead of t would take longer than limit.
func (p *Pool) late(t *Task, limit int64) bool {
	other := p.backlog[1-t.class]
	if p.wait(t.class, p.backlog[t.class], other) <= limit {
		return false
	}
	return p.wait(t.class, p.queue[t.class].ahead(t), other) > limit
}

// wait estimates how long the work own of a class takes, beside the work other of the other class.
func (p *Pool) wait(class Class, own, other int64) int64 {
	if class == Batch {
		other = min(other, own*(BatchEvery-1))
	} else {
		other = min(other, own/(BatchEvery-1))
	}
	return (own + other) / int64(p.cfg.Workers)
}

// Wait returns the expected wait of a job that came now, as the last of its class.
func (p *Pool) Wait(class Class) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(p.wait(class, p.backlog[class], p.backlog[1-class]))
}

// Queued returns the number of jobs with units that no worker has begun.
func (p *Pool) Queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for class := range classes {
		n += len(p.queue[class]) + len(p.ready[class])
	}
	return n
}

// Cost returns the current estimate of a unit.
func (p *Pool) Cost(kind Kind) time.Duration { return time.Duration(p.cost[kind].Load()) }

// Workers returns the number of workers.
func (p *Pool) Workers() int { return p.cfg.Workers }

// Close refuses new jobs, lets the queued ones run, and returns when every worker has ended.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.work.Broadcast()
	p.mu.Unlock()
	p.done.Wait()
}
