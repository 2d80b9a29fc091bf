package tiers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/report"
	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/parentapi"
)

// RollingOptions are those of Rolling.
type RollingOptions struct {
	Bin      string
	For      time.Duration // of the whole run, 30 s or more
	InFlight int
	Report   io.Writer // of the drawn course; nil: none
}

// Bounds of Rolling. A restarted process begins anew, so growth is told from the first reading of the whole run, and a
// slow leak by a run of hours, in which the last third is compared with the third before.
const (
	maxRecovery     = 30 // seconds from a fault's end to a run of requests that all succeed
	maxRollMemory   = 96 // MiB above the first reading, of any tier
	maxRollGrowth   = 8  // MiB, last third over the middle one, of runs of ten minutes or more
	maxRollRoutines = 64 // goroutines above the first reading
	maxRollFiles    = 48
)

// fault is one of those that roll by. begin starts it, and end ends it.
type fault struct {
	name       string
	begin, end func(ctx context.Context, r *rolling) error
}

// faults is the roll. Each KMS fault must have struck; the requests of new vaults are what asks KMS.
func faults() []fault {
	return []fault{
		{"enclave killed", kill(Enclave), again(Enclave)},
		{"KMS throttles", answers(kms.Fault{Kind: kms.FaultThrottle, PerSecond: 1}), clearKMS},
		{"parent stopped", stop(Parent), again(Parent)},
		{"KMS denies", answers(kms.Fault{Kind: kms.FaultError, Code: "AccessDeniedException"}), clearKMS},
		{"API and store killed", kill(API), again(API)},
		{"KMS slow", answers(kms.Fault{Kind: kms.FaultDelay, DelayMS: 400}), clearKMS},
		{"store stands still", signal(API, syscall.SIGSTOP), signal(API, syscall.SIGCONT)},
		{"KMS cuts connections", answers(kms.Fault{Kind: kms.FaultDrop}), clearKMS},
		{"enclave stands still", signal(Enclave, syscall.SIGSTOP), signal(Enclave, syscall.SIGCONT)},
	}
}

type step = func(ctx context.Context, r *rolling) error

func kill(name string) step {
	return func(_ context.Context, r *rolling) error { r.b.Stack.Process(name).Kill(); return nil }
}

// stop ends a process as an operator does. It may be killed when its time is over.
func stop(name string) step {
	return func(_ context.Context, r *rolling) error {
		_ = r.b.Stack.Process(name).Stop(10 * time.Second) // how it ended is not what is measured
		return nil
	}
}

func again(name string) step {
	return func(_ context.Context, r *rolling) error { return r.b.Restart(name) }
}

func signal(name string, s syscall.Signal) step {
	return func(_ context.Context, r *rolling) error { return r.b.Stack.Process(name).Signal(s) }
}

func answers(f kms.Fault) step {
	return func(ctx context.Context, r *rolling) error {
		body, err := json.Marshal(f)
		if err != nil {
			return err
		}
		return r.admin(ctx, http.MethodPost, body, nil)
	}
}

// clearKMS ends the stand-in's faults, if they have struck.
func clearKMS(ctx context.Context, r *rolling) error {
	var set []kms.Fault
	if err := r.admin(ctx, http.MethodGet, nil, &set); err != nil {
		return err
	}
	for _, f := range set {
		if f.Hits == 0 {
			return fmt.Errorf("soak: the fault %q of KMS struck no call", f.Kind)
		}
	}
	return r.admin(ctx, http.MethodDelete, nil, nil)
}

