package mux

import "testing"

func TestOneGoroutineOfTheProcessPollsAtATimeAndRarelyWhereItDoesNotPay(t *testing.T) {
	var a, b poller
	if !a.begin() || b.begin() {
		t.Fatal("not one at a time")
	}
	a.end(true)
	if !b.begin() {
		t.Fatal("the right to poll is not given back")
	}
	b.end(true)
	polled := 0
	for range 1000 { // in vain each time
		if a.begin() {
			polled++
			a.end(false)
		}
	}
	if polled > 25 || polled < 10 {
		t.Errorf("polled %d times of 1,000 in vain", polled)
	}
	for a.turns > 0 {
		a.begin()
	}
	for range 100 {
		if !a.begin() {
			t.Fatal("keeps away though it paid the last time")
		}
		a.end(true)
	}
}
