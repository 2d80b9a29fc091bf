package httpload

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/bench/internal/measure"
)

// arrivals say when requests must be sent. Times are since the run's start.
type arrivals interface {
	// due takes the next request that is due by now, and returns when it became due.
	due(now time.Duration) (at time.Duration, ok bool)
	// next is when the request after that is due. It returns false if none is known to come.
	next() (at time.Duration, ok bool)
}

// loop sends the requests of all callers and takes their answers on one thread, which waits in epoll for answers and
// for the next arrival. So a request costs the load no change of threads, and the load's machine is not what is
// measured.
type loop struct {
	arrivals  arrivals
	refusable bool
	done      func(o measure.Outcome, at, sent, done time.Duration)

	start  time.Time
	epoll  int
	timer  int
	armed  time.Duration // what the timer is set to
	lines  []*line
	free   []*line // the one used last is used next
	events [256]unix.EpollEvent
}

// errNoAnswer ends a run.
var errNoAnswer = errors.New("an answer does not come")

// run returns the time of the last answer, since the start.
func (l *loop) run(ctx context.Context) (last time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := l.open(); err != nil {
		return 0, err
	}
	defer l.close()
	l.start = time.Now()
	l.armed = -1
	for now := time.Duration(0); ; now = time.Since(l.start) {
		if err := l.sendDue(now); err != nil {
			return 0, err
		}
		if _, more := l.arrivals.next(); !more && len(l.free) == len(l.lines) {
			return last, nil
		}
		answers, err := l.wait(ctx)
		if err != nil {
			return 0, err
		}
		if answers {
			last = time.Since(l.start)
		}
	}
}

func (l *loop) open() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		_ = unix.Close(l.epoll)
		return fmt.Errorf("timer: %w", err)
	}
	l.free = append(l.free[:0], l.lines...)
	err = l.watch(l.timer, timerEvent)
	for i, c := range l.lines {
		c.index = int32(i)
		err = errors.Join(err, l.watch(c.fd, c.index))
	}
	if err != nil {
		l.close()
	}
	return err
}

// timerEvent is the index of the timer among the lines.
const timerEvent = -1

func (l *loop) watch(fd int, index int32) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: index}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (l *loop) close() { _, _ = unix.Close(l.timer), unix.Close(l.epoll) }

// sendDue sends the due requests as long as there is a line for them.
func (l *loop) sendDue(now time.Duration) error {
	for len(l.free) > 0 {
		at, ok := l.arrivals.due(now)
		if !ok {
			return nil
		}
		c := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		c.at, c.sent = at, time.Since(l.start)
		if c.fd < 0 {
			if err := l.again(c); err != nil {
				return err
			}
		}
		if err := c.send(); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for answers and arrivals, and handles the answers.
func (l *loop) wait(ctx context.Context) (answers bool, err error) {
	if err := l.arm(); err != nil {
		return false, err
	}
	const patience = time.Second
	n, err := unix.EpollWait(l.epoll, l.events[:], int(patience.Milliseconds()))
	switch {
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("epoll: %w", err)
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case n == 0:
		return false, l.overdue()
	}
	for i := range n {
		if l.events[i].Fd == timerEvent {
			var expirations [8]byte
			_, _ = unix.Read(l.timer, expirations[:]) // it has expired, or was set again since
			l.armed = -1
			continue
		}
		took, err := l.take(l.lines[l.events[i].Fd])
		if err != nil {
			return false, err
		}
		answers = answers || took
	}
	return answers, nil
}

// arm sets the timer to the next arrival, if there is a line for it.
func (l *loop) arm() error {
	at, ok := l.arrivals.next()
	if !ok || len(l.free) == 0 || at == l.armed {
		return nil
	}
	l.armed = at
	left := max(1, at-time.Since(l.start))
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
	if err := unix.TimerfdSettime(l.timer, 0, &spec, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	return nil
}

// take reads from a line and, when its answer is complete, records it. A line that waits for no answer has been
// closed: servers do not keep idle connections for long. It is opened again when it is needed.
func (l *loop) take(c *line) (whole bool, err error) {
	if c.request == nil {
		c.close()
		return false, nil
	}
	a, whole, err := c.receive()
	if errors.Is(err, errClosedUnused) { // as every client does, once
		c.again = true
		if err := l.again(c); err != nil {
			return false, err
		}
		return false, c.transmit()
	}
	if err != nil || !whole {
		return false, err
	}
	outcome, err := c.request.outcome(&a, l.refusable)
	if err != nil {
		return false, err
	}
	l.done(outcome, c.at, c.sent, time.Since(l.start))
	c.request = nil
	l.free = append(l.free, c)
	if a.last {
		return true, l.again(c)
	}
	return true, nil
}

// again connects a line whose connection has ended.
func (l *loop) again(c *line) error {
	c.close()
	if err := c.dial(); err != nil {
		return err
	}
	return l.watch(c.fd, c.index)
}

// overdue ends the run if a line has waited for its answer for too long.
func (l *loop) overdue() error {
	now := time.Since(l.start)
	for _, c := range l.lines {
		if c.request != nil && now-c.sent > answerTimeout {
			return errNoAnswer
		}
	}
	return nil
}