func (r *rolling) admin(ctx context.Context, method string, body []byte, into any) error {
	status, answer, err := r.ask(ctx, method, "http://"+r.b.Addresses.KMS+kms.AdminPath+"faults", body)
	if err == nil && status >= 300 {
		err = fmt.Errorf("soak: the stand-in answers %d", status)
	}
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// rolling is a run.
type rolling struct {
	b       *Stack
	client  *http.Client
	records []*testkit.Record
	bodies  [][]byte
	begun   time.Time

	mu       sync.Mutex
	hist     *measure.Hist
	outcomes outcomes
	wrong    error
	quiet    atomic.Int64 // requests since the last one that failed
}

// outcomes are those of the requests of a time.
type outcomes struct{ ok, refused, failed int64 }

// Rolling loads a local stack of its own for a time while faults roll by, and shows whether it recovers from each and
// what it holds. It draws the course: memory, goroutines and descriptors of each tier, latencies and failures, with the
// faults.
//
// The requests are half of hot records at the parent, half of new vaults through the API, which ask KMS and the store.
// During a fault a request may be refused or fail. An answer with a wrong value ends the run at any time.
func Rolling(ctx context.Context, o RollingOptions, sink *measure.Sink) (err error) {
	b, err := StartStack(ctx, StackOptions{Bin: o.Bin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	r := &rolling{
		b: b, hist: measure.NewHist(), begun: time.Now(),
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: o.InFlight}},
	}
	defer r.client.CloseIdleConnections()
	if err := r.seal(ctx); err != nil {
		return err
	}
	load, cancel := context.WithCancel(ctx)
	var callers sync.WaitGroup
	defer func() { cancel(); callers.Wait() }()
	for i := range o.InFlight {
		callers.Go(func() { r.call(load, i) })
	}
	return r.roll(ctx, &o, sink)
}

// seal makes the hot records.
func (r *rolling) seal(ctx context.Context) error {
	for i := range 16 {
		rec, err := testkit.Seal(ctx, testkit.KMSClient(r.b.Addresses.KMS), testkit.RecordOptions{
			VaultID: fmt.Sprintf("v_soak%d", i), Context: true,
			Fields: map[string]string{"email": fmt.Sprintf("soak%d@example.com", i)},
		})
		if err != nil {
			return err
		}
		body, err := rec.Request(map[string]string{"up": "email.to_uppercase()"}).JSON()
		if err != nil {
			return err
		}
		r.records, r.bodies = append(r.records, rec), append(r.bodies, body)
	}
	return nil
}

// call makes requests until ctx ends.
func (r *rolling) call(ctx context.Context, caller int) {
	for n := caller; ctx.Err() == nil; n++ {
		start := time.Now()
		var status int
		var err error
		if n%2 == 0 {
			status, err = r.hot(ctx, n)
		} else {
			status, err = r.fresh(ctx, n)
		}
		r.note(ctx, time.Since(start), status, err)
		if err != nil || status != http.StatusOK {
			select { // what refuses at once is not asked as fast as it can
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func (r *rolling) note(ctx context.Context, took time.Duration, status int, err error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, errWrongValue):
		r.wrong = err
	case err != nil:
		r.outcomes.failed++
	case status != http.StatusOK:
		r.outcomes.refused++
	default:
		r.outcomes.ok++
		r.hist.Add(took)
		r.quiet.Add(1)
		return
	}
	r.quiet.Store(0)
}

var errWrongValue = errors.New("soak: an answer has another value than was sealed")

func (r *rolling) hot(ctx context.Context, n int) (int, error) {
	i := n / 2 % len(r.bodies)
	status, body, err := r.ask(ctx, http.MethodPost, "http://"+r.b.Addresses.Parent+parentapi.PathV1Decrypt, r.bodies[i])
	if err != nil || status != http.StatusOK {
		return status, err
	}
	if !bytes.Contains(body, []byte(strings.ToUpper(r.records[i].Fields["email"]))) {
		return status, errWrongValue
	}
	return status, nil
}

// fresh makes a vault and opens it, so that KMS and the store have work.
func (r *rolling) fresh(ctx context.Context, n int) (int, error) {
	email := fmt.Sprintf("fresh%d@example.com", n)
	url := "http://" + r.b.Addresses.API + "/v1/vaults"
	status, body, err := r.ask(ctx, http.MethodPost, url+"?ttl=60", fmt.Appendf(nil, `{"email":%q}`, email))
	if err != nil || status != http.StatusOK {
		return status, err
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &made); err != nil {
		return status, err
	}
	open := []byte(`{"fields":["email"],"reason":"soak"}`)
	status, body, err = r.ask(ctx, http.MethodPost, url+"/"+made.ID+"/decrypt", open)
	if err == nil && status == http.StatusOK && !bytes.Contains(body, []byte(email)) {
		err = errWrongValue
	}
	return status, err
}

func (r *rolling) ask(ctx context.Context, method, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, data, err
}

// roll takes the readings and lets the faults roll by: each takes half of its share of the run, at most 20 s, and the
// rest is for recovery. A fifth of the run, at its ends, is without faults.
func (r *rolling) roll(ctx context.Context, o *RollingOptions, sink *measure.Sink) (err error) {
	course := report.Course{Title: fmt.Sprintf("Redoubt: %v with rolling faults", o.For)}
	every := max(o.For/60, time.Second)
	rounds := max(1, int(o.For/(10*time.Minute)))
	share := o.For * 4 / 5 / time.Duration(rounds*len(faults()))
	if err := r.recovered(ctx); err != nil { // caches and pools find their size
		return err
	}
	done := make(chan error, 1)
	var slowest time.Duration
	go func() { done <- r.faults(ctx, o, share, rounds, &course, &slowest, sink) }()
	if o.Report != nil {
		defer func() { err = errors.Join(err, course.Write(o.Report)) }()
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.read(ctx, &course); err != nil {
				return err
			}
			continue
		case err := <-done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		break
	}
	return r.judge(&course, slowest, o.For, sink)
}

func (r *rolling) faults(ctx context.Context, o *RollingOptions, share time.Duration, rounds int, course *report.Course,
	slowest *time.Duration, sink *measure.Sink,
) error {
	wait := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	if err := wait(o.For / 10); err != nil {
		return err
	}
	for range rounds {
		for _, f := range faults() {
			next := time.Now().Add(share)
			r.mu.Lock()
			course.Marks = append(course.Marks, report.Mark{At: r.minutes(), Name: f.name})
			r.mu.Unlock()
			if err := f.begin(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			if err := wait(min(share/2, 20*time.Second)); err != nil {
				return err
			}
			if err := f.end(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			ended := time.Now()
			if err := r.recovered(ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			took := time.Since(ended)
			*slowest = max(*slowest, took)
			sink.Progress("soak: %s: all requests succeed again after %.1f s", f.name, took.Seconds())
			if err := wait(time.Until(next)); err != nil {
				return err
			}
		}
	}
	return wait(o.For / 10)
}

// recovered waits until many requests in a row have succeeded.
func (r *rolling) recovered(ctx context.Context) error {
	const inARow = 200
	r.quiet.Store(0)
	deadline := time.After(2 * maxRecovery * time.Second)
	for r.quiet.Load() < inARow {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("soak: requests do not all succeed %d s after the fault's end", 2*maxRecovery)
		case <-time.After(20 * time.Millisecond):
		}
		r.mu.Lock()
		err := r.wrong
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rolling) minutes() float64 { return time.Since(r.begun).Minutes() }

// read takes a reading. A process that is down or stands still has none of what it would have to tell itself.
func (r *rolling) read(ctx context.Context, course *report.Course) error {
	r.mu.Lock()
	h, counted, wrong := r.hist, r.outcomes, r.wrong
	r.hist, r.outcomes = measure.NewHist(), outcomes{}
	r.mu.Unlock()
	at := r.minutes()
	if h.N() > 0 {
		course.Add("latency", "p50", at, h.Quantile(0.5))
		course.Add("latency", "p99", at, h.Quantile(0.99))
	}
	course.Add("requests", "succeeded", at, float64(counted.ok))
	course.Add("requests", "refused", at, float64(counted.refused))
	course.Add("requests", "failed", at, float64(counted.failed))
	for _, tier := range []string{Enclave, Parent, API} {
		p, err := r.b.Process(tier)
		if err != nil || p.RSS == 0 {
			continue
		}
		course.Add("memory", tier, at, float64(p.RSS)/(1<<20))
		course.Add("descriptors", tier, at, float64(p.Files))
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if m, err := r.b.Metrics(short); err == nil {
		for tier, name := range map[string]string{Parent: "go_goroutines", Enclave: "redoubt_enclave_goroutines"} {
			if n, ok := Sum(m, name); ok && n > 0 {
				course.Add("goroutines", tier, at, n)
			}
		}
	}
	return wrong
}

// judge compares what is held at the end with the begin.
func (r *rolling) judge(course *report.Course, slowest time.Duration, of time.Duration, sink *measure.Sink) error {
	n := int64(len(course.Marks))
	sink.Add(measure.Value("soak/recovery", slowest.Seconds(), "s", n).Held(measure.AtMost(maxRecovery)))
	for what, bound := range map[string]float64{
		"memory": maxRollMemory, "goroutines": maxRollRoutines, "descriptors": maxRollFiles,
	} {
		unit := what
		if what == "memory" {
			unit = "MiB"
		}
		for _, tier := range []string{Enclave, Parent, API} {
			values := course.Values(what, tier)
			if len(values) < 3 {
				if tier == API && what == "goroutines" {
					continue // it is not scraped
				}
				return fmt.Errorf("soak: %d readings of the %s of %s", len(values), what, tier)
			}
			end := measure.Median(values[len(values)-3:])
			sink.Add(measure.Value("soak/"+tier+"/"+what+"-above-begin", end-values[0], unit, int64(len(values))).
				Held(measure.AtMost(bound)))
			if what == "memory" && of >= 10*time.Minute {
				middle, last := thirds(values)
				sink.Add(measure.Value("soak/"+tier+"/memory-growth", last-middle, "MiB", int64(len(values))).
					Held(measure.AtMost(maxRollGrowth)))
			}
		}
	}
	return missed(sink)
}

// ErrMissed reports a run in which something grew or recovered too slowly.
var ErrMissed = errors.New("soak: a bound was missed")

// missed names the bounds that the run has missed.
func missed(sink *measure.Sink) (err error) {
	for _, l := range sink.Lines() {
		if l.Holds != nil && !*l.Holds {
			err = errors.Join(err, fmt.Errorf("%w: %s is %.1f %s", ErrMissed, l.Name, l.Value, l.Unit))
		}
	}
	return err
}
