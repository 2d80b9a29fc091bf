package engine

import (
	"sync"

	"redoubt/wire/kit/secret"
)

// MaxBegun bounds the evaluations that are begun and wait for their next slice while other requests' work goes in
// between. Each of them holds the values of its expressions and their results, up to [EvaluationCost]. Without this
// bound as many could be begun as requests may wait, and they would hold a thousand times as much.
const MaxBegun = 3

// EvaluationCost bounds the bytes that an evaluation holds, before or after it has become an answer. Requests that
// build as much as their cost allows were measured at 3 MiB.
const EvaluationCost = 4 << 20

// begun counts the evaluations that have a place, and keeps the jobs that wait for one.
type begun struct {
	mu      sync.Mutex
	taken   int
	waiting []*job
}

// take gives the job a place. If there is none and queue is true, it queues the job, which then belongs to the
// others.
func (b *begun) take(j *job, queue bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken < MaxBegun {
		b.taken++
		j.placed = true
		return true
	}
	if queue {
		b.waiting = append(b.waiting, j)
	}
	return false
}

// give passes a place on to the next waiting job, and returns that job, if there is one.
func (b *begun) give() *job {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.taken--
		b.waiting = nil
		return nil
	}
	next := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	next.placed = true
	return next
}

// giveUp forgets an evaluation that took longer than a slice when there was no place for it. An evaluation has no
// effects, so it can begin anew when there is a place.
func (j *job) giveUp() {
	j.endEvaluation()
	secret.Wipe(j.results)
	j.results, j.spans = nil, j.spans[:0]
}

// goOnEvaluating queues the next slice. Without a place the job waits for one.
func (j *job) goOnEvaluating() bool {
	j.handed.Store(true)
	if j.placed || j.e.begun.take(j, true) {
		return j.again(evaluating, 1)
	}
	return true
}

// leavePlace gives the job's place to the next. It runs within Done, as Again asks.
func (j *job) leavePlace() {
	if !j.placed {
		return
	}
	j.placed = false
	if next := j.e.begun.give(); next != nil {
		next.again(evaluating, 1)
	}
}
