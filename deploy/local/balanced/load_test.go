//go:build operate

package balanced

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
)

// sealed is a record with the request that opens it.
type sealed struct {
	body []byte
	want map[string]string
}

func (s *site) seal(t *testing.T, tag string) *sealed {
	t.Helper()
	rec, err := testkit.Seal(t.Context(), testkit.KMSClient(s.Addresses.KMS), testkit.RecordOptions{
		VaultID: "v_" + tag, Key: kms.AliasSymmetric, Context: true,
		Fields: map[string]string{"first_name": sentinel + " Ada " + tag, "ssn": sentinel + tag + "078051120"},
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := rec.Request(nil).JSON()
	if err != nil {
		t.Fatal(err)
	}
	return &sealed{body: body, want: rec.Fields}
}

// opened is nil when the answer is the record, whole.
func (s *sealed) opened(resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("cut off: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, body)
	}
	var answer struct {
		Fields map[string]string
		Errors map[string]any
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Errors) > 0 || len(answer.Fields) != len(s.want) {
		return errors.New("another answer")
	}
	for name, value := range s.want {
		if answer.Fields[name] != value {
			return errors.New("another's value")
		}
	}
	return nil
}

// post asks once. The request cannot be sent again: net/http has no way to read its body a second time.
func (s *sealed) post(ctx context.Context, c *http.Client, base string) (last bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/decrypt", io.NopCloser(bytes.NewReader(s.body)))
	if err != nil {
		return false, err
	}
	req.ContentLength = int64(len(s.body))
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.Close, s.opened(resp)
}

// caller makes a client that keeps its connections, or one with a connection for each request.
func caller(config *tls.Config, keep bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: !keep, MaxIdleConnsPerHost: 8},
		Timeout:   10 * time.Second,
	}
}

// Rate and callers of the load: each caller keeps a connection, and uses it several times a second. Every tenth
// request has a connection of its own.
const (
	loadRate    = 150 // requests a second
	loadCallers = 24
	freshEvery  = 10
)

// load is an open loop: requests start when they are due, however long the ones before take, and times count from
// when a request was due.
type load struct {
	t       *testing.T
	base    string
	callers []*http.Client
	fresh   *http.Client
	records []*sealed
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	begun  time.Time
	failed []string
	took   []time.Duration
	kept   int // requests on a connection that had served one before
	closed int // answers that asked the caller to open another connection
}

func startLoad(t *testing.T, base string, config *tls.Config, records []*sealed) *load {
	t.Helper()
	l := &load{t: t, base: base, fresh: caller(config, false), records: records, begun: time.Now()}
	for range loadCallers {
		l.callers = append(l.callers, caller(config, true))
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.wg.Go(func() { l.offer(ctx) })
	t.Cleanup(func() {
		cancel()
		l.wg.Wait()
	})
	return l
}

func (l *load) offer(ctx context.Context) {
	for i := 0; ; i++ {
		due := l.begun.Add(time.Duration(i) * time.Second / loadRate)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		l.wg.Go(func() { l.one(i, due) })
	}
}

func (l *load) one(i int, due time.Time) {
	c := l.callers[i%len(l.callers)]
	if i%freshEvery == 0 {
		c = l.fresh
	}
	reused := false
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	last, err := l.records[i%len(l.records)].post(ctx, c, l.base)
	took := time.Since(due)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	if reused {
		l.kept++
	}
	if last && c != l.fresh {
		l.closed++
	}
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("%v after %v (reused %t): %v", due.Sub(l.begun), took, reused, err))
	}
}

// answered is how many requests have ended.
func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// more waits for n further requests to end.
func (l *load) more(n int) {
	l.t.Helper()
	n += l.answered()
	eventually(l.t, "load goes on", 20*time.Second, func() bool { return l.answered() >= n })
}

// judge ends the load, prints what it saw, and demands that no request failed.
func (l *load) judge() {
	l.t.Helper()
	l.cancel()
	l.wg.Wait()
	for _, c := range append(l.callers, l.fresh) {
		c.CloseIdleConnections()
	}
	slices.Sort(l.took)
	at := func(q float64) time.Duration {
		return l.took[int(q*float64(len(l.took)-1))].Round(10 * time.Microsecond)
	}
	l.t.Logf("%d requests in %v, %d failed; %d on kept connections, %d connections handed over; "+
		"p50 %v, p99 %v, slowest %v", len(l.took), time.Since(l.begun).Round(time.Millisecond), len(l.failed), l.kept,
		l.closed, at(.5), at(.99), at(1))
	if len(l.failed) > 0 {
		l.t.Errorf("%d requests failed:\n  %s", len(l.failed), strings.Join(l.failed[:min(10, len(l.failed))], "\n  "))
	}
	if l.kept == 0 || len(l.took) < loadRate {
		l.t.Error("hardly any load")
	}
}
