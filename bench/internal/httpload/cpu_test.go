package httpload

import "testing"

func TestStolenTimeIsAPartOfAll(t *testing.T) {
	got, err := parseStat([]byte("cpu  10 1 20 300 4 5 6 54 7 8\ncpu0 1 1 1 1 1 1 1 1 1 1\n"))
	if err != nil || got != (cpuTime{all: 400, stolen: 54}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, stat := range []string{"", "cpu  1 2 3 4 5 6 7\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  1 2 3 4 5 6 7 x\n"} {
		if _, err := parseStat([]byte(stat)); err == nil {
			t.Errorf("%q is taken", stat)
		}
	}
	if _, err := readCPUTime(); err != nil {
		t.Errorf("this kernel: %v", err)
	}
}
