//go:build attack

package attack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// share of one CPU that an attack may use: of this process's CPU time, beyond what honest callers took of it before.
	share = 0.25
	// quietTime is how long honest callers are measured before an attack.
	quietTime = 600 * time.Millisecond
	attackers = 12
)

// attack is a hostile peer.
type attack struct {
	name string
	// round plays one round. What it returns as an error fails the attack: wrong behaviour that only the round sees.
	round func(ctx context.Context, a *arena, g *gen) error
	// callers are further honest callers beside those of the stack.
	callers []honest
	// alone: the stack's own callers are not part of the attack's verdict, since it strikes processes beside the stack.
	alone   bool
	workers int
	// most bounds the rounds; 0: as many as the time allows.
	most int
}

// arena is what rounds of an attack share.
type arena struct {
	*rig
	sent, heard atomic.Int64
	cpu         float64 // CPUs that this process used during the attack

	mu    sync.Mutex
	found error
	last  [][]byte        // what was sent last
	times []time.Duration // when rounds began, in the order of their beginning
}

// settings of a run.
type settings struct {
	seed   uint64
	from   int // the first round
	rounds int
	time   time.Duration
}

var run = sync.OnceValue(func() (s settings) {
	s = settings{seed: uint64(time.Now().UnixNano()), rounds: 1 << 30, time: 2 * time.Second}
	if text := os.Getenv("SEED"); text != "" {
		s.seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("FROM"); text != "" {
		s.from, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("ROUNDS"); text != "" {
		s.rounds, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("ATTACKTIME"); text != "" {
		s.time, _ = time.ParseDuration(text)
	}
	return s
})

// strike runs an attack beside honest callers and judges.
func strike(t *testing.T, r *rig, at attack) {
	t.Helper()
	s := run()
	callers := append(slices.Clone(r.callers()), at.callers...)
	if at.alone {
		callers = append(callers[:1], at.callers...)
	}
	for _, h := range callers { // its connections are open and its keys are cached
		if _, err := h.ask(t.Context()); err != nil {
			t.Fatalf("%s before the attack: %v", h.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), quietTime)
	idle := ownCPU()
	quiet := watch(ctx, callers)
	cancel()
	own := float64(ownCPU()-idle) / float64(quietTime)

	a := &arena{rig: r}
	ctx, cancel = context.WithTimeout(t.Context(), s.time)
	defer cancel()
	before := r.usage()
	watched := make(chan [][]sample, 1)
	go func() { watched <- watch(ctx, callers) }()
	begin := time.Now()
	rounds := a.assault(ctx, at, s, share+own)
	cancel()
	during := <-watched
	taken := time.Since(begin)

	err := errors.Join(a.found, r.intact())
	var lines []string
	for i, h := range callers {
		if h.control {
			continue
		}
		v := judge(h.name, h.depth, quiet[i], during[i], during[0])
		if v.err = a.told(v, s.from); v.err != nil {
			err = errors.Join(err, v.err)
		}
		lines = append(lines, fmt.Sprintf("%s %v→%v (%d, %d overloaded)", v.name, v.quiet.Round(100*time.Microsecond),
			v.worst.Round(100*time.Microsecond), v.asked, v.overloads))
	}
	err = errors.Join(err, r.settled(t.Context(), callers), r.leaks(t.Context()))
	sent := max(a.sent.Load(), 1)
	t.Logf("%d rounds in %v, %d KiB sent, %d KiB heard; p99 quiet→worst window: %s; control %v→%v; this process used %.2f CPUs (before: %.2f); CPU per byte: %s",
		rounds, taken.Round(time.Millisecond), sent>>10, a.heard.Load()>>10, strings.Join(lines, ", "), p99(quiet[0]), judge("", 1, quiet[0], during[0], nil).worst, a.cpu, own, r.spent(before, sent))
	if err != nil {
		kept := a.keep(at.name, s.seed)
		t.Errorf("%v\nreplay: make test-attack SEED=%d ATTACKS=%s ATTACKTIME=%v\nwhat was sent last: %s",
			err, s.seed, strings.TrimPrefix(t.Name(), "TestAttack"), s.time, kept)
	}
}

// assault plays rounds until ctx ends, the count is reached or one finds something. It returns how many it played.
func (a *arena) assault(ctx context.Context, at attack, s settings, share float64) int64 {
	workers := at.workers
	if workers == 0 {
		workers = attackers
	}
	most := s.rounds
	if at.most > 0 {
		most = min(most, at.most)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	var wg sync.WaitGroup
	begin, used := time.Now(), ownCPU()
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := s.from + int(next.Add(1)) - 1
				if i >= s.from+most {
					return
				}
				a.began(time.Since(begin))
				err := at.round(ctx, a, newGen(s.seed, at.name, i))
				if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
					a.find(fmt.Errorf("round %d: %w", i, err))
					cancel()
					return
				}
				for over := overdraft(begin, used, share); over > 0 && pause(ctx, over) == nil; over = overdraft(begin, used, share) {
				}
			}
		})
	}
	wg.Wait()
	a.cpu = float64(ownCPU()-used) / float64(time.Since(begin))
	return min(next.Load(), int64(most))
}

