package credentials

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/secret"
)

func TestMain(m *testing.M) {
	secret.SetPolicy(secret.WarnUnlocked)
	os.Exit(m.Run())
}

// fake is a source that the test controls.
type fake struct {
	mu     sync.Mutex
	id     string
	ends   time.Time
	err    error
	slow   time.Duration
	calls  int
	buffer []byte // the last secret handed out
}

func (f *fake) set(id string, ends time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.id, f.ends, f.err = id, ends, err
}

func (f *fake) count() int { f.mu.Lock(); defer f.mu.Unlock(); return f.calls }

func (f *fake) Fetch(ctx context.Context, m *wire.Credentials) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.slow > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(f.slow):
		}
	}
	if f.err != nil {
		return f.err
	}
	f.buffer = []byte("secret of " + f.id)
	m.AccessKeyID, m.Secret, m.Token = []byte(f.id), f.buffer, []byte("token")
	if !f.ends.IsZero() {
		m.ExpiresMS = f.ends.UnixMilli()
	}
	return nil
}

func (*fake) Again() time.Duration { return time.Minute }

type fetches struct{ ok, failed atomic.Int64 }

func (f *fetches) CredentialsFetched(ok bool) {
	if ok {
		f.ok.Add(1)
	} else {
		f.failed.Add(1)
	}
}

func current(s *Store) (id string) {
	_ = s.With(func(m *wire.Credentials) error {
		id = string(m.AccessKeyID)
		return nil
	})
	return id
}

// run starts a store in a synctest bubble.
func run(t *testing.T, f *fake) (*Store, *fetches, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	n := &fetches{}
	s := NewStore(f, n, slog.New(slog.NewJSONHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return s, n, log
}

func TestCredentialsAreRefreshedAheadOfTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.set("one", time.Now().Add(6*time.Hour), nil)
		s, _, _ := run(t, f)
		if current(s) != "one" || !s.Valid() {
			t.Fatal("not fetched at once")
		}
		changed := s.Changed()
		// As IMDS does: the next ones are there five minutes ahead of the end.
		time.Sleep(6*time.Hour - 5*time.Minute)
		synctest.Wait()
		select {
		case <-changed:
			t.Fatal("told of a change that was none")
		default:
		}
		f.set("two", time.Now().Add(6*time.Hour), nil)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		select {
		case <-changed:
		default:
			t.Fatal("the next ones were not noticed in time")
		}
		if current(s) != "two" {
			t.Errorf("have %q", current(s))
		}
	})
}

func TestADayOfRotationNeverLeavesAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		end := time.Now().Add(time.Hour)
		f.set("0", end, nil)
		s, n, _ := run(t, f)
		for i := range 24 * 60 {
			time.Sleep(time.Minute)
			if time.Until(end) <= 5*time.Minute {
				end = time.Now().Add(time.Hour)
				f.set(string(rune('a'+i%26)), end, nil)
			}
			if !s.Valid() {
				t.Fatalf("a gap after %d minutes", i)
			}
		}
		if c := f.count(); c > 24*60 {
			t.Errorf("%d fetches in a day", c)
		}
		if n.failed.Load() != 0 {
			t.Errorf("%d failures", n.failed.Load())
		}
	})
}

// pushed are the credentials as an enclave would get them: which, and what remains of their time.
func pushed(s *Store) (id string, left time.Duration) {
	_ = s.With(func(m *wire.Credentials) error {
		id, left = string(m.AccessKeyID), time.Until(time.UnixMilli(m.ExpiresMS))
		return nil
	})
	return id, left
}

func TestLastCredentialsServeThroughAnOutageAlsoPastTheirEnd(t *testing.T) {
	for name, outage := range map[string]func(f *fake, ends time.Time){
		"no answer":            func(f *fake, _ time.Time) { f.set("", time.Time{}, ErrUnavailable) },
		"the same, also ended": func(*fake, time.Time) {},
		"others that ended":    func(f *fake, ends time.Time) { f.set("older", ends.Add(-time.Hour), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				ends := time.Now().Add(time.Hour)
				f.set("one", ends, nil)
				s, n, log := run(t, f)
				outage(f, ends)
				for range 6 * 60 * 60 { // six hours, second by second
					time.Sleep(time.Second)
					if id, left := pushed(s); id != "one" || left <= 0 || !s.Valid() {
						t.Fatalf("%v before the end: have %q for %v", time.Until(ends), id, left)
					}
				}
				if left, ok := s.Life(); !ok || left > -4*time.Hour {
					t.Errorf("life %v %v after the end", left, ok)
				}
				if n.failed.Load() < 100 {
					t.Errorf("%d failures", n.failed.Load())
				}
				if c := strings.Count(log.String(), "are used past their end"); c != 1 {
					t.Errorf("that they are used on is logged %d times", c)
				}
				if c := strings.Count(log.String(), "cannot fetch"); c != 1 {
					t.Errorf("the outage is logged %d times", c)
				}
				changed := s.Changed()
				f.set("two", time.Now().Add(time.Hour), nil)
				time.Sleep(lastRetry + time.Second)
				synctest.Wait()
				if id, left := pushed(s); id != "two" || left < 59*time.Minute {
					t.Errorf("not recovered: %q for %v", id, left)
				}
				select {
				case <-changed:
				default:
					t.Error("not told")
				}
			})
		})
	}
}

