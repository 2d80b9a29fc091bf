// Package emf sends the API's metrics to CloudWatch where nothing scrapes. On AWS Lambda it writes lines of the
// embedded metric format to standard output, and CloudWatch Logs turns them into metrics.
//
// # Guarantee
//
// A line is one JSON object within the format's limits, written by one call of Write: at most 100 values of a metric,
// and each metric and dimension a member of the root. Dimensions are the function's name and words of closed sets
// (routes by pattern, methods, codes, dependencies, operations, audit events). So their number is bounded, and a line
// holds nothing of a request. Counts stay in memory until [Recorder.Flush], which the host calls at the end of each
// invocation: after it Lambda freezes the process. If Lambda ends an invocation in the middle, only Lambda's own
// counts (AWS/Lambda, Errors) show it.
//
// # Lines
//
// There is one line per route and method, per error code, per operation of a dependency and per audit event that had
// something to report, and one for the start of the process. deploy/METRICS.md lists the metrics.
//
// Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format"; testdata has its JSON schema. Two
// known Go libraries were not used: one has been unmaintained since 2021, the other needs a newer Go than ours.
package emf

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Namespace of the API's metrics in CloudWatch.
const Namespace = "Redoubt/API"

// maxValues is the format's limit for the values of one metric in one line.
const maxValues = 100

// These are the units of CloudWatch that are used here.
const (
	count        = "Count"
	milliseconds = "Milliseconds"
)

// Config of a recorder.
type Config struct {
	// Out takes the lines: standard output on Lambda.
	Out io.Writer
	// Function names the function; it is a dimension of every metric. Empty: "unknown", as a dimension may not be empty.
	Function string
	// Version is the build, a property of the line for the start.
	Version string
	// Init is how long the process took to be ready for its first event.
	Init time.Duration
	// Cold says that a caller waited for the start. It is false if Lambda starts processes ahead of calls.
	Cold bool
	// Now is the clock; nil for the machine's.
	Now func() time.Time
}

// Recorder gathers and writes. It is safe for concurrent use.
type Recorder struct {
	cfg Config

	mu       sync.Mutex
	started  bool // the start was reported
	requests groups[route]
	errors   groups[string]
	calls    groups[operation]
	audits   groups[string]
}

type (
	route     struct{ route, method string }
	operation struct{ dependency, operation string }
)

// New makes a recorder.
func New(cfg Config) *Recorder {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Function == "" {
		cfg.Function = "unknown"
	}
	return &Recorder{cfg: cfg}
}

// Request counts an answer.
func (r *Recorder) Request(pattern, method string, status int, code string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests.add(route{pattern, method}, sample{took: took, client: status/100 == 4, failed: status >= 500})
	if status >= 400 {
		r.errors.add(code, sample{})
	}
}

// Call counts a call of a dependency.
func (r *Recorder) Call(dependency, name, outcome string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls.add(operation{dependency, name}, sample{took: took, failed: failed(outcome)})
}

// Audit counts an audit entry given to the store. An entry whose write was refused does not count as one that could
// not be stored.
func (r *Recorder) Audit(event, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audits.add(event, sample{failed: outcome != "ok" && outcome != "refused"})
}

// failed reports whether an outcome is a failure. That a record is missing, exists already or changed meanwhile is an
// answer, and not a failure.
func failed(outcome string) bool {
	switch outcome {
	case "ok", "not_found", "exists", "conflict", "cursor", "erased", "keyed", "epochs", "epochs_full":
		return false
	}
	return true
}

// Flush writes what was gathered since the last time. It writes nothing if there is nothing.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.take() {
		line, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("emf: %w", err)
		}
		if _, err := r.cfg.Out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("emf: %w", err)
		}
	}
	return nil
}

// take makes lines of what was gathered, and forgets it.
func (r *Recorder) take() []line {
	var out []line
	if !r.started {
		r.started = true
		out = append(out, r.start())
	}
	for k, part := range r.requests.parts() {
		l := r.line([]string{"Function"}, []string{"Function", "Route", "Method"})
		l["Route"], l["Method"] = k.route, k.method
		l.metric("Requests", count, len(part))
		l.metric("ClientErrors", count, part.count(func(s sample) bool { return s.client }))
		l.metric("ServerErrors", count, part.count(sample.bad))
		l.metric("Duration", milliseconds, part.milliseconds())
		out = append(out, l)
	}
	for code, part := range r.errors.parts() {
		l := r.line([]string{"Function", "Code"})
		l["Code"] = code
		l.metric("Errors", count, len(part))
		out = append(out, l)
	}
	for k, part := range r.calls.parts() {
		l := r.line([]string{"Function", "Dependency"}, []string{"Function", "Dependency", "Operation"})
		l["Dependency"], l["Operation"] = k.dependency, k.operation
		l.metric("Calls", count, len(part))
		l.metric("CallFailures", count, part.count(sample.bad))
		l.metric("CallDuration", milliseconds, part.milliseconds())
		out = append(out, l)
	}
	for event, part := range r.audits.parts() {
		l := r.line([]string{"Function"}, []string{"Function", "Event"})
		l["Event"] = event
		l.metric("AuditEntries", count, len(part))
		l.metric("AuditFailures", count, part.count(sample.bad))
		out = append(out, l)
	}
	r.requests.forget()
	r.errors.forget()
	r.calls.forget()
	r.audits.forget()
	return out
}

func (r *Recorder) start() line {
	l := r.line([]string{"Function"})
	cold := 0
	if r.cfg.Cold {
		cold = 1
	}
	l["Version"] = r.cfg.Version
	l.metric("ColdStarts", count, cold)
	l.metric("InitDuration", milliseconds, ms(r.cfg.Init))
	return l
}
