//go:build dev

package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/wire"
)

// Finding is an invariant that did not hold.
type Finding struct {
	Invariant string `json:"invariant"`
	Text      string `json:"text"`
	AtMS      int64  `json:"at_ms"`
}

// Result is what a run showed.
type Result struct {
	Plan     Plan           `json:"plan"`
	Findings []Finding      `json:"findings"`
	Kinds    map[string]int `json:"kinds"`   // of faults that really happened, of requests and of routes: 0 for the others
	Answers  map[string]int `json:"answers"` // by request and outcome
	Moved    []string       `json:"moved"`   // metrics that were above 0, as name or name{label="value"}
	Trace    string         `json:"trace"`   // a hash over every event and answer with its time
	TookMS   int64          `json:"took_ms"` // of the run's own time
	Log      string         `json:"-"`
}

// Bounds that a run holds the product to.
const (
	// remembered is longer than the enclave answers from its memory that a key is denied, and than keys live.
	remembered = 6 * time.Second
	// settle is how long a service may take to be ready after the last fault: the enclave looks at a clock that was set
	// once in 15 s.
	settle = 40 * time.Second
	// patience is the same natively, where others may use the machine.
	patience = time.Minute
	// slack is what the network may add to a bound of a tier.
	slack = 1500 * time.Millisecond
	// apiBound is how long a request of the API may take: the parent's time, with a second try, and the calls of store
	// and KMS around it.
	apiBound = 2*requestTimeout + 4*time.Second
)

// run is a run in progress.
type run struct {
	w     *world
	plan  Plan
	began time.Time
	wg    sync.WaitGroup
	model model

	replacing sync.Mutex
	features  features
	policy    []byte
	client    *http.Client
	fresh     *http.Client
	jumped    atomic.Bool
	faulty    atomic.Bool // faults may still be at work

	m          sync.Mutex
	findings   []Finding
	answers    map[string]int
	operations []operation // of the API's document
	moved      map[string]bool
	trace      traceHash
	denied     denial
	lastDenied time.Time
	ahead      time.Duration // of the wall clock, by its jumps
}

// denial is a revocation of the key.
type denial struct {
	active bool
	from   time.Time
	purged time.Time // when a purge that began later was confirmed
}

// Run makes one run in a folder of its own. Of a run that is alone in its process, the goroutines are counted too.
func Run(ctx context.Context, dir string, p Plan, alone bool) *Result {
	before := runtime.NumGoroutine()
	r := &run{plan: p, began: time.Now(), answers: map[string]int{}, moved: map[string]bool{}}
	r.faulty.Store(true)
	r.fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	w, err := newWorld(ctx, dir, p.Seed, features{})
	if err != nil {
		return &Result{Plan: p, Findings: []Finding{{Invariant: "start", Text: err.Error()}}}
	}
	r.w = w
	r.policy = w.admin(http.MethodGet, "policy", nil)
	for _, kind := range Kinds() {
		w.counts[kind] = 0
	}
	if !r.prepare(ctx) {
		r.fail("start", "the service is not ready %v after its start", settle)
	}
	start := time.Now()
	for _, e := range p.Events {
		if wait := ms(e.At) - time.Since(start); wait > 0 {
			time.Sleep(wait)
		}
		r.note("event %s %s %d %d", e.Kind, e.On, e.N, e.M)
		if f, ok := faults[e.Kind]; ok {
			f.apply(r, e)
			continue
		}
		r.ask(e)
	}
	r.wg.Wait()
	r.after(0, r.clearKMS)
	r.rollOn()
	r.wg.Wait()
	w.heal()
	r.finish(ctx)
	r.client.CloseIdleConnections()
	r.fresh.CloseIdleConnections()
	w.close()
	if alone {
		r.gone(before)
	}
	return r.result()
}

// roll changes the versions of the parts that start from now on, and returns them.
func (r *run) roll(change func(f *features)) features {
	r.m.Lock()
	defer r.m.Unlock()
	change(&r.features)
	return r.features
}

// rollOn ends a roll: both ends are of this version then. One without egress, say, is never ready.
func (r *run) rollOn() {
	rolled := r.roll(func(*features) {})
	r.roll(func(f *features) { *f = features{} })
	if rolled.enclave != 0 {
		r.replace(partEnclave, false, "roll.enclave")
	}
	if rolled.parent != 0 {
		r.replace(partParent, false, "roll.parent")
	}
}

// ask makes the request of an event, on a goroutine of its own.
func (r *run) ask(e Event) {
	op, ok := ops[e.Kind]
	if !ok {
		r.fail("plan", "no request and no fault is called %q", e.Kind)
		return
	}
	r.wg.Go(func() {
		rng := rand.New(rand.NewPCG(uint64(e.N), stream(e.Kind)))
		r.w.count("ask " + e.Kind)
		op(r, rng, e)
	})
}

// after does something later, before the run ends.
func (r *run) after(d time.Duration, f func()) {
	r.wg.Go(func() {
		time.Sleep(d)
		f()
	})
}

// fail records a finding.
func (r *run) fail(invariant, format string, args ...any) {
	r.m.Lock()
	defer r.m.Unlock()
	f := Finding{invariant, fmt.Sprintf(format, args...), time.Since(r.began).Milliseconds()}
	if len(r.findings) < 20 {
		r.findings = append(r.findings, f)
	}
	r.trace.add(time.Since(r.began), "finding "+f.Invariant)
}

