package httpload

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"redoubt/bench/internal/measure"
)

// cpuTime is what the kernel counts for all CPUs together, in ticks.
type cpuTime struct{ all, stolen int64 }

var errStat = errors.New("no line of all CPUs")

// parseStat reads /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal; guest time is
// counted in user already.
func parseStat(stat []byte) (t cpuTime, err error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := strings.Fields(string(line))
	const steal = 8
	if len(fields) <= steal || fields[0] != "cpu" {
		return t, errStat
	}
	for i, field := range fields[1 : steal+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return t, errStat
		}
		t.all += n
		if i+1 == steal {
			t.stolen = n
		}
	}
	return t, nil
}

func readCPUTime() (cpuTime, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTime{}, err
	}
	return parseStat(stat)
}

// watchStolen begins to count. report returns the part of the CPUs' time since then in which the hypervisor ran
// something else. During that time everything here stops, this load included. So if that part is large, tails are not
// those of the measured system.
func watchStolen() (report func(sink *measure.Sink, name string)) {
	began, err := readCPUTime()
	return func(sink *measure.Sink, name string) {
		now, e := readCPUTime()
		if err == nil && e == nil && now.all > began.all {
			part := float64(now.stolen-began.stolen) / float64(now.all-began.all)
			sink.Add(measure.Value(name+"/stolen", 100*part, "%", now.all-began.all))
		}
	}
}

// watchCPU begins to count. report returns the CPU time that each process has taken since then for each of n
// requests. It varies less from run to run than rates do, since it does not include the time that the hypervisor
// took.
func watchCPU(s *Setup) (report func(sink *measure.Sink, name string, n int64)) {
	if s.CPU == nil {
		return func(*measure.Sink, string, int64) {}
	}
	began, err := s.CPU()
	return func(sink *measure.Sink, name string, n int64) {
		now, e := s.CPU()
		if err != nil || e != nil || n == 0 {
			return
		}
		for _, process := range slices.Sorted(maps.Keys(now)) {
			took := float64((now[process] - began[process]).Microseconds()) / float64(n)
			sink.Add(measure.Value(name+"/cpu-"+process, took, "us/req", n))
		}
	}
}
