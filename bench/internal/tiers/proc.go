package tiers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Process is what the kernel says of a process.
type Process struct {
	CPU     time.Duration // user and system
	RSS     int64         // bytes
	Threads int
	Files   int // open descriptors
}

// ticksPerSecond is the kernel's USER_HZ, 100 on every Linux that Go runs on (times(2), proc(5)).
const ticksPerSecond = 100

// Process reads /proc of a process of the stack.
func (b *Stack) Process(name string) (Process, error) {
	p := b.Stack.Process(name)
	if p == nil {
		return Process{}, errors.New("no such process: " + name)
	}
	return readProcess(p.PID())
}

// CPU is the CPU time that parent and enclave have taken, in steps of 10 ms.
func (b *Stack) CPU() (map[string]time.Duration, error) { return b.cpu(Parent, Enclave) }

// CPUWithAPI is that of these two and of the API.
func (b *Stack) CPUWithAPI() (map[string]time.Duration, error) { return b.cpu(API, Parent, Enclave) }

func (b *Stack) cpu(names ...string) (map[string]time.Duration, error) {
	spent := map[string]time.Duration{}
	for _, name := range names {
		p, err := b.Process(name)
		if err != nil {
			return nil, err
		}
		spent[name] = p.CPU
	}
	return spent, nil
}

func readProcess(pid int) (Process, error) {
	var p Process
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	// After the name, which is in parentheses and may hold anything: state is field 3 (proc_pid_stat(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return p, errors.New("malformed stat")
	}
	number := func(field int) int64 {
		n, e := strconv.ParseInt(fields[field-3], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	p.CPU = time.Duration(number(14)+number(15)) * time.Second / ticksPerSecond
	p.Threads = int(number(20))
	p.RSS = number(24) * int64(os.Getpagesize())
	files, e := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	p.Files = len(files)
	return p, errors.Join(err, e)
}

// Metrics reads the parent's metrics: name, with its labels as written, to value. The enclave's are among them.
func (b *Stack) Metrics(ctx context.Context) (map[string]float64, error) {
	url := "http://" + b.Addresses.ParentMetrics + "/metrics"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: answered %d", resp.StatusCode)
	}
	out := make(map[string]float64)
	s := bufio.NewScanner(resp.Body)
	for s.Scan() {
		name, value, ok := strings.Cut(s.Text(), "} ")
		if ok {
			name += "}"
		} else {
			name, value, _ = strings.Cut(s.Text(), " ")
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			out[name] = v
		}
	}
	return out, s.Err()
}

// Sum adds the metrics of a name, whatever their labels.
func Sum(metrics map[string]float64, name string) (sum float64, found bool) {
	for n, v := range metrics {
		if n == name || strings.HasPrefix(n, name+"{") {
			sum, found = sum+v, true
		}
	}
	return sum, found
}