// note adds to the trace.
func (r *run) note(format string, args ...any) {
	r.m.Lock()
	defer r.m.Unlock()
	r.trace.add(time.Since(r.began), fmt.Sprintf(format, args...))
}

// answered counts an outcome.
func (r *run) answered(what, outcome string, took time.Duration) {
	r.m.Lock()
	defer r.m.Unlock()
	r.answers[what+" "+outcome]++
	r.trace.add(took, what+" "+outcome)
}

// prepare waits until the service is ready, and makes the first vaults.
func (r *run) prepare(ctx context.Context) bool {
	if !r.ready(ctx) {
		return false
	}
	if !r.readOperations() {
		return false
	}
	for range 3 {
		r.model.sealedVault(ctx, r)
	}
	rng := rand.New(rand.NewPCG(r.plan.Seed, stream("first")))
	for range 3 {
		ops["create"](r, rng, Event{})
	}
	return len(r.model.vaults()) == 3
}

// ready waits until both tiers call themselves ready.
func (r *run) ready(ctx context.Context) bool {
	limit := settle
	if !exact {
		limit = patience
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		a := r.send(ctx, request{link: callerAPI, method: http.MethodGet, path: "/ready"})
		b := r.send(ctx, request{link: callerParent, method: http.MethodGet, path: "/ready"})
		if a.status == http.StatusOK && b.status == http.StatusOK {
			return true
		}
	}
	return false
}

// finish checks, now that no fault is left, that the service comes back and that all that was acknowledged is there.
func (r *run) finish(ctx context.Context) {
	began := time.Now()
	if !r.ready(ctx) {
		r.fail("recovery", "not ready %v after the last fault", settle)
		return
	}
	r.note("ready again after %v", time.Since(began).Round(time.Millisecond))
	time.Sleep(remembered)
	r.faulty.Store(false)
	for _, v := range r.model.vaults() {
		r.checkVault(ctx, v)
	}
	for _, v := range r.model.sealed {
		r.openSealed(v, "open", time.Time{})
	}
	r.bounds(ctx)
	r.leaks()
}

// bounds compares the enclave's caches, as the parent shows them, with their bounds.
func (r *run) bounds(ctx context.Context) {
	r.w.mu.Lock()
	address := r.w.metricsAddress
	r.w.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		panic(err)
	}
	a := read(r.fresh, req)
	if a.err != nil {
		r.fail("metrics", "the parent's metrics cannot be read: %v", a.err)
		return
	}
	text := a.body
	r.m.Lock()
	for _, sample := range samples(string(text)) {
		r.moved[sample] = true
	}
	r.m.Unlock()
	if strings.Contains(string(text), sentinel) {
		r.fail("leak", "the parent's metrics hold a value")
	}
	bounds := map[string]float64{"redoubt_enclave_cached_keys": maxKeys, "redoubt_enclave_cached_contexts": maxContexts}
	calm := exact && !r.faulty.Load()
	if calm {
		bounds["redoubt_parent_requests_in_flight"] = 0
		bounds["redoubt_parent_egress_connections"] = restingEgress
	}
	for name, bound := range bounds {
		v, ok := metric(string(text), name)
		if ok && v > bound {
			r.fail("bounds", "%s is %v, its bound is %v", name, v, bound)
		}
		if !ok && calm && r.tells() {
			r.fail("bounds", "%s is not among the metrics", name)
		}
	}
	if v, ok := metric(string(text), `redoubt_enclave_panics_total`); ok && v > 0 {
		r.fail("panic", "the enclave has recovered %v panics", v)
	}
}

// restingEgress is how many connections to KMS may be open: as many as calls at once.
const restingEgress = 64

// tells reports whether the enclave's numbers reach the parent: both are of a version that has them.
func (r *run) tells() bool {
	now := r.roll(func(*features) {})
	has := func(f wire.Features) bool { return f == 0 || f.Has(wire.FeatureStats) }
	return has(now.parent) && has(now.enclave)
}

// leaks looks for values in what the parts have logged.
func (r *run) leaks() {
	log := r.w.log.String()
	for line := range strings.SplitSeq(log, "\n") {
		switch {
		case strings.Contains(line, sentinel):
			r.fail("leak", "a log line holds a value")
			return
		case strings.Contains(line, "panic"):
			r.fail("panic", "%s", line)
			return
		}
	}
}

// stay are functions of fasthttp that sleep a while after their server or client has ended, and then end, or are there
// once in a process.
var stay = []string{"fasthttp.(*HostClient).connsCleaner", "fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"}

// gone checks that the goroutines of all parts have ended, soon after them.
func (r *run) gone(before int) {
	var left []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left = slices.DeleteFunc(strings.Split(string(stacks), "\n\n"), func(stack string) bool {
			return slices.ContainsFunc(stay, func(f string) bool { return strings.Contains(stack, f) })
		})
		if len(left) <= before {
			return
		}
	}
	_, _ = os.Stderr.WriteString(strings.Join(left, "\n\n"))
	r.fail("goroutines", "%d goroutines are left, %d were there before", len(left), before)
}

func (r *run) result() *Result {
	r.m.Lock()
	defer r.m.Unlock()
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return int(a.AtMS - b.AtMS) })
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return &Result{
		Plan: r.plan, Findings: r.findings, Kinds: r.w.counts, Answers: r.answers, Moved: sortedKeys(r.moved),
		Trace: r.trace.String(), TookMS: time.Since(r.began).Milliseconds(), Log: r.w.log.String(),
	}
}

// JSON is the result for the host of a simulation.
func (r *Result) JSON() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(data)
}
