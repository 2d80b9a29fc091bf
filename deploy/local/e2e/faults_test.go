package e2e

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
)

// standstill is how long a stopped part stands still: longer than a ping's interval, shorter than a request's deadline.
const standstill = 1500 * time.Millisecond

// stopped makes the parts stand still for a while, all at once, and go on.
func (r *rig) stopped(t *testing.T, parts []string) {
	t.Helper()
	for _, name := range parts {
		if err := r.Process(name).Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" stands still", 5*time.Second, func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.Process(name).PID()))
			return err == nil && bytes.Contains(stat, []byte(") T "))
		})
	}
	<-time.After(standstill)
	for _, name := range parts {
		if err := r.Process(name).Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// killed kills the parts, all before any is started again.
func (r *rig) killed(t *testing.T, parts []string) {
	t.Helper()
	for _, name := range parts {
		r.Process(name).Kill()
	}
	for _, name := range parts {
		if err := r.Restart(name); err != nil {
			t.Fatal(err)
		}
	}
}

// The parts are stopped, then killed, under load: one at a time, then together. While they are away a caller gets typed
// errors, or no connection where the parent is; never a wrong answer, and never one later than its deadlines. Afterwards
// all works again, with keys that must be asked for anew.
func TestPartsStoppedAndKilledOneByOneAndTogetherComeBack(t *testing.T) {
	r := own(t, func(o *testkit.Options) { o.ParentArgs = []string{"--request-timeout", "2s"} })
	probe := r.caller(t, "probe", sealed.EncodingRecord)
	all := []string{testkit.KMS, testkit.Enclave, testkit.Parent}
	for _, parts := range [][]string{{testkit.KMS}, {testkit.Enclave}, {testkit.Parent}, all} {
		for name, fault := range map[string]func(*testing.T, []string){"stopped": r.stopped, "killed": r.killed} {
			t.Run(name+" "+strings.Join(parts, "+"), func(t *testing.T) {
				stop := make(chan struct{})
				y, wait := r.load(t, stop)
				eventually(t, "load", 20*time.Second, func() bool {
					y.mu.Lock()
					defer y.mu.Unlock()
					return y.statuses[200] > 20
				})
				fault(t, parts)
				r.whole(t, probe)
				close(stop)
				wait()
				y.judge(t, slices.Contains(parts, testkit.Parent))
			})
		}
	}
}

// whole waits until a cached record and one whose key nobody has asked for are opened.
func (r *rig) whole(t *testing.T, probe *caller) {
	t.Helper()
	eventually(t, "stand-in", 15*time.Second, func() bool {
		_, err := r.get("http://" + r.Addresses.KMS + "/_admin/counters")
		return err == nil
	})
	fresh := &caller{rec: r.seal(t, testkit.RecordOptions{Context: true})}
	var err error
	if fresh.body, err = fresh.rec.Request(nil).JSON(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "service", 20*time.Second, func() bool {
		a, err := r.post("/v1/decrypt", probe.body)
		b, berr := r.post("/v1/decrypt", fresh.body)
		return err == nil && a.Status == 200 && probe.own(a) && berr == nil && b.Status == 200
	})
}

// judge allows failed connections where the parent itself was away, and nothing else that is odd.
func (y *tally) judge(t *testing.T, parentAway bool) {
	t.Helper()
	for _, what := range y.odd {
		answered := strings.HasPrefix(what, "another's") || strings.HasPrefix(what, "status ") ||
			strings.HasPrefix(what, "an error without") || strings.HasPrefix(what, "503 without")
		if answered || !parentAway {
			t.Errorf("%d odd answers, one of them: %s", len(y.odd), what)
			break
		}
	}
	if y.slowest > 12*time.Second {
		t.Errorf("an answer took %v", y.slowest)
	}
	t.Logf("statuses %v, without a connection %d, slowest %v", y.statuses, len(y.odd), y.slowest)
}
