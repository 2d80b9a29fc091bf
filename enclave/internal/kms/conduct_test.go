package kms

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
)

// TestCheck6FailuresThatPassAreOvercome is SECURITY.md, check 6: each of these ends in the right key, after a retry.
func TestCheck6FailuresThatPassAreOvercome(t *testing.T) {
	hang := func(n int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(i int, _ http.ResponseWriter, r *http.Request) bool {
			if i > n {
				return false
			}
			<-r.Context().Done()
			return true
		}
	}
	cut := func(i int, w http.ResponseWriter, _ *http.Request) bool {
		if i > 2 {
			return false
		}
		w.Header().Set("Content-Length", "500")
		_, _ = w.Write([]byte(`{"KeyId":`))
		if i == 2 {
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler) // the connection breaks before the answer, then in the middle of it
	}
	for name, fail := range map[string]func(int, http.ResponseWriter, *http.Request) bool{
		"throttled twice": failing(2, 400, "ThrottlingException"), "internal failure": failing(1, 500, "KMSInternalException"),
		"four times unavailable": failing(4, 503, "ServiceUnavailable"), "no answer": hang(2), "cut answers": cut,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeKMS(t)
				c, _ := newTestClient(t, f)
				f.fail = fail
				mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
				stats := c.Stats()
				if stats.Retries == 0 || stats.Calls[OK] != 1 || stats.Attempts[OK] != 1 {
					t.Errorf("retries %d, calls %v, attempts %v", stats.Retries, stats.Calls, stats.Attempts)
				}
			})
		})
	}
}

func TestCheck6FailuresThatStayEndInATypedErrorWithinTheDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(*fakeKMS)
		want Cause
	}{
		"throttling": {func(f *fakeKMS) { f.fail = failing(-1, 400, "ThrottlingException") }, Throttled},
		"5xx":        {func(f *fakeKMS) { f.fail = failing(-1, 500, "InternalFailure") }, Unavailable},
		"no egress":  {func(f *fakeKMS) { f.dialFail = errors.New("SENTINEL: refused") }, NoEgress},
		"no answer": {func(f *fakeKMS) {
			f.fail = func(_ int, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		}, Timeout},
		"no handshake": {func(f *fakeKMS) {
			f.network = func(c net.Conn) net.Conn { _ = c.Close(); return silence(c) }
		}, Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeKMS(t)
				f.set(tt.set)
				for _, limit := range []time.Duration{3 * time.Millisecond, 700 * time.Millisecond, 30 * time.Second} {
					c, _ := newTestClient(t, f)
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					began := time.Now()
					_, err := c.Unwrap(ctx, vaultKey("v_1", "key"))
					took := time.Since(began)
					cancel()
					var failure *Error
					if !errors.As(err, &failure) || failure.Cause != Timeout { // else the deadline came before an answer
						checkFailure(t, err, tt.want)
					}
					if limit > DefaultCallTimeout {
						checkFailure(t, err, tt.want)
					}
					if took > min(limit, DefaultCallTimeout) {
						t.Errorf("limit %v: took %v", limit, took)
					}
				}
			})
		})
	}
}

// silence is a connection to nobody: reads wait for the close.
func silence(net.Conn) net.Conn {
	client, server := net.Pipe()
	return &deaf{Conn: newAsyncConn(client), server: server}
}

type deaf struct {
	net.Conn
	server net.Conn
}

func (d *deaf) Close() error {
	_ = d.server.Close()
	return d.Conn.Close()
}

