package pool

import (
	"context"
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

// The reason why a session ended decides whether its requests go to another enclave, and how often.
func TestOnlyWhatCannotSpreadIsSentAgain(t *testing.T) {
	lost := func(err error) error { return &session.CallError{Sent: true, Err: err} }
	unsent := func(err error) error { return &session.CallError{Err: err} }
	for name, tc := range map[string]struct {
		ends []error
		want []bool
	}{
		"a connection that is lost, once":     {[]error{lost(session.ErrClosed), lost(session.ErrClosed)}, []bool{true, false}},
		"no sign of life":                     {[]error{lost(session.ErrLiveness)}, []bool{false}},
		"a write that does not end":           {[]error{lost(session.ErrWriteTimeout)}, []bool{false}},
		"a broken protocol":                   {[]error{lost(session.ErrProtocol)}, []bool{false}},
		"answers that nobody reads":           {[]error{lost(session.ErrOverflow)}, []bool{false}},
		"lost, then stalled":                  {[]error{lost(session.ErrClosed), lost(session.ErrLiveness)}, []bool{true, false}},
		"not sent, whatever ended":            {[]error{unsent(session.ErrLiveness), unsent(session.ErrClosed)}, []bool{true, true}},
		"not sent, then lost":                 {[]error{unsent(session.ErrDraining), lost(session.ErrClosed)}, []bool{true, true}},
		"lost, then not sent":                 {[]error{lost(session.ErrClosed), unsent(session.ErrDraining)}, []bool{true, true}},
		"it drains":                           {[]error{&wire.Error{Code: wire.ShuttingDown}}, []bool{true}},
		"three sessions":                      {[]error{unsent(session.ErrClosed), unsent(session.ErrClosed), unsent(session.ErrClosed)}, []bool{true, true, false}},
		"slow, and its caller's time is over": {[]error{lost(context.DeadlineExceeded)}, []bool{false}},
	} {
		var tr tried
		for i, err := range tc.ends {
			tr.add(nil, nil)
			if got := tr.again(err); got != tc.want[i] {
				t.Errorf("%s: after end %d sent again: %v", name, i+1, got)
			}
		}
	}
}

func TestTheParentAnnouncesAllFeatures(t *testing.T) {
	if f := new(Pool).hello().Features; f != 0 { // the session fills in all, and no list here can lack one
		t.Errorf("the parent announces %s", f)
	}
}
