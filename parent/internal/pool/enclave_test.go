package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

func TestSilenceCountsFromTheLastPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnclave("unix:///nowhere", nil, 1)
		time.Sleep(time.Hour)
		if got := e.status().Silent; got != time.Hour {
			t.Errorf("silent for %v before the first pong", got)
		}
		e.links[0].pong(wire.Pong{}, 0)
		time.Sleep(5 * time.Second)
		if got := e.status().Silent; got != 5*time.Second {
			t.Errorf("silent for %v after a pong", got)
		}
	})
}

// Nothing here can step the clock, but a time without a monotonic reading is one that a step would change.
func TestStepOfTheClockMakesNoEnclaveLookSilent(t *testing.T) {
	e := newEnclave("unix:///nowhere", nil, 1)
	e.links[0].pong(wire.Pong{}, 0)
	if at := *e.alive.Load(); at.String() == at.Round(0).String() { // String tells of the reading
		t.Error("the last pong is kept by the wall clock alone")
	}
}

// Requests that come one at a time take enclaves in turn, and of an enclave's sessions the first, whose other end then
// looks for them.
func TestRequestsOneAtATimeStayOnOneSessionOfEachEnclave(t *testing.T) {
	p := &Pool{o: Options{Sessions: 3}}
	var links []*link
	for range 2 {
		for _, l := range newEnclave("unix:///nowhere", nil, p.o.Sessions).links {
			l.client.Store(&session.Client{})
			l.bits.Store(uint32(wire.HealthReady))
			links = append(links, l)
		}
	}
	p.links.Store(&links)
	picked := map[*link]int{}
	for range 60 {
		l, _ := p.pick(&tried{})
		picked[l]++
	}
	if picked[links[0]] != 30 || picked[links[3]] != 30 {
		t.Errorf("picked %d and %d times, others %d", picked[links[0]], picked[links[3]], 60-picked[links[0]]-picked[links[3]])
	}
}
