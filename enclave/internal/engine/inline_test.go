package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/workers"
	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// numbers is a list literal of n numbers.
func numbers(n int) string { return "[1" + strings.Repeat(",1", n-1) + "]" }

// slow costs as much as one expression may, and has a value.
var slow = numbers(80) + ".filter(a, " + numbers(80) + ".filter(b, b == 2) != []).size()"

// learntQuick makes every shape one that has been quick so far.
func (w *world) learntQuick() {
	for i := range w.engine.costs {
		w.engine.costs[i].Store(1)
	}
}

// hold occupies all workers until the function that it returns is called.
func (w *world) hold(n int) (release func()) {
	gate := make(chan struct{})
	var held, ended sync.WaitGroup
	held.Add(n)
	for range n {
		ended.Go(func() { w.pool.Do(workers.Single, KindParse, func() { held.Done(); <-gate }) })
	}
	held.Wait()
	return func() { close(gate); ended.Wait() }
}

// TestAShapeLearntAsQuickMaySlowDownNoReader: a shape has been quick with one value and is slow with the next, here
// because a field is damaged. The reader gives it up for a worker: while all workers are held it has no answer, and
// requests after it on the same lane have theirs. It is counted once.
func TestAShapeLearntAsQuickMaySlowDownNoReader(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, map[string]string{"email": "bob@example.org", "name": "Bob"})
	plain := v.request(sealed.EncodingRecord, blobs, "name")
	shape := func() *wire.DecryptRequest {
		q := v.request(sealed.EncodingRecord, blobs, "email", "name")
		q.AddExpression([]byte("x"), []byte("email == null ? "+slow+" : 0"))
		return q
	}
	for range 2 { // the keys, the contexts, the plan
		m, code := w.do(shape())
		want(t, shape(), m, code, "@x=0")
		w.learntQuick()
	}
	damaged := append([]byte(nil), blobs["email"]...)
	damaged[len(damaged)-1] ^= 1
	blobs = map[string][]byte{"email": damaged, "name": blobs["name"]}
	poison := shape()

	before := w.engine.Stats().Get(wire.StatExpressionsEvaluated)
	release := w.hold(w.pool.Workers())
	answered := make(chan struct{})
	var answer *wire.DecryptResponse
	var code wire.Code
	go func() {
		defer close(answered)
		answer, code = w.do(poison)
	}()
	for w.pool.Queued() == 0 {
		select {
		case <-answered:
			release()
			t.Fatal("the reader evaluated it")
		case <-time.After(time.Millisecond):
		}
	}
	for range 20 {
		m, c := w.do(plain)
		want(t, plain, m, c, "name=Bob")
	}
	if n := w.engine.Stats().Get(wire.StatExpressionsEvaluated); n != before {
		t.Errorf("%d expressions counted before there was an answer", n-before)
	}
	release()
	<-answered
	want(t, poison, answer, code, "email!decrypt_failed", "@x=0")
	if n := w.engine.Stats().Get(wire.StatExpressionsEvaluated); n != before+1 {
		t.Errorf("%d expressions counted, want one", n-before)
	}
	if w.engine.costs.quick(w.planOf(t, poison)) {
		t.Error("the shape still counts as quick")
	}
}

// planOf returns the cached plan of a request.
func (w *world) planOf(t *testing.T, q *wire.DecryptRequest) *expr.Plan {
	t.Helper()
	j := &job{e: w.engine}
	if err := j.req.Decode(q.Append(nil)); err != nil {
		t.Fatal(err)
	}
	j.parseNames()
	j.variables()
	plan, ok := w.engine.cfg.Expressions.Cached(j.vars, j.exprs)
	if !ok {
		t.Fatal("no plan")
	}
	return plan
}

// TestALongHotFieldIsOpenedByAWorker: what a reader opens is bounded by its length.
func TestALongHotFieldIsOpenedByAWorker(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, map[string]string{"note": strings.Repeat("x", 2*inlineBytes), "name": "Bob"})
	long, short := v.request(sealed.EncodingRecord, blobs, "note"), v.request(sealed.EncodingRecord, blobs, "name")
	if _, code := w.do(long); code != wire.OK {
		t.Fatal(code)
	}
	release := w.hold(w.pool.Workers())
	answered := make(chan wire.Code, 1)
	go func() { _, code := w.do(long); answered <- code }()
	for w.pool.Queued() == 0 {
		select {
		case <-answered:
			release()
			t.Fatal("the reader opened it")
		case <-time.After(time.Millisecond):
		}
	}
	m, code := w.do(short)
	want(t, short, m, code, "name=Bob")
	release()
	if code := <-answered; code != wire.OK {
		t.Error(code)
	}
}