// overdraft is how long to wait until the CPU used since begin is within the share, at most 50 ms.
func overdraft(begin time.Time, used time.Duration, share float64) time.Duration {
	return min(time.Duration(float64(ownCPU()-used)/share)-time.Since(begin), 50*time.Millisecond)
}

// ownCPU is the CPU time of this process, user and system (getrusage(2)).
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (a *arena) began(at time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, at)
}

// told adds to a verdict which rounds to play again.
func (a *arena) told(v verdict, from int) error {
	if v.err == nil || v.since == 0 {
		return v.err
	}
	return fmt.Errorf("%w (%s)", v.err, a.around(from, v.since))
}

// around names the rounds that began in the second before a time.
func (a *arena) around(from int, at time.Duration) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	first, _ := slices.BinarySearch(a.times, at-time.Second)
	last, _ := slices.BinarySearch(a.times, at)
	return fmt.Sprintf("FROM=%d ROUNDS=%d", from+first, last-first+1)
}

func (a *arena) find(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found == nil {
		a.found = err
	}
}

// keep writes what was sent last to a file, for a look at it.
func (a *arena) keep(name string, seed uint64) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	file := filepath.Join(os.TempDir(), fmt.Sprintf("attack-%s-%d.hex", strings.ReplaceAll(name, " ", "-"), seed))
	var b bytes.Buffer
	for _, sent := range a.last {
		fmt.Fprintln(&b, hex.EncodeToString(sent))
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return err.Error()
	}
	if err := os.WriteFile(file+".log", []byte(a.log.String()), 0o600); err != nil {
		return err.Error()
	}
	return file + ", and what the programs logged: " + file + ".log"
}

// speak dials, says the pieces and searches what comes back.
func (a *arena) speak(ctx context.Context, g *gen, network, address string, pieces [][]byte) ([]byte, error) {
	conn, err := (&net.Dialer{Timeout: roundTime}).DialContext(context.WithoutCancel(ctx), network, address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return a.speakOn(ctx, g, conn, pieces)
}

func (a *arena) speakOn(ctx context.Context, g *gen, conn net.Conn, pieces [][]byte) ([]byte, error) {
	all := slices.Concat(pieces...)
	a.note(all)
	heard := talk(ctx, g, conn, pieces)
	a.heard.Add(int64(len(heard)))
	return heard, leak("what the attacker heard", heard, a.forms(a.theirs)...)
}

// note counts what is sent, and keeps the last of it.
func (a *arena) note(sent []byte) {
	a.sent.Add(int64(len(sent)))
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last = append(a.last, sent); len(a.last) > 4*attackers {
		a.last = slices.Delete(a.last, 0, 1)
	}
}

// refusals reads answers of HTTP/1.1 and demands that one which says that a request failed, or the errors of one which
// does not, show no plaintext.
func (a *arena) refusals(heard []byte) error {
	if !bytes.Contains(heard, []byte(a.mine)) {
		return nil
	}
	from := bufio.NewReader(bytes.NewReader(heard))
	for {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			return nil //nolint:nilerr // the rest is no answer
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode >= http.StatusBadRequest {
			if err := leak(fmt.Sprintf("an answer of status %d", resp.StatusCode), body, a.forms(a.mine)...); err != nil {
				return err
			}
		}
		var told struct {
			Errors json.RawMessage
			Items  []struct{ Errors json.RawMessage }
		}
		_ = json.Unmarshal(body, &told)
		for _, item := range told.Items {
			told.Errors = append(told.Errors, item.Errors...)
		}
		if err := leak("the errors of an answer", told.Errors, a.forms(a.mine)...); err != nil {
			return err
		}
	}
}

// settled demands that honest callers are served within two seconds of the attack's end.
func (r *rig) settled(ctx context.Context, callers []honest) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	for _, h := range callers {
		for {
			overload, err := h.ask(ctx)
			if err == nil && !overload {
				break
			}
			if pause(ctx, 20*time.Millisecond) != nil {
				return fmt.Errorf("%s is not served after the attack: %w", h.name, errors.Join(err, errOverload))
			}
		}
	}
	return nil
}

// usage is the CPU time of each process so far.
func (r *rig) usage() map[*process]time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[*process]time.Duration)
	for _, p := range r.processes {
		out[p] = p.cpu()
	}
	return out
}

// spent shows the CPU time of each process since before, by byte sent; honest callers' part is in it.
func (r *rig) spent(before map[*process]time.Duration, sent int64) string {
	var parts []string
	for p, now := range r.usage() {
		if p.program != "kms" {
			parts = append(parts, fmt.Sprintf("%s %.2f µs", p.name, float64(now-before[p])/1e3/float64(sent)))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
