//go:build screens

package screenshots

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
)

// sentinel is in every plaintext that is sealed here, and must be on no page.
const sentinel = "S3NT1NEL"

// bin is the folder of the programs, as test-screens.sh builds them.
func bin(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SCREENS_BIN")
	if dir == "" {
		t.Fatal("SCREENS_BIN names no folder of programs: run make test-screens")
	}
	return dir
}

// rig is a local stack with records to ask for.
type rig struct {
	*testkit.Stack
	client *http.Client
	hot    [][]byte // bodies of records that are asked for again and again
	opened atomic.Int64
}

func start(t *testing.T) *rig {
	t.Helper()
	for _, entry := range os.Environ() { // what the machine says of AWS is not for the stack
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) })
		}
	}
	state, err := os.MkdirTemp("/run", "redoubt-") // the picture shows the socket's path
	if err != nil {
		state, err = os.MkdirTemp("", "redoubt-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	s, err := testkit.Start(t.Context(), testkit.Options{Bin: bin(t), State: state, FreePorts: true, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	r := &rig{Stack: s, client: &http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16},
	}}
	t.Cleanup(r.client.CloseIdleConnections)
	for i := range 40 {
		r.hot = append(r.hot, r.seal(t, fmt.Sprintf("hot%d", i)))
	}
	return r
}

// seal makes a record of three fields and returns the body that asks for them and for two expressions.
func (r *rig) seal(t *testing.T, name string) []byte {
	t.Helper()
	rec, err := testkit.Seal(t.Context(), testkit.KMSClient(r.Addresses.KMS), testkit.RecordOptions{
		VaultID: "v_" + name, Suite: sealed.P256, Context: true,
		Fields: map[string]string{"first_name": sentinel + name, "ssn9": "078051120", "dob": "1990-12-10"},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := rec.Request(map[string]string{"age": "date(dob).age()", "card": "ssn9.mask(4)"})
	request.Include = []string{"first_name"}
	body, err := request.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// ask makes one request and reports what is not as it must be.
func (r *rig) ask(ctx context.Context, t *testing.T, route string, body []byte, want int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.Addresses.Parent+route, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	if resp.StatusCode != want || want == 200 && err == nil && !bytes.Contains(answer, []byte(sentinel)) {
		t.Errorf("%s: status %d, not %d with the value", route, resp.StatusCode, want)
	}
	r.opened.Add(1)
}

// load asks at a bounded rate, hot records for the most part, until it is told to stop.
func (r *rig) load(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	every := func(pause time.Duration, do func(i int)) {
		wg.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					do(i)
				}
			}
		})
	}
	for caller := range 4 {
		every(10*time.Millisecond, func(i int) {
			r.ask(ctx, t, "/v1/decrypt", r.hot[(i*i+7*caller)%len(r.hot)], http.StatusOK)
		})
	}
	every(20*time.Millisecond, func(i int) { r.ask(ctx, t, "/decrypt", r.hot[i%len(r.hot)], http.StatusOK) })
	every(250*time.Millisecond, func(i int) {
		items := make([]json.RawMessage, 0, 10)
		for k := range 10 {
			items = append(items, r.hot[(i+k)%len(r.hot)])
		}
		body, err := json.Marshal(map[string]any{"items": items})
		if err != nil {
			t.Error(err)
		}
		r.ask(ctx, t, "/v1/decrypt/batch", body, http.StatusOK)
	})
	every(200*time.Millisecond, func(i int) { // a record never asked for: KMS and a whole ECDH
		if ctx.Err() == nil {
			r.ask(ctx, t, "/v1/decrypt", r.seal(t, fmt.Sprintf("cold%d", i)), http.StatusOK)
		}
	})
	every(time.Second, func(int) { r.ask(ctx, t, "/v1/decrypt", []byte("{}"), http.StatusUnprocessableEntity) })
	return sync.OnceFunc(func() { cancel(); wg.Wait() })
}

// metric is the sum of a metric's samples with a label, as the parent exposes them now.
func (r *rig) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	resp, err := r.client.Get("http://" + r.Addresses.ParentMetrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(sentinel)) {
		t.Error("a plaintext in the metrics")
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		var value float64
		sample, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(sample, name) || !strings.Contains(sample, label) {
			continue
		}
		if _, err := fmt.Sscan(number, &value); err != nil {
			t.Fatal(err)
		}
		sum, found = sum+value, true
	}
	if !found {
		t.Fatalf("no metric %s %s", name, label)
	}
	return sum
}
