package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
)

// caller is one source of load with a record and sentinels of its own.
type caller struct {
	tag  string
	rec  *testkit.Record
	body []byte
	want map[string]string
}

func (r *rig) caller(t *testing.T, tag string, encoding sealed.Encoding) *caller {
	t.Helper()
	c := &caller{tag: tag}
	c.rec = r.seal(t, testkit.RecordOptions{VaultID: "v_" + tag, Encoding: encoding, Context: true, Fields: person(tag)})
	c.want = map[string]string{"tail": "1120", "all": c.rec.Fields["first_name"] + c.rec.Fields["dob"]}
	body := c.rec.Request(map[string]string{"tail": "ssn9.last(4)", "all": "first_name + dob"})
	for name, value := range c.rec.Fields {
		body.Include = append(body.Include, name)
		c.want[name] = value
	}
	var err error
	if c.body, err = body.JSON(); err != nil {
		t.Fatal(err)
	}
	return c
}

// own tells whether a 200 is this caller's record, whole.
func (c *caller) own(a *answer) bool {
	if len(a.Fields) != len(c.want) {
		return false
	}
	for name, value := range c.want {
		if a.Fields[name] != value {
			return false
		}
	}
	return true
}

func TestConcurrentCallersGetTheirOwnAnswers(t *testing.T) {
	// With the default target a machine that has other work refuses some, as it should; here none may be.
	r := own(t, func(o *testkit.Options) {
		o.EnclaveConfig = map[string]any{"work": map[string]any{"queue_target": "10s"}}
	})
	const each = 150
	var wrong, failed atomic.Int64
	var how sync.Map // what failed, once each
	var wg sync.WaitGroup
	for i := range 16 {
		encoding := sealed.EncodingField + sealed.Encoding(i%2)
		c := r.caller(t, fmt.Sprintf("caller%d", i), encoding)
		// The first of each opens with public keys: all of those at once are more than a busy machine's queue admits.
		if a, err := r.post("/v1/decrypt", c.body); err != nil || a.Status != 200 {
			t.Fatal(err, a)
		}
		wg.Go(func() {
			for range each {
				a, err := r.post("/v1/decrypt", c.body)
				switch {
				case err != nil:
					failed.Add(1)
					how.Store(err.Error(), nil)
				case a.Status != 200:
					failed.Add(1)
					how.Store(string(a.Raw), nil)
				case !c.own(a):
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if wrong.Load() > 0 || failed.Load() > 0 {
		t.Errorf("of %d answers %d were another's, %d failed", 16*each, wrong.Load(), failed.Load())
		how.Range(func(text, _ any) bool { t.Logf("%s", text); return true })
	}
	r.alive(t)
}

// tally counts what a load got.
type tally struct {
	mu       sync.Mutex
	statuses map[int]int
	odd      []string
	slowest  time.Duration
}

func (y *tally) add(a *answer, err error, took time.Duration, ok bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.slowest = max(y.slowest, took)
	switch {
	case err != nil:
		y.odd = append(y.odd, err.Error())
	case a.Status == 200 && !ok:
		y.odd = append(y.odd, "another's answer")
	case a.Status != 200 && a.Status != 503 && a.Status != 504:
		y.odd = append(y.odd, fmt.Sprintf("status %d", a.Status))
	case a.Status != 200 && a.Code == nil:
		y.odd = append(y.odd, "an error without a code")
	case a.Status == 503 && a.Header.Get("Retry-After") == "":
		y.odd = append(y.odd, "503 without Retry-After")
	}
	if err == nil {
		y.statuses[a.Status]++
	}
}

// load asks on eight connections until stop is closed, then waits for the last answer.
func (r *rig) load(t *testing.T, stop <-chan struct{}) (*tally, func()) {
	y := &tally{statuses: make(map[int]int)}
	var wg sync.WaitGroup
	for i := range 8 {
		c := r.caller(t, fmt.Sprintf("load%d", i), sealed.EncodingRecord)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				begin := time.Now()
				a, err := r.post("/v1/decrypt", c.body)
				y.add(a, err, time.Since(begin), err == nil && c.own(a))
			}
		})
	}
	return y, wg.Wait
}

// eventually polls until check is true.
func eventually(t *testing.T, what string, within time.Duration, check func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !check() {
		if time.Since(begin) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

func TestAKilledEnclaveUnderLoadCostsTypedErrorsAndComesBackWithinTwoSeconds(t *testing.T) {
	programs, err := shipped() // the race detector makes them several times slower
	if err != nil {
		t.Fatal(err)
	}
	r := own(t, func(o *testkit.Options) { o.Bin = programs })
	probe := r.caller(t, "probe", sealed.EncodingRecord)
	answered := func() bool {
		a, err := r.post("/v1/decrypt", probe.body)
		return err == nil && a.Status == 200 && probe.own(a)
	}
	eventually(t, "first answer", 10*time.Second, answered)
	for range 3 {
		stop := make(chan struct{})
		y, wait := r.load(t, stop)
		enough := func() bool { y.mu.Lock(); defer y.mu.Unlock(); return y.statuses[200] > 50 }
		eventually(t, "load", 20*time.Second, enough)
		r.Process(testkit.Enclave).Kill()
		eventually(t, "refusals while it is away", 5*time.Second, func() bool {
			y.mu.Lock()
			defer y.mu.Unlock()
			return y.statuses[503] > 0
		})
		if a, err := r.get("http://" + r.Addresses.Parent + "/health"); err != nil {
			t.Errorf("health %s, %v", a, err)
		}
		if err := r.Restart(testkit.Enclave); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the enclave listens", 10*time.Second, func() bool {
			conn, err := net.Dial("unix", filepath.Join(r.state, "enclave.sock"))
			if err != nil {
				return false
			}
			conn.Close()
			return true
		})
		back := eventually(t, "service after the enclave's return", 10*time.Second, answered)
		close(stop)
		wait()
		if len(y.odd) > 0 {
			t.Errorf("%d odd answers, the first: %s", len(y.odd), y.odd[0])
		}
		if back > 2*time.Second {
			t.Errorf("service was back only after %v", back)
		}
		if y.slowest > 12*time.Second {
			t.Errorf("an answer took %v", y.slowest)
		}
		t.Logf("statuses %v, slowest %v, back after %v", y.statuses, y.slowest, back)
	}
}

func TestAKilledParentAndAKilledStandInComeBack(t *testing.T) {
	r := own(t)
	rec := r.seal(t, testkit.RecordOptions{Context: true})
	wantFields(t, r.ask(t, "/v1/decrypt", rec.Request(nil)), rec.Fields)
	for _, name := range []string{testkit.KMS, testkit.Parent} {
		r.Process(name).Kill()
		if err := r.Restart(name); err != nil {
			t.Fatal(err)
		}
	}
	// Another record: its key is not cached, so that KMS is asked through both.
	eventually(t, "stand-in", 10*time.Second, func() bool {
		_, err := r.get("http://" + r.Addresses.KMS + "/_admin/counters")
		return err == nil
	})
	fresh := r.seal(t, testkit.RecordOptions{Context: true})
	eventually(t, "service", 15*time.Second, func() bool {
		for _, body := range []*testkit.Record{rec, fresh} {
			data, err := body.Request(nil).JSON()
			if err != nil {
				t.Fatal(err)
			}
			if a, err := r.post("/v1/decrypt", data); err != nil || a.Status != http.StatusOK {
				return false
			}
		}
		return true
	})
}

func TestAStalledEnclaveIsAnsweredForByItsDeadline(t *testing.T) {
	r := own(t, func(o *testkit.Options) { o.ParentArgs = []string{"--request-timeout", "2s"} })
	c := r.caller(t, "stall", sealed.EncodingRecord)
	ask := func() (*answer, time.Duration) {
		begin := time.Now()
		a, err := r.post("/v1/decrypt", c.body)
		if err != nil {
			t.Fatal(err)
		}
		return a, time.Since(begin)
	}
	if a, _ := ask(); a.Status != 200 {
		t.Fatalf("status %d", a.Status)
	}
	enclave := r.Process(testkit.Enclave)
	if err := enclave.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The signal takes effect when the kernel gets to it.
	eventually(t, "the enclave stands still", 5*time.Second, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", enclave.PID()))
		return err == nil && bytes.Contains(stat, []byte(") T "))
	})
	for range 3 {
		if a, took := ask(); a.Status != 503 && a.Status != 504 || took > 6*time.Second {
			t.Errorf("status %d after %v", a.Status, took)
		}
	}
	if err := enclave.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "service", 10*time.Second, func() bool { a, _ := ask(); return a.Status == 200 && c.own(a) })
}
