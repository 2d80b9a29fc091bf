package httpapi

import "time"

// Recorder gets everything that is counted, beside the registry. Where nothing scrapes, it sends the numbers on.
// Arguments are from the same closed sets as the labels. It must not block, and is called concurrently.
type Recorder interface {
	// Request records an answer and the time it took.
	Request(route, method string, status int, code string, took time.Duration)
	// Call records a call of a dependency.
	Call(dependency, operation, outcome string, took time.Duration)
	// Audit records an audit entry given to the store. outcome is ok, or why it was not stored.
	Audit(event, outcome string)
}

// Tell makes r get everything that is counted from now on. Call it before the metrics are used.
func (m *Metrics) Tell(r Recorder) { m.also = r }

// Audit counts an audit entry: its event, and ok or why it was not stored. Both are static words.
func (m *Metrics) Audit(event, outcome string) {
	m.audits.WithLabelValues(event, outcome).Inc()
	m.also.Audit(event, outcome)
}

// nobody is the Recorder that discards everything.
type nobody struct{}

func (nobody) Request(string, string, int, string, time.Duration) {}
func (nobody) Call(string, string, string, time.Duration)         {}
func (nobody) Audit(string, string)                               {}