// chain is a request of 40 KB whose expressions join lists, each to that of the one before it, and then go through the
// longest in each way that there is.
func (v *vault) chain(blobs map[string][]byte) *wire.DecryptRequest {
	q := v.request(sealed.EncodingRecord, blobs, "name")
	for i := range 50 {
		from := "[0]"
		if i > 0 {
			from = fmt.Sprintf("x%d", i-1)
		}
		q.AddExpression(fmt.Appendf(nil, "x%d", i), []byte(from+strings.Repeat("+[0]", 190)))
	}
	for i, use := range []string{"x49 == x49", "x49.all(a, a == 0)", "1 in x49", "x49", "x49.map(a, a)", "max([x49, x49])"} {
		q.AddExpression(fmt.Appendf(nil, "y%d", i), []byte(use))
	}
	return q
}

// TestAStrangersColdFieldIsAnsweredBesideDearExpressions: two callers send the dearest requests known, one as singles
// and one as a batch, without a pause. A third one's cold fields are answered in between.
func TestAStrangersColdFieldIsAnsweredBesideDearExpressions(t *testing.T) {
	w := newWorld(t, options{})
	other, server := w.connect(w.handler, session.ClientConfig{})
	t.Cleanup(func() { _ = other.Close(); _ = server.Close() })
	bad := w.vault("v_bad", sealed.P256, true)
	blobs := w.seal(bad, sealed.EncodingRecord, map[string]string{"name": "Bob"})
	stop := make(chan struct{})
	var attack sync.WaitGroup
	for _, batch := range []bool{false, true} {
		for range 1 + 19*btoi(batch) {
			attack.Go(func() {
				for done := false; !done; {
					_, code := w.do(bad.chain(blobs), func(c *session.Call) { c.Batch = batch })
					select {
					case <-stop:
						done = true
					default:
						done = code != wire.OK && code != wire.Overloaded
					}
				}
			})
		}
	}
	time.Sleep(50 * time.Millisecond) // they are at it
	worst := time.Duration(0)
	for i := range 10 {
		v := w.vault(fmt.Sprintf("v_%d", i), sealed.P384, true)
		q := v.request(sealed.EncodingField, w.seal(v, sealed.EncodingField, map[string]string{"name": "Ann"}), "name")
		start := time.Now()
		m, code := do(t, other, q)
		took := time.Since(start)
		want(t, q, m, code, "name=Ann")
		worst = max(worst, took)
	}
	close(stop)
	attack.Wait()
	t.Logf("a stranger's cold field took up to %v", worst)
	if worst > 2*time.Second {
		t.Errorf("a stranger's cold field took up to %v", worst)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// gatedMAC waits until others have been served.
type gatedMAC struct {
	t    *testing.T
	open chan struct{}
}

func (g gatedMAC) HMACSHA256(dst, _ []byte) ([]byte, error) {
	select {
	case <-g.open:
	case <-time.After(10 * time.Second):
		g.t.Error("the cold field waited for the other request's expressions")
	}
	return append(dst, make([]byte, 32)...), nil
}

// TestDearWorkOnExpressionsLetsOthersGoFirst: two requests wait for the only worker, the first with much to compile or
// to evaluate. The second one's cold field is opened before the first is through, and the first is answered rightly.
func TestDearWorkOnExpressionsLetsOthersGoFirst(t *testing.T) {
	for name, source := range map[string]string{"compile": strings.Repeat(" ", compileAtOnce) + slow, "evaluate": slow} {
		t.Run(name, func(t *testing.T) {
			open := make(chan struct{})
			w := newWorld(t, options{
				workers: workers.Config{Workers: 1}, expr: expr.Config{MAC: gatedMAC{t, open}},
			})
			dear, cold := w.twoCold()
			for i := range 2 {
				dear.AddExpression(fmt.Appendf(nil, "x%d", i), []byte(source))
			}
			dear.AddExpression([]byte("y"), []byte("name.hmac_sha256().size()"))
			release := w.hold(1)
			var done sync.WaitGroup
			done.Go(func() {
				m, code := w.do(dear)
				want(t, dear, m, code, "@x0=0", "@x1=0", "@y=64")
			})
			w.queued(1)
			done.Go(func() {
				defer close(open)
				m, code := w.do(cold)
				want(t, cold, m, code, "name=Bob")
			})
			w.queued(2)
			release()
			done.Wait()
			if n := w.engine.Stats().Get(wire.StatExpressionsEvaluated); n != 3 {
				t.Errorf("%d expressions counted, want 3", n)
			}
		})
	}
}

// twoCold returns requests for a field of two vaults whose keys are cached.
func (w *world) twoCold() (q, r *wire.DecryptRequest) {
	var both [2]*wire.DecryptRequest
	for i := range both {
		v := w.vault(fmt.Sprintf("v_%d", i), sealed.P256, true)
		blobs := w.seal(v, sealed.EncodingField, map[string]string{"name": "Bob", "other": "Ann"})
		if _, code := w.do(v.request(sealed.EncodingField, blobs, "other")); code != wire.OK {
			w.tb.Fatal(code)
		}
		both[i] = v.request(sealed.EncodingField, blobs, "name")
	}
	return both[0], both[1]
}

// queued waits until n jobs are.
func (w *world) queued(n int) {
	for w.pool.Queued() < n {
		time.Sleep(time.Millisecond)
	}
}
