package session

import (
	"net"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// maxErrorBody is room for the body of an error: a code and a varint of 32 bits.
const maxErrorBody = 8

// laneParts is what a stream of frames is made of.
type laneParts struct {
	q  *outQueue
	in *inbox
}

// addControl starts writer and reader of the control stream, which is the library's, under the watchdog's eyes.
func (m *mux) addControl(c *controlStream) {
	m.streamsM.Lock()
	m.control = &c.laneParts
	m.streamsM.Unlock()
	if err := m.errNow(); err != nil {
		c.q.close(err)
	}
	m.run(func() error { return c.q.run(c.conn, c.wake, m.ended) })
	m.run(func() error { return c.in.run(newScrub(c.conn)) })
}

// controlStream is the stream of control messages.
type controlStream struct {
	laneParts
	conn net.Conn
	wake chan struct{}
}

func newControlStream(conn net.Conn, cfg *Config) controlStream {
	c := controlStream{conn: conn, wake: make(chan struct{}, 1)}
	c.q = newOutQueue(cfg.QueueBytes, func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	})
	c.q.budget = cfg.Budget
	c.in = newInbox(cfg, maxControlParts)
	return c
}

// newLane makes a lane's stream, for at most maxParts requests in flight: an error to each always finds room.
func (m *mux) newLane(id, flags uint32, cfg *Config, maxParts int) *laneStream {
	var l *laneStream
	q := newOutQueue(cfg.QueueBytes, func() { m.say(l) })
	q.budget = cfg.Budget
	q.spare = maxParts * (wire.HeaderSize + maxErrorBody)
	l = newLaneStream(id, flags, laneParts{q: q, in: newInbox(cfg, maxParts)})
	return l
}

// allLanes is every stream of frames, the control stream's too.
func (m *mux) allLanes() []laneParts {
	m.streamsM.Lock()
	defer m.streamsM.Unlock()
	var all []laneParts
	if m.control != nil {
		all = append(all, *m.control)
	}
	for _, l := range *m.streams.Load() {
		all = append(all, l.laneParts)
	}
	return all
}

// watch ends the session when a lane's write makes no progress, or a frame stays half received.
func (m *mux) watch(cfg *Config, extra func(now time.Time) error) error {
	t := time.NewTicker(min(cfg.WriteTimeout, cfg.FrameTimeout) / 8)
	defer t.Stop()
	for {
		select {
		case <-m.ended:
			return nil
		case <-m.ys.CloseChan():
			return ErrClosed
		case now := <-t.C:
			for _, l := range m.allLanes() {
				if stuck(&l.q.since, now, cfg.WriteTimeout) {
					return ErrWriteTimeout
				}
				if stuck(&l.in.cut.since, now, cfg.FrameTimeout) || stuck(&l.in.as.since, now, cfg.FrameTimeout) {
					return ErrLiveness
				}
			}
			for _, l := range *m.streams.Load() {
				if stuck(&l.opened, now, cfg.HelloTimeout) {
					return ErrProtocol
				}
			}
			if err := extra(now); err != nil {
				return err
			}
		}
	}
}

// epoch is what ticks counts from.
var epoch = time.Now()

// ticks is a time in nanoseconds of the monotonic clock, of which steps of the wall clock change nothing; never 0.
func ticks(t time.Time) int64 { return int64(t.Sub(epoch)) | 1 }

// stuck reports whether what began at since, in ticks, is still under way (0: it is not) and over its limit.
func stuck(since *atomic.Int64, now time.Time, limit time.Duration) bool {
	s := since.Load()
	return s != 0 && ticks(now)-s > int64(limit)
}
