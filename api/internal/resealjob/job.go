// Package resealjob gives all vaults of a deployment a key of the generation that is written to, for an operator.
//
// # What it guarantees
//
// The job holds nothing that the vaults do not say themselves: a vault whose key is of that generation is left as it
// is. So a job that ended at any step, killed or not, is given again, and two jobs at once do no harm: of two writes to
// one vault one wins, and the other finds nothing left to do. What does not open is left unchanged, and reported.
// With a [Place] that is kept, the next job goes on behind the pages that were done.
//
// # Limits
//
// A vault made meanwhile has a key of that generation already, if it was set before the job began. Vaults whose record
// cannot be read are not in the store's list: the store counts them.
package resealjob

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Outcome says what became of one vault.
type Outcome string

// Outcomes. Those after Gone are failures: the vault is as it was.
const (
	Resealed     Outcome = "resealed"
	Due          Outcome = "due"     // of a dry run: it would get a new key
	Current      Outcome = "current" // nothing to do
	Gone         Outcome = "gone"    // it was removed or erased meanwhile
	Unopened     Outcome = "unopened"
	NotMovable   Outcome = "not_movable"
	Full         Outcome = "epochs_full"
	Inconsistent Outcome = "inconsistent"
	Damaged      Outcome = "damaged"
	Unverified   Outcome = "unverified"
	Conflict     Outcome = "conflict"
)

// Failed reports whether the vault still needs a new key.
func (o Outcome) Failed() bool {
	switch o {
	case Resealed, Due, Current, Gone:
		return false
	}
	return true
}

// Result is what became of one vault.
type Result struct {
	Outcome Outcome  `json:"outcome"`
	Fields  []string `json:"fields,omitempty"` // that did not open
	Dropped int      `json:"dropped,omitempty"`
	Text    string   `json:"text,omitempty"`
}

// ErrTransient reports a call that may work in a while: a part of the deployment is away, or asks for fewer requests.
var ErrTransient = errors.New("the deployment does not serve at present")

// Vaults are the vaults of a deployment. Reseal gives one a new key if it needs one, or only looks with dry. Its error
// ends the job, after further tries if it is ErrTransient.
type Vaults interface {
	List(ctx context.Context, cursor string) (ids []string, next string, err error)
	Reseal(ctx context.Context, id string, dry bool) (*Result, error)
}

// Place is how far a job has come: everything before Cursor is done.
type Place struct {
	Cursor string `json:"cursor"`
	Report Report `json:"report"`
}

// maxFailures bounds the failures that a report names.
const maxFailures = 1000

// Report is what a job did.
type Report struct {
	Vaults   int             `json:"vaults"`
	Outcomes map[Outcome]int `json:"outcomes"`
	Dropped  int             `json:"dropped_keys"` // older keys that went
	// Failures are the first of them.
	Failures []Failure `json:"failures"`
	Complete bool      `json:"complete"` // all vaults were looked at
}

// Failure is a vault that still needs a new key.
type Failure struct {
	VaultID string `json:"vault"`
	Result
}

// Failed is the number of vaults that still need a new key, of those that were looked at.
func (r *Report) Failed() (n int) {
	for o, count := range r.Outcomes {
		if o.Failed() {
			n += count
		}
	}
	return n
}

func (r *Report) add(id string, res *Result) {
	r.Vaults++
	r.Outcomes[res.Outcome]++
	r.Dropped += res.Dropped
	if res.Outcome.Failed() && len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, Failure{id, *res})
	}
}

// Job is one run.
type Job struct {
	Vaults   Vaults
	Dry      bool
	Rate     float64 // vaults per second at most; 0: as fast as they go
	Parallel int     // vaults at a time; 0: 1
	From     *Place  // where to go on; nil: the beginning
	// Keep is called after each page with the place that was reached, and its error ends the job. nil: not kept.
	Keep func(*Place) error
	// Progress is called after each vault, by one goroutine at a time. nil: nobody is told.
	Progress func(*Report)
	// Pause is the first pause after ErrTransient; it doubles, to a minute at most. 0: 100 ms.
	Pause time.Duration
	// Tries is how often a vault is tried. 0: 12, which takes about four minutes.
	Tries int
}

const (
	defaultPause = 100 * time.Millisecond
	longestPause = time.Minute
	defaultTries = 12
)

// Run looks at every vault. When ctx ends it finishes the vaults in work, and returns ctx's error with the report of
// what was done until then; so it does after an error. The report is never nil.
func (j *Job) Run(ctx context.Context) (*Report, error) {
	place := &Place{}
	if j.From != nil {
		*place = *j.From
	}
	if place.Report.Outcomes == nil {
		place.Report.Outcomes = map[Outcome]int{}
	}
	if place.Report.Failures == nil {
		place.Report.Failures = []Failure{}
	}
	limit := rate.NewLimiter(rate.Inf, 1)
	if j.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(j.Rate), 1)
	}
	for {
		var ids []string
		var next string
		err := j.again(ctx, func(ctx context.Context) (err error) {
			ids, next, err = j.Vaults.List(ctx, place.Cursor)
			return err
		})
		if err != nil {
			return &place.Report, fmt.Errorf("list of vaults: %w", err)
		}
		page, err := j.page(ctx, limit, ids, place.Report)
		if err != nil {
			return page, err // the place stays before this page
		}
		place.Report, place.Cursor = *page, next
		place.Report.Complete = next == ""
		if j.Keep != nil && next != "" {
			if err := j.Keep(place); err != nil {
				return &place.Report, err
			}
		}
		if next == "" {
			return &place.Report, nil
		}
	}
}

// page does the vaults of one page, and returns the report with them.
func (j *Job) page(ctx context.Context, limit *rate.Limiter, ids []string, until Report) (*Report, error) {
	report := until.clone()
	var mu sync.Mutex
	g, all := errgroup.WithContext(ctx)
	g.SetLimit(max(j.Parallel, 1))
	for _, id := range ids {
		if limit.Wait(all) != nil {
			break
		}
		g.Go(func() error {
			var res *Result
			err := j.again(all, func(context.Context) (err error) {
				// A vault that was begun is finished, whatever ends the job.
				res, err = j.Vaults.Reseal(context.WithoutCancel(ctx), id, j.Dry)
				return err
			})
			if err != nil {
				return fmt.Errorf("vault %s: %w", id, err)
			}
			mu.Lock()
			defer mu.Unlock()
			report.add(id, res)
			if j.Progress != nil {
				j.Progress(report)
			}
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return report, err
}

func (r *Report) clone() *Report {
	out := *r
	out.Outcomes = make(map[Outcome]int, len(r.Outcomes))
	for o, n := range r.Outcomes {
		out.Outcomes[o] = n
	}
	out.Failures = append([]Failure{}, r.Failures...)
	return &out
}

// again repeats do while it fails for a reason that may pass.
func (j *Job) again(ctx context.Context, do func(context.Context) error) error {
	pause, tries := j.Pause, j.Tries
	if pause == 0 {
		pause = defaultPause
	}
	if tries == 0 {
		tries = defaultTries
	}
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := do(ctx)
		if !errors.Is(err, ErrTransient) || n == tries {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, longestPause)
	}
}
