package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// sentinel is in every plaintext that these tests seal, and must be in no log, metric or error.
const sentinel = "S3NT1NEL"

var ctx = context.Background()

// rig is a running stack and a client.
type rig struct {
	*testkit.Stack
	log    *proctest.Buffer
	client *http.Client
	kms    *awskms.Client
	state  string
}

func start(edit ...func(*testkit.Options)) (*rig, error) {
	state, err := os.MkdirTemp("", "rds")
	if err != nil {
		return nil, err
	}
	r := &rig{
		log: &proctest.Buffer{}, state: state,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second},
	}
	opts := testkit.Options{Bin: bin, State: state, FreePorts: true, Log: r.log}
	for _, e := range edit {
		e(&opts)
	}
	if r.Stack, err = testkit.Start(ctx, opts); err != nil {
		return nil, errors.Join(err, os.RemoveAll(state))
	}
	r.kms = testkit.KMSClient(r.Addresses.KMS)
	return r, nil
}

// close stops the stack and says what was wrong with it: a value in a log or metric, a data race, a panic, a process
// that had to be killed.
func (r *rig) close() error {
	metrics, _ := r.get("http://" + r.Addresses.ParentMetrics + "/metrics")
	r.client.CloseIdleConnections()
	begin := time.Now()
	r.Stop()
	took := time.Since(begin)
	log := r.log.String()
	err := os.RemoveAll(r.state)
	for what, text := range map[string]string{"log": log, "metrics": string(metrics)} {
		for _, never := range []string{
			sentinel, kms.DefaultSecret, "WARNING: DATA RACE", "panic:", "goroutine 1 [",
		} {
			if i := strings.Index(text, never); i >= 0 {
				err = errors.Join(err, fmt.Errorf("%q in the %s: …%s…", never, what, text[max(0, i-200):min(len(text), i+300)]))
			}
		}
	}
	if took > 9*time.Second {
		err = errors.Join(err, fmt.Errorf("stopping took %v", took))
	}
	return err
}

// own is a stack of the test's own.
func own(t *testing.T, edit ...func(*testkit.Options)) *rig {
	t.Helper()
	r, err := start(edit...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// sharedRig is the stack of the tests that harm nobody; it is started by the first of them.
type sharedRig struct {
	once sync.Once
	rig  *rig
	err  error
}

var shared sharedRig

func (s *sharedRig) get(t *testing.T) *rig {
	t.Helper()
	s.once.Do(func() { s.rig, s.err = start() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.rig
}

func (s *sharedRig) close() error {
	if s.rig == nil {
		return nil
	}
	return s.rig.close()
}

// alive demands that the processes are those that were started.
func (r *rig) alive(t *testing.T) {
	t.Helper()
	for _, name := range []string{testkit.KMS, testkit.Enclave, testkit.API, testkit.Parent} {
		select {
		case <-r.Process(name).Done():
			t.Fatalf("%s died: %v\n%s", name, r.Process(name).Err(), strings.Join(r.Process(name).Tail(), "\n"))
		default:
		}
	}
}

func (r *rig) get(url string) ([]byte, error) {
	resp, err := r.client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (r *rig) metrics(t *testing.T) string {
	t.Helper()
	text, err := r.get("http://" + r.Addresses.ParentMetrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// admin makes a request to the stand-in's admin routes.
func (r *rig) admin(t *testing.T, method, path, body string) []byte {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+r.Addresses.KMS+kms.AdminPath+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d, %v: %s", method, path, resp.StatusCode, err, out)
	}
	return out
}
