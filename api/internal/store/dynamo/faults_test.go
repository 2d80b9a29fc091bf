package dynamo

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/api/internal/awsfault"
	"redoubt/api/internal/store"
)

// faulty is a store behind a proxy that injects faults.
func faulty(t *testing.T, cfg Config) (*Store, *awsfault.Proxy) {
	t.Helper()
	p := awsfault.New(t, awsfault.Empty())
	cfg.AWS, cfg.Endpoint, cfg.Table = config(), p.URL, "t"
	if cfg.Attempt == 0 {
		cfg.Attempt, cfg.Timeout = time.Minute, time.Minute // the machine may be busy
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// The kinds of operation.
var operations = map[string]func(context.Context, *Store) error{
	"read": func(ctx context.Context, s *Store) error {
		_, err := s.Get(ctx, "v_1")
		return err
	},
	"page": func(ctx context.Context, s *Store) error {
		_, _, err := s.Audit(ctx, "v_1", store.Page{})
		return err
	},
	"write": func(ctx context.Context, s *Store) error {
		return s.Update(ctx, &store.Update{ID: "v_1", Revision: 1, Modified: 2}, &store.Entry{VaultID: "v_1"})
	},
	"audit": func(ctx context.Context, s *Store) error { return s.AppendAudit(ctx, &store.Entry{VaultID: "v_1"}) },
}

// went tells whether an operation reached the service, which has nothing.
func went(err error) bool { return err == nil || errors.Is(err, store.ErrNotFound) }

func TestARefusalThatPassesIsOvercome(t *testing.T) {
	faults := map[string]awsfault.Fault{
		"throttle":      awsfault.Throttle(),
		"internal":      awsfault.Refuse(http.StatusInternalServerError, "InternalServerError", ""),
		"load balancer": awsfault.Status(http.StatusServiceUnavailable),
	}
	for name, fault := range faults {
		for operation, run := range operations {
			t.Run(name+", "+operation, func(t *testing.T) {
				s, p := faulty(t, Config{})
				p.Next(fault)
				if err := run(t.Context(), s); !went(err) {
					t.Fatal(err)
				}
				if n := len(p.Seen()); n != 2 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
}

var tokenOf = regexp.MustCompile(`"ClientRequestToken":"[^"]+"`)

func TestASwallowedRequestIsRepeatedWithItsToken(t *testing.T) {
	for operation, run := range operations {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			s, p := faulty(t, Config{Attempt: time.Second, Timeout: time.Minute})
			p.Next(awsfault.Swallow)
			if err := run(t.Context(), s); !went(err) {
				t.Fatal(err)
			}
			seen := p.Seen()
			for _, r := range seen {
				if len(seen) < 2 || tokenOf.FindString(r.Body) != tokenOf.FindString(seen[0].Body) {
					t.Errorf("requests %v", seen)
				}
			}
		})
	}
}

func TestWhatIsThrottledThroughoutWasNotWritten(t *testing.T) {
	faults := map[string]awsfault.Fault{
		"request": awsfault.Throttle(),
		"item":    awsfault.Cancel("None", "ThrottlingError"),
		"table":   awsfault.Cancel("ProvisionedThroughputExceeded", "None"),
	}
	for name, fault := range faults {
		for operation, run := range operations {
			if name != "request" && (operation == "read" || operation == "page") {
				continue
			}
			t.Run(name+", "+operation, func(t *testing.T) {
				t.Parallel()
				s, p := faulty(t, Config{})
				p.Always(fault)
				err := run(t.Context(), s)
				if !errors.Is(err, store.ErrThrottled) || errors.Is(err, store.ErrUnknownOutcome) ||
					strings.Contains(err.Error(), "SENTINEL") {
					t.Errorf("err = %v", err)
				}
				if n := len(p.Seen()); n < 4 {
					t.Errorf("%d attempts", n)
				}
			})
		}
	}
}

// bubble runs an operation in fake time with a client that does what the script says, and then the last of it for ever.
// It returns the time that the operation took.
func bubble(t *testing.T, timeout time.Duration, operation string, script ...awsfault.Fault) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.HTTPClient = awsfault.NewClient(script...)
		s, newErr := New(Config{AWS: cfg, Table: "t", Timeout: timeout})
		if newErr != nil {
			t.Fatal(newErr)
		}
		start := time.Now()
		err = operations[operation](t.Context(), s)
		took = time.Since(start)
	})
	return took, err
}

func TestTheBudgetOfACall(t *testing.T) {
	for operation := range operations {
		attempt := time.Second
		if operation == "page" {
			attempt *= 2
		}
		for name, c := range map[string]struct {
			script      []awsfault.Fault
			least, most time.Duration
		}{
			"nothing":       {[]awsfault.Fault{awsfault.Pass}, 0, 0},
			"one throttle":  {[]awsfault.Fault{awsfault.Throttle(), awsfault.Pass}, 0, 50 * time.Millisecond},
			"two throttles": {[]awsfault.Fault{awsfault.Throttle(), awsfault.Throttle(), awsfault.Pass}, 0, 150 * time.Millisecond},
			"one swallowed": {[]awsfault.Fault{awsfault.Swallow, awsfault.Pass}, attempt, attempt + 50*time.Millisecond},
			"slow":          {[]awsfault.Fault{awsfault.Slow(900 * time.Millisecond)}, 900 * time.Millisecond, 900 * time.Millisecond},
		} {
			took, err := bubble(t, 0, operation, c.script...)
			if !went(err) || took < c.least || took > c.most {
				t.Errorf("%s, %s: %v, %v", operation, name, took, err)
			}
		}
	}
}

func TestTheLastAnswerOfTheServiceIsKeptWhenTimeIsOver(t *testing.T) {
	throttle := awsfault.Throttle()
	for operation := range operations {
		if _, err := bubble(t, 60*time.Millisecond, operation, throttle); !errors.Is(err, store.ErrThrottled) {
			t.Errorf("%s, in a pause: %v", operation, err)
		}
	}
	for _, operation := range []string{"read", "page"} {
		_, err := bubble(t, 500*time.Millisecond, operation, throttle, awsfault.Swallow)
		if !errors.Is(err, store.ErrThrottled) {
			t.Errorf("%s, on its way: %v", operation, err)
		}
	}
	took, err := bubble(t, 0, "write", awsfault.Swallow)
	if !errors.Is(err, store.ErrUnknownOutcome) || took != DefaultTimeout {
		t.Errorf("no answer at all: %v, %v", took, err)
	}
}

func TestOnceAnAttemptHadNoAnswerTheOutcomeIsUnknownWhateverFollows(t *testing.T) {
	lost := map[string]awsfault.Fault{
		"lost":      awsfault.Lose,
		"swallowed": awsfault.Swallow,
		"internal":  awsfault.Refuse(http.StatusInternalServerError, "InternalServerError", ""),
		"gateway":   awsfault.Status(http.StatusBadGateway),
		"broken": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			_, _ = w.Write([]byte(`{"ItemCollec`))
		},
	}
	follows := map[string]awsfault.Fault{
		"expired": awsfault.Expired(), "denied": awsfault.Denied(), "throttled": awsfault.Throttle(),
		"item throttled": awsfault.Cancel("ThrottlingError"), "condition": awsfault.Cancel("ConditionalCheckFailed"),
		"conflict":  awsfault.Cancel("TransactionConflict"),
		"invalid":   awsfault.Refuse(http.StatusBadRequest, "ValidationException", ""),
		"no table":  awsfault.Refuse(http.StatusBadRequest, "ResourceNotFoundException", ""),
		"swallowed": awsfault.Swallow,
	}
	for before, first := range lost {
		for after, then := range follows {
			for _, operation := range []string{"write", "audit"} {
				_, err := bubble(t, 0, operation, first, then)
				if !errors.Is(err, store.ErrUnknownOutcome) || strings.Contains(err.Error(), "SENTINEL") {
					t.Errorf("%s, then %s, %s: %v", before, after, operation, err)
				}
			}
		}
	}
}