func TestRetriesAreBoundedInNumberAndSpreadWithFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		f.set(func(f *fakeKMS) { f.fail = failing(-1, 500, "InternalFailure") })
		mustFail(t, c, vaultKey("v_1", "key"), Unavailable)
		if n := len(f.asked()); n != MaxAttempts {
			t.Errorf("%d attempts, want %d", n, MaxAttempts)
		}
	})
	for _, cause := range []Cause{Unavailable, Throttled} {
		for n := range MaxAttempts {
			bound := min(backoffBase<<n, backoffCap)
			if cause == Throttled {
				bound = min(throttleBackoffBase<<n, throttleBackoffCap)
			}
			var low, high int
			for range 2000 {
				pause := backoff(cause, n)
				if pause < 0 || pause >= bound {
					t.Fatalf("pause %v after attempt %d", pause, n)
				}
				if pause < bound/4 {
					low++
				}
				if pause > bound*3/4 {
					high++
				}
			}
			if low < 350 || high < 350 { // 500 expected; the odds of less than 350 are below 1e-14
				t.Errorf("pauses of %v after attempt %d are not spread: %d low, %d high", cause, n, low, high)
			}
		}
	}
}

func TestCheck6ClockSkewIsCorrected(t *testing.T) {
	for _, skew := range []time.Duration{-3 * time.Hour, 20 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeKMS(t)
			c, _ := newTestClient(t, f)
			f.set(func(f *fakeKMS) {
				f.fail = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					theirs := time.Now().Add(skew)
					w.Header().Set("Date", theirs.UTC().Format(http.TimeFormat))
					signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
					if err != nil || signed.Sub(theirs).Abs() > 5*time.Minute {
						respond(w, http.StatusBadRequest, "InvalidSignatureException")
						return true
					}
					return false
				}
			})
			mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
			if stats := c.Stats(); stats.Retries != 1 || (stats.ClockOffset-skew).Abs() > 2*time.Second {
				t.Errorf("retries %d, offset %v", stats.Retries, stats.ClockOffset)
			}
			mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
			if n := c.Stats().Retries; n != 1 {
				t.Errorf("the correction was forgotten: %d retries", n)
			}
		})
	}
}

// One answer with a false time takes no enclave out of service: KMS is asked again at the next look, however lately it
// answered, and what it says then counts.
func TestOneFalseTimeOfKMSIsAskedAboutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		f.set(func(f *fakeKMS) {
			f.fail = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
				return false
			}
		})
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		if told := c.Stats().ClockOffset; told.Abs() < time.Hour {
			t.Fatalf("the answer said %v", told)
		}
		if got := c.ClockOffset(); got != 0 {
			t.Errorf("one answer made the offset %v", got)
		}
		if err := c.Reach(t.Context(), testRegion); err != nil {
			t.Fatal(err)
		}
		if told, got := c.Stats().ClockOffset, c.ClockOffset(); told.Abs() > time.Minute || got.Abs() > time.Minute {
			t.Errorf("after it was asked again: %v, %v", told, got)
		}
		f.set(func(f *fakeKMS) { f.pinged = "Mon, 02 Jan 2006 15:04:05 GMT" })
		mustUnwrap(t, c, vaultKey("v_2", "key"), "key")
		if err := c.Reach(t.Context(), testRegion); err != nil {
			t.Fatal(err)
		}
		if got := c.ClockOffset(); got.Abs() < time.Hour {
			t.Errorf("two answers in a row count for nothing: %v", got)
		}
	})
}

func TestCheck6ExpiredCredentialsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		f.set(func(f *fakeKMS) {
			f.fail = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.Header.Get("Authorization"), "AKIDNEW") {
					return false
				}
				respond(w, http.StatusBadRequest, "ExpiredTokenException")
				return true
			}
		})
		failure := mustFail(t, c, vaultKey("v_1", "key"), BadCredentials)
		if !failure.OwnFault() {
			t.Error("would be remembered against the key")
		}
		result := make(chan error, 1)
		go func() {
			got, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			got.Destroy()
			result <- err
		}()
		synctest.Wait() // it waits for another attempt
		if err := c.SetCredentials(testCredentials("AKIDNEW", time.Time{})); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil {
			t.Errorf("with new credentials: %v", err)
		}
	})
}

func TestWithoutCredentialsKMSIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		client, err := New(Config{
			Keys: map[string]string{testRegion: testARN}, ExtraRootsPEM: f.ca, Dial: f.dial,
			Module: &testModule{issuer: f.issuer},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c := newTestIdentity(client)
		if _, ok := c.CredentialsValid(); ok {
			t.Error("valid before any were given")
		}
		failure := mustFail(t, c, vaultKey("v_1", "key"), NoCredentials)
		if !failure.OwnFault() || len(f.asked()) != 0 {
			t.Errorf("own fault %v, %d questions", failure.OwnFault(), len(f.asked()))
		}
		expiry := time.Now().Add(time.Hour)
		if err := c.SetCredentials(testCredentials("AKIDTEST", expiry)); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.CredentialsValid(); !ok || !got.Equal(expiry) {
			t.Errorf("valid %v until %v", ok, got)
		}
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		time.Sleep(time.Hour)
		if _, ok := c.CredentialsValid(); ok {
			t.Error("valid after their end")
		}
		mustFail(t, c, vaultKey("v_1", "key"), NoCredentials)
		if n := len(f.asked()); n != 1 {
			t.Errorf("%d questions, want 1", n)
		}
		if err := c.SetCredentials(testCredentials("AKIDOLD", time.Now())); !errors.Is(err, ErrCredentials) {
			t.Errorf("credentials that are over: %v", err)
		}
	})
}

func TestTheCircuitOpensOnThrottlingAndProbesItsWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		f.set(func(f *fakeKMS) { f.fail = failing(-1, 400, "ThrottlingException") })
		var open *Error
		for range 5 {
			_, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			if errors.As(err, &open) && open.Cause == CircuitOpen {
				break
			}
		}
		if open.Cause != CircuitOpen || open.code != wire.KMSThrottled || open.RetryAfter <= 0 {
			t.Fatalf("after %d questions: %v, code %v, retry after %v", len(f.asked()), open, open.code, open.RetryAfter)
		}
		asked := len(f.asked())
		for range 100 { // refused at once, without a question
			mustFail(t, c, vaultKey("v_1", "key"), CircuitOpen)
		}
		if n := len(f.asked()); n != asked {
			t.Errorf("%d questions through an open circuit", n-asked)
		}
		if s := c.Stats().Regions[0]; s.Circuit != CircuitOpened || s.Opened != 1 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(circuitMaxPause) // half open: a hundred callers, one probe
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() { _, _ = c.Unwrap(t.Context(), vaultKey("v_1", "key")) })
		}
		callers.Wait()
		if n := len(f.asked()) - asked; n != 1 {
			t.Errorf("%d probes at a time", n)
		}
		f.set(func(f *fakeKMS) { f.fail = nil })
		time.Sleep(circuitMaxPause)
		for range circuitProbes {
			mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		}
		if s := c.Stats().Regions[0]; s.Circuit != CircuitClosed || s.Opened != 2 {
			t.Errorf("after the probes: %+v", s)
		}
	})
}

func TestDenialsDoNotOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		wrong := vaultKey("v_1", "key")
		wrong.VaultID = []byte("v_2")
		for range 50 {
			mustFail(t, c, wrong, Denied)
		}
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	})
}

func TestServiceReturnsAtOnceWhenTheParentDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		f.set(func(f *fakeKMS) { f.dialFail = errors.New("no session") })
		for range 50 {
			mustFail(t, c, vaultKey("v_1", "key"), NoEgress)
		}
		f.set(func(f *fakeKMS) { f.dialFail = nil })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
	})
}

func TestConnectionsAreKeptAndTLSSessionsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		resumed := make(chan bool, 3)
		f.fail = func(_ int, _ http.ResponseWriter, r *http.Request) bool { resumed <- r.TLS.DidResume; return false }
		c, _ := newTestClient(t, f)
		for range 2 {
			mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
			synctest.Wait() // the connection is back in the pool
		}
		if f.dials != 1 || <-resumed || <-resumed {
			t.Errorf("%d connections for two calls", f.dials)
		}
		time.Sleep(idleTimeout)
		synctest.Wait() // its timer and ours end in the same instant: the connection is closed
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		if f.dials != 2 || !<-resumed {
			t.Errorf("%d connections; the second did not resume the first's session", f.dials)
		}
	})
}

func TestAttemptsAndQueueAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		release := make(chan struct{})
		c, _ := newTestClient(t, f, func(cfg *Config) { cfg.MaxConcurrent, cfg.MaxQueue = 2, 3 })
		mustUnwrap(t, c, vaultKey("v_1", "key"), "key")
		f.set(func(f *fakeKMS) {
			f.fail = func(int, http.ResponseWriter, *http.Request) bool { <-release; return false }
		})
		results := make(chan error, 10)
		for range 5 {
			go func() {
				got, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
				got.Destroy()
				results <- err
			}()
		}
		synctest.Wait()
		if s := c.Stats(); s.InFlight != 2 || s.Waiting != 3 {
			t.Errorf("%d in flight, %d waiting", s.InFlight, s.Waiting)
		}
		failure := mustFail(t, c, vaultKey("v_1", "key"), Overloaded)
		if !failure.OwnFault() {
			t.Error("would be remembered against the key")
		}
		close(release)
		for range 5 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		f.set(func(f *fakeKMS) {
			f.fail = func(_ int, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		})
		result := make(chan error, 1)
		go func() {
			_, err := c.Unwrap(t.Context(), vaultKey("v_1", "key"))
			result <- err
		}()
		synctest.Wait()
		c.Close()
		var coded *wire.Error
		if err := <-result; !errors.As(err, &coded) || coded.Code != wire.ShuttingDown {
			t.Errorf("got %v", err)
		}
		if _, err := c.Unwrap(t.Context(), vaultKey("v_1", "key")); !errors.As(err, &coded) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestReachTellsWhetherKMSAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		if err := c.Reach(t.Context(), testRegion); err != nil {
			t.Errorf("reachable: %v", err)
		}
		f.set(func(f *fakeKMS) { f.dialFail = errors.New("down") })
		c.transport.CloseIdleConnections()
		if err := c.Reach(t.Context(), testRegion); err != nil {
			t.Errorf("it answered a moment ago: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := c.Reach(t.Context(), testRegion); err == nil {
			t.Error("unreachable, and nobody noticed")
		}
		if err := c.Reach(t.Context(), "eu-west-1"); err == nil {
			t.Error("a region that is not configured")
		}
	})
}

// An answer that says that KMS fails, or that never comes, is not one that it can be reached.
func TestReachIsNotTakenInByAKMSThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
			f.set(func(f *fakeKMS) { f.pingStatus = status })
			failure := new(Error)
			if err := c.Reach(t.Context(), testRegion); !errors.As(err, &failure) || failure.Cause != Unavailable {
				t.Errorf("%d: %v", status, err)
			}
		}
		f.set(func(f *fakeKMS) { f.pingStatus, f.dialFail = 0, errors.New("down") })
		c.transport.CloseIdleConnections()
		failure := new(Error)
		if err := c.Reach(t.Context(), testRegion); !errors.As(err, &failure) || failure.Cause != NoEgress {
			t.Errorf("no connection: %v", err)
		}
	})
}

// What signs requests never sends one to another host, nor in plaintext.
func TestNoRequestLeavesForAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKMS(t)
		c, _ := newTestClient(t, f)
		for _, url := range []string{"https://other.example/ping", "http://" + testHost + "/ping"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := c.regions[testRegion].doer.Do(req)
			if !errors.Is(err, ErrConfig) {
				t.Errorf("%s: %v", url, err)
			}
			if answer != nil {
				_ = answer.Body.Close()
			}
		}
		if f.dials > 0 {
			t.Errorf("%d connections were made", f.dials)
		}
	})
}

// Nothing here can step the clock, but a time without a monotonic reading is one that a step would change: set back, it
// would keep KMS reachable until it catches up.
func TestStepOfTheClockProlongsNoReach(t *testing.T) {
	f := newFakeKMS(t)
	c, _ := newTestClient(t, f)
	if err := c.Reach(t.Context(), testRegion); err != nil {
		t.Fatal(err)
	}
	if at := *c.regions[testRegion].answered.Load(); at.String() == at.Round(0).String() { // String tells of the reading
		t.Error("the last answer is kept by the wall clock alone")
	}
}
