package workers

import "time"

// run is one worker. Once a task's last unit is done the task may be reused, so run copies beforehand what it needs
// later. The time of Done counts into the unit before it.
func (p *Pool) run() {
	if p.cfg.GiveWay {
		giveWay()
	}
	for {
		t, i, ok := p.take()
		if !ok {
			return
		}
		begun, job, kind := time.Now(), t.job, t.kind
		outcome := unit(job, i)
		if outcome == Parked {
			continue
		}
		if t.pending.Add(-1) == 0 {
			finish(job)
		}
		if outcome == Worked {
			p.learn(kind, int64(time.Since(begun)))
		}
	}
}

// take waits for the most urgent unit.
func (p *Pool) take() (t *Task, i int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.has(Single) && !p.has(Batch) {
		if p.closed {
			return nil, 0, false
		}
		p.work.Wait()
	}
	class := p.pick()
	if r := p.ready[class]; len(r) > 0 {
		at := r[0]
		r[0] = place{}
		if p.ready[class] = r[1:]; len(r) == 1 {
			p.ready[class] = nil
		}
		return at.task, at.unit, true
	}
	q := &p.queue[class]
	t = (*q)[0]
	i = t.next
	t.next++
	p.backlog[class] -= t.cost
	if t.next == t.units {
		q.pop()
	}
	return t, i, true
}

// has reports whether a class has a unit to run. The lock is held.
func (p *Pool) has(class Class) bool { return len(p.queue[class])+len(p.ready[class]) > 0 }

// Resume runs unit i of a task, which parked, again. It may be called only from within a unit: the worker that runs
// that unit is the only one that is certain to be there after Close.
func (p *Pool) Resume(t *Task, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready[t.class] = append(p.ready[t.class], place{t, i})
	p.work.Signal()
}

// pick chooses the class of the next unit. At least one class has work.
func (p *Pool) pick() Class {
	switch {
	case !p.has(Batch):
		return Single
	case !p.has(Single):
		return Batch
	}
	p.turn++
	if p.turn%BatchEvery == 0 {
		return Batch
	}
	return Single
}

// learn moves a kind's estimate towards the time that a unit took. Workers race here on purpose: a lost update is a
// lost sample.
func (p *Pool) learn(kind Kind, took int64) {
	old := p.cost[kind].Load()
	p.cost[kind].Store(max(1000, old+(took-old)/16))
}

func unit(j Job, i int) (o Outcome) {
	defer func() {
		if recover() != nil {
			j.Panicked()
		}
	}()
	return j.Unit(i)
}

func finish(j Job) {
	defer func() {
		if recover() != nil {
			j.Panicked()
		}
	}()
	j.Done()
}

// Do runs f on a worker and returns when f has ended. It is never refused for lateness: it is for work on which
// others wait, such as the parsing of a key. After Close it runs f itself. A panic of f is raised again here.
func (p *Pool) Do(class Class, kind Kind, f func()) {
	d := &do{f: f, done: make(chan struct{})}
	if !p.enqueue(&d.Task, d, class, kind) {
		f()
		return
	}
	<-d.done
	if d.panicked {
		panic("workers: the function panicked")
	}
}

// do is the job of Do.
type do struct {
	Task
	f        func()
	done     chan struct{}
	panicked bool
}

func (d *do) Unit(int) Outcome { d.f(); return Worked }
func (d *do) Done()            { close(d.done) }
func (d *do) Panicked()        { d.panicked = true }
