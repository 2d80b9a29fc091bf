//go:build dev

package enclaved

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/session"
)

// TestASignalEndsTheProcessInOrder sends SIGTERM under load: what was accepted is answered, the process ends by itself
// with status 0, and says so to its parent first.
func TestASignalEndsTheProcessInOrder(t *testing.T) {
	r := newRig(t, "")
	_, fields, qs := r.sealedPair()
	var answered, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				err := ask(r.client, qs[i%2], fields)
				var lost *session.CallError
				switch {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, &wire.Error{Code: wire.ShuttingDown}):
					refused.Add(1)
					return
				case errors.As(err, &lost) && !lost.Sent:
					return // nothing was accepted
				default:
					t.Errorf("an accepted request: %v", err)
					return
				}
			}
		})
	}
	for end := time.Now().Add(20 * time.Second); answered.Load() < 100 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !r.client.Draining() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if !r.client.Draining() {
		t.Error("the parent was not told")
	}
	if err := r.client.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	exited := make(chan error, 1)
	go func() { exited <- r.cmd.Wait() }()
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("the process: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the process did not end")
	}
	t.Logf("%d answered, %d refused while draining", answered.Load(), refused.Load())
}

// TestAKilledEnclaveComesBackEmptyAndServes kills the process under load: callers get errors at once, none hangs, and
// the next process, which knows nothing, serves as soon as a parent connects.
func TestAKilledEnclaveComesBackEmptyAndServes(t *testing.T) {
	r := newRig(t, "")
	_, fields, qs := r.sealedPair()
	if err := ask(r.client, qs[0], fields); err != nil {
		t.Fatal(err)
	}
	client, failed := r.client, make(chan error, 8)
	for i := range 8 {
		go func() {
			for {
				if err := ask(client, qs[i%2], fields); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	for range 8 {
		select {
		case err := <-failed:
			var lost *session.CallError
			if !errors.As(err, &lost) {
				t.Errorf("a caller got %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("a caller hangs")
		}
	}
	begun := time.Now()
	r.start()
	if err := ask(r.client, qs[0], fields); err != nil {
		t.Error(err)
	}
	t.Logf("serving again after %v", time.Since(begun))
}

// TestNothingOfARequestIsInWhatTheEnclaveSays sends values that can be recognised through each kind of failure, and looks
// for them in the console, the log that goes to the parent, and the statistics' names.
func TestNothingOfARequestIsInWhatTheEnclaveSays(t *testing.T) {
	r := newRig(t, "work: {queue_target: 1ms}\n")
	p, fields, qs := r.sealedPair()
	const s = "s3nt1nel"
	bad := func(change func(*wire.DecryptRequest)) *wire.DecryptRequest {
		q := p.request(t, 3, fields)
		change(q)
		return q
	}
	requests := append(qs,
		bad(func(q *wire.DecryptRequest) { q.VaultID = []byte(s) }),
		bad(func(q *wire.DecryptRequest) { q.Region = []byte(s) }),
		bad(func(q *wire.DecryptRequest) { q.WrappedKey = []byte(s) }),
		bad(func(q *wire.DecryptRequest) { q.Fields[0].Name = []byte(s) }),
		bad(func(q *wire.DecryptRequest) { q.Fields[0].Name = []byte(s + "ü") }),
		bad(func(q *wire.DecryptRequest) { q.Fields[0].Blob, q.Fields[1].Blob = []byte(s), []byte(s) }),
		bad(func(q *wire.DecryptRequest) { q.ReplySuite, q.ReplyKey = 2, []byte(s) }),
		bad(func(q *wire.DecryptRequest) { q.AddExpression([]byte(s), []byte("'"+s+"' + 1 + "+s)) }),
		bad(func(q *wire.DecryptRequest) { q.AddExpression([]byte(s), []byte("base64_decode(a)")) }),
		bad(func(q *wire.DecryptRequest) { q.AddExpression([]byte(s), []byte("a.nosuch('"+s+"')")) }),
	)
	for range 3 {
		for _, q := range requests {
			_ = ask(r.client, q, fields) // most fail; each is answered
		}
	}
	if _, err := r.client.Attest(t.Context(), []byte(s+s), nil); err != nil {
		t.Fatal(err)
	}
	_ = r.client.SetCredentials(t.Context(), &wire.Credentials{AccessKeyID: []byte(s), Secret: []byte(s), Token: []byte(s)})
	_ = ask(r.client, p.request(t, 2, fields), fields)
	if err := r.cmd.Process.Signal(syscall.SIGQUIT); err != nil { // the runtime writes every goroutine's stack
		t.Fatal(err)
	}
	_ = r.cmd.Wait()
	out := r.out.String()
	if !strings.Contains(out, "goroutine ") || !strings.Contains(out, "serving") {
		t.Fatalf("the output is not that of an enclave that was quit: %.200q", out)
	}
	for _, secret := range []string{s, string(fields["a"]), string(fields["b"]), r.secret} {
		if strings.Contains(out, secret) {
			t.Errorf("%q is in the output", secret)
		}
	}
}