// A parent that starts in an outage gets credentials that have ended, and KMS may take them.
func TestEndedCredentialsAreBetterThanNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.set("ended", time.Now().Add(-time.Hour), nil)
		s, n, log := run(t, f)
		if id, left := pushed(s); id != "ended" || left <= 0 || !s.Valid() {
			t.Fatalf("have %q for %v", id, left)
		}
		if n.failed.Load() == 0 || !strings.Contains(log.String(), ErrEnded.Error()) || strings.Contains(log.String(), "malformed") {
			t.Errorf("%d failures, log %s", n.failed.Load(), log)
		}
		f.set("ended later", time.Now().Add(-time.Minute), nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		if current(s) != "ended later" {
			t.Errorf("have %q", current(s))
		}
	})
}

// Pushes follow changes: an end that is put off is one now and then, not at every fetch.
func TestAnEndThatIsPutOffIsToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.set("one", time.Now().Add(time.Minute), nil)
		s, _, _ := run(t, f)
		pushes := 0
		for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); {
			select {
			case <-s.Changed():
				pushes++
			case <-time.After(time.Minute):
			}
		}
		if pushes < 8 || pushes > 24 {
			t.Errorf("%d pushes in two hours", pushes)
		}
	})
}

func TestRetriesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.set("", time.Time{}, ErrNone)
		s, _, _ := run(t, f)
		time.Sleep(10 * time.Second)
		soon := f.count()
		time.Sleep(time.Hour)
		if perMinute := float64(f.count()-soon) / 60; soon < 4 || perMinute < 3 || perMinute > 6.1 {
			t.Errorf("%d attempts in 10 s, then %.1f a minute", soon, perMinute)
		}
		if s.Valid() {
			t.Error("valid without credentials")
		}
	})
}

func TestSlowSourceIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{slow: time.Hour}
		_, n, _ := run(t, f)
		time.Sleep(fetchTimeout + time.Second)
		synctest.Wait()
		if n.failed.Load() != 1 {
			t.Errorf("%d failures", n.failed.Load())
		}
	})
}

func TestMalformedAndEndedCredentialsAreNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.set("good", time.Time{}, nil)
		s, _, _ := run(t, f)
		f.set("", time.Time{}, nil) // no key id
		time.Sleep(2 * time.Minute)
		f.set("old", time.Now().Add(-time.Minute), nil)
		time.Sleep(2 * time.Minute)
		if current(s) != "good" {
			t.Errorf("have %q", current(s))
		}
	})
}

func TestSecretsAreWipedAndNeverLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.set("S3NTINEL", time.Now().Add(time.Hour), nil)
		s, _, log := run(t, f)
		if bytes.Contains(f.buffer, []byte("secret")) {
			t.Error("the source's memory was not wiped")
		}
		var seen *wire.Credentials
		_ = s.With(func(m *wire.Credentials) error {
			if string(m.Secret) != "secret of S3NTINEL" || string(m.Token) != "token" {
				t.Errorf("%q", m.Secret)
			}
			seen = &wire.Credentials{Secret: m.Secret}
			return nil
		})
		if bytes.Contains(seen.Secret, []byte("S3NTINEL")) {
			t.Error("the copy for the enclave was not wiped")
		}
		if err := s.With(func(*wire.Credentials) error { return io.EOF }); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if strings.Contains(log.String(), "S3NTINEL") {
			t.Errorf("log: %s", log)
		}
		s.forget()
		if s.Valid() || current(s) != "" {
			t.Error("not forgotten")
		}
	})
	if u := secret.Stats(); u.Mapped != 0 {
		t.Errorf("%d bytes of secret memory remain", u.Mapped)
	}
}

func TestFileSource(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.json")
	for text, want := range map[string]error{
		`{"AccessKeyId":"local","SecretAccessKey":"local-secret"}`:                                                     nil,
		`{"AccessKeyId":"local","SecretAccessKey":"local-secret","SessionToken":"t"}`:                                  nil,
		`{"Version":1,"AccessKeyId":"l","SecretAccessKey":"s","SessionToken":"t","Expiration":"2099-01-02T03:04:05Z"}`: nil,
		`{"AccessKeyId":"local"}`:               ErrMalformed,
		`{}`:                                    ErrMalformed,
		`[]`:                                    ErrMalformed,
		`nonsense S3NTINEL`:                     ErrMalformed,
		`{"AccessKeyId":1,"SecretAccessKey":2}`: ErrMalformed,
		`{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"tomorrow"}`:                      ErrMalformed,
		`{"Code":"Failed","AccessKeyId":"a","SecretAccessKey":"b"}`:                              ErrUnavailable,
		`{"AccessKeyId":"a","SecretAccessKey":"b","x":"` + strings.Repeat("x", maxAnswer) + `"}`: ErrMalformed,
		``: ErrUnavailable,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var m wire.Credentials
		err := File(name).Fetch(context.Background(), &m)
		if !errors.Is(err, want) {
			t.Errorf("%.60s: %v, want %v", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "S3NTINEL") {
			t.Errorf("the error quotes the file: %v", err)
		}
	}
	var m wire.Credentials
	if err := File(name+".none").Fetch(context.Background(), &m); !errors.Is(err, ErrNone) {
		t.Errorf("no file: %v", err)
	}
}

func TestEnvSource(t *testing.T) {
	for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(v, "")
	}
	var m wire.Credentials
	if err := (Env{}).Fetch(context.Background(), &m); !errors.Is(err, ErrNone) {
		t.Errorf("%v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	if err := (Env{}).Fetch(context.Background(), &m); err != nil || string(m.AccessKeyID) != "a" || string(m.Secret) != "b" {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"Code":"Success","AccessKeyId":"a","SecretAccessKey":"b","Token":"t","Expiration":"2099-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.Credentials
		if err := read(bytes.NewReader(b), &m); err == nil && (len(m.AccessKeyID) == 0 || len(m.Secret) == 0) {
			t.Fatal("took nothing for credentials")
		}
	})
}