func TestAnAnswerToTheRepetitionIsTheAnswer(t *testing.T) {
	s, p := faulty(t, Config{})
	p.Next(awsfault.Lose)
	if err := operations["write"](t.Context(), s); err != nil {
		t.Errorf("err = %v", err)
	}
	if n := len(p.Seen()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestRetriesOfAuditEntriesTakeNoneFromWrites(t *testing.T) {
	s, p := faulty(t, Config{})
	p.Always(awsfault.Throttle())
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { _ = operations["audit"](t.Context(), s) })
	}
	wg.Wait()
	p.Always(nil)
	used := len(p.Seen())
	p.Next(awsfault.Throttle())
	if err := operations["audit"](t.Context(), s); !errors.Is(err, store.ErrThrottled) || len(p.Seen()) != used+1 {
		t.Errorf("an entry is tried again although its quota is used up: %v, %d requests", err, len(p.Seen())-used)
	}
	for _, operation := range []string{"write", "read", "page"} {
		p.Next(awsfault.Throttle())
		if err := operations[operation](t.Context(), s); !went(err) {
			t.Errorf("%s: %v", operation, err)
		}
	}
}

func TestARequestOfACallerThatIsGoneIsNotTriedAgain(t *testing.T) {
	s, p := faulty(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	p.Next(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	})
	if err := operations["read"](ctx, s); !errors.Is(err, context.Canceled) || len(p.Seen()) != 1 {
		t.Errorf("%v, %d requests", err, len(p.Seen()))
	}
}

