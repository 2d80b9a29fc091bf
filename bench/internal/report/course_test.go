package report

import (
	"strings"
	"testing"
)

func TestACourseIsDrawnWithItsFaults(t *testing.T) {
	c := Course{Title: "A <run>", Marks: []Mark{{At: 1, Name: "enclave killed"}}}
	for i := range 5 {
		c.Add("memory", "parent", float64(i), float64(10+i))
		c.Add("latency", "p99", float64(i), float64(1000*i))
	}
	if got := c.Values("memory", "parent"); len(got) != 5 || got[4] != 14 {
		t.Errorf("values %v", got)
	}
	var b strings.Builder
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A &lt;run&gt;", "Resident memory", "Latency", "enclave killed", "1 faults", "<polyline"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(b.String(), "Goroutines") {
		t.Error("a plot without readings")
	}
}
