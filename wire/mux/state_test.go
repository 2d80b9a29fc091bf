package mux

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"

	"redoubt/wire/yamuxframe"
)

// classNames and stateNames are as the package doc has them, in their order.
var (
	classNames = []string{"ping", "go-away", "first", "ours", "ours-opening", "foreign", "foreign-opening", "nonsense"}
	stateNames = []string{"new", "greeted", "open", "draining", "ended"}
)

// TestTheDocsTableIsTheCodes reads the state table of the package doc.
func TestTheDocsTableIsTheCodes(t *testing.T) {
	f, err := os.Open("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	words := map[string]verdict{"end": end, "drop": drop, "take": take}
	rows := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		cells := regexp.MustCompile(`\s+`).Split(strings.TrimPrefix(sc.Text(), "//\t"), -1)
		if len(cells) != 1+len(classNames) {
			continue
		}
		if cells[0] == "state" {
			if got := strings.Join(cells[1:], " "); got != strings.Join(classNames, " ") {
				t.Fatal(got)
			}
			continue
		}
		for s, name := range stateNames {
			if name != cells[0] {
				continue
			}
			rows++
			for k, cell := range cells[1:] {
				if v, ok := words[cell]; !ok || v != verdicts[s][k] {
					t.Errorf("%s, %s: the doc says %s", name, classNames[k], cell)
				}
			}
		}
	}
	if rows != int(states) || len(classNames) != int(classes) {
		t.Errorf("%d rows", rows)
	}
}

// the frames of each class; a class has several, of which each is tried.
var framesOf = [classes][][]byte{
	ping: {
		yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.Ping, Flags: yamuxframe.SYN}),
		yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.Ping, Flags: yamuxframe.ACK, Length: 9}),
	},
	goAway:         {yamuxframe.Append(nil, yamuxframe.Header{Kind: yamuxframe.GoAway})},
	first:          {window(0, 1, 7), data(0, 1, "hello")},
	ours:           {window(0, 3, 7), data(0, 3, "hello"), data(0, 3, "")},
	oursOpening:    {window(yamuxframe.SYN, 5, 0), data(yamuxframe.SYN, 5, "hello")},
	foreign:        {window(0, 2, 7), data(0, 2, "hello"), window(yamuxframe.RST, 2, 0), window(yamuxframe.FIN, 4, 0)},
	foreignOpening: {window(yamuxframe.SYN, 6, 0), data(yamuxframe.SYN, 6, "hello")},
	nonsense: {
		{9, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0},
		{0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{0, 255, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0},
		window(0, 0, 1), data(0, 0, "hello"), window(yamuxframe.SYN, 0, 0), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	},
}

// TestEachStateTakesItsFramesAndNoOthers sends each kind of frame to either side in each state.
func TestEachStateTakesItsFramesAndNoOthers(t *testing.T) {
	for _, client := range []bool{false, true} {
		side := map[bool]string{false: "server", true: "client"}[client]
		for s := New; s < Ended; s++ {
			for k := range classes {
				for _, frame := range framesOf[k] {
					want := verdicts[s][k]
					// A side that awaits no streams of a kind knows none that is being opened.
					if want == take && (client && k == oursOpening || !client && k == foreignOpening) {
						want = end
					}
					t.Run(side+"/"+stateNames[s]+"/"+classNames[k], func(t *testing.T) { tryFrame(t, client, s, k, frame, want) })
				}
			}
		}
	}
}

func tryFrame(t *testing.T, client bool, s State, k class, frame []byte, want verdict) {
	t.Helper()
	var r *rig
	switch s {
	case Open, Draining:
		r = openRig(t, client, nil)
		if s == Draining && !r.c.Move(Draining) {
			t.Fatal("it does not drain")
		}
	default:
		r = newRig(t, client, nil)
		if s == Greeted && !r.c.Move(Greeted) {
			t.Fatal("it is not greeted")
		}
		r.c.Start()
		if !client && s == New {
			r.write(window(yamuxframe.SYN, 1, 0))
		}
	}
	r.write(frame)
	if want == end {
		r.ends(ErrProtocol)
		return
	}
	r.alive()
	if r.c.State() != s {
		t.Errorf("the state is %v", r.c.State())
	}
	body := ""
	if h := yamuxframe.Parse(frame); h.Kind == yamuxframe.Data {
		body = string(frame[yamuxframe.HeaderSize:])
	}
	took := map[class]func() string{
		first:       r.first.heard,
		ours:        func() string { return r.laneOf(3).heard() },
		oursOpening: func() string { return r.laneOf(5).heard() },
	}[k]
	if want == take && took != nil && took() != body {
		t.Errorf("took %q", took())
	}
	if want == drop && (r.first.heard() != "" || r.laneOf(3) != nil || r.laneOf(5) != nil) {
		t.Error("took what is to be dropped")
	}
}

// TestStatesMoveForwardOnly tries all moves from all states.
func TestStatesMoveForwardOnly(t *testing.T) {
	may := map[[2]State]bool{{New, Greeted}: true, {New, Open}: true, {Open, Draining}: true}
	for from := New; from < states; from++ {
		for to := New; to < states; to++ {
			c := NewConn(nil, Config{})
			c.state.Store(int32(from))
			if got := c.Move(to); got != may[[2]State{from, to}] || got && c.State() != to || !got && c.State() != from {
				t.Errorf("from %s to %s: %v", stateNames[from], stateNames[to], got)
			}
		}
	}
}

// TestAFrameBeforeStartIsHeardAfterIt: nothing is read before all is in place.
func TestAFrameBeforeStartIsHeardAfterIt(t *testing.T) {
	r := newRig(t, false, nil)
	r.write(window(yamuxframe.SYN, 1, 0), data(0, 1, "early"))
	if r.first.heard() != "" {
		t.Fatal("it is read already")
	}
	r.c.Start()
	r.alive()
	if r.first.heard() != "early" {
		t.Fatal(r.first.heard())
	}
}