func TestFaultsOnTheWayToTheTableWriteNothingTwice(t *testing.T) {
	direct := newStore(t, time.Now)
	p := awsfault.New(t, awsfault.To(t, need(t)))
	s, err := New(Config{AWS: config(), Endpoint: p.URL, Table: *direct.table, Timeout: time.Minute, Attempt: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]awsfault.Fault{
		"throttled": awsfault.Throttle(), "item throttled": awsfault.Cancel("ThrottlingError", "None"), "lost": awsfault.Lose,
		"unavailable": awsfault.Status(http.StatusServiceUnavailable), "slow": awsfault.Slow(20 * time.Millisecond),
	}
	for name, fault := range faults {
		id := "v_" + strings.ReplaceAll(name, " ", "_")
		r := &store.Record{ID: id, Suite: []byte("HPKE"), WrappedKey: []byte("w"), PublicKey: []byte("p"), Modified: 1}
		e := &store.Entry{VaultID: id, Time: 1, Event: "CreateVault", Chain: "c", Seq: 1}
		p.Next(fault)
		// moto does not know a repeated token: to it the repetition of what was written is a second one.
		if err := s.Create(t.Context(), r, e, nil); err != nil && (name != "lost" || !errors.Is(err, store.ErrUnknownOutcome)) {
			t.Errorf("%s: create: %v", name, err)
		}
		u := &store.Update{ID: id, Revision: 1, Modified: 2, Set: map[string]store.Value{"city": {Blob: []byte("b")}}}
		e = &store.Entry{VaultID: id, Time: 2, Event: "UpdateVault", Chain: "c", Seq: 2}
		p.Next(fault)
		if err := s.Update(t.Context(), u, e); err != nil && (name != "lost" || !errors.Is(err, store.ErrUnknownOutcome)) {
			t.Errorf("%s: update: %v", name, err)
		}
		got, err := direct.Get(t.Context(), id)
		if err != nil || got.Modified != 2 || len(got.Fields) != 1 {
			t.Errorf("%s: record %+v, %v", name, got, err)
		}
		log, _, err := direct.Audit(t.Context(), id, store.Page{})
		if err != nil || len(log) != 2 {
			t.Errorf("%s: %d entries, %v", name, len(log), err)
		}
	}
}
