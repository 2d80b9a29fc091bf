package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
)

const (
	killWorkers = 16
	killWrites  = 1000
	killRounds  = 4
)

// ledger is what the server has acknowledged.
type ledger struct {
	mu     sync.Mutex
	vaults map[string]*entry
	acked  int
}

// entry is a vault: the value of its last acknowledged write, one that may or may not have happened after it, and how
// many writes were acknowledged.
type entry struct {
	value, maybe string
	writes       int
}

// Checks 34: kill -9 at any moment during concurrent creates and updates loses no acknowledged write.
func TestKilledServerLosesNoAcknowledgedWrite(t *testing.T) {
	stack := apitest.NewStack(t)
	file := filepath.Join(t.TempDir(), "store.db")
	l := &ledger{vaults: map[string]*entry{}}
	for round := range killRounds {
		s := start(t, stack, file, "--suite", "P-256")
		l.check(t, s.client)
		l.load(t, s, killWrites*(round+1)/killRounds)
	}
	s := start(t, stack, file)
	l.check(t, s.client)
	if l.acked < killWrites {
		t.Fatalf("%d writes acknowledged", l.acked)
	}
	out, errOut, code := command(t, stack.Env(), "audit", "verify", "--store", "bolt:"+file, "--json")
	var report struct {
		Vaults, Entries int
		Problems        []any
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || len(report.Problems) != 0 || report.Vaults < len(l.vaults) {
		t.Fatalf("exit %d: %s %s", code, out, errOut)
	}
	t.Logf("%d acknowledged writes in %d vaults survived %d kills", l.acked, len(l.vaults), killRounds)
}

// load writes from many workers until enough is acknowledged, then kills the server under them.
func (l *ledger) load(t *testing.T, s *server, until int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	enough := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for w := range killWorkers {
		wg.Go(func() {
			id := ""
			for i := 0; ctx.Err() == nil; i++ {
				if i%5 == 0 {
					id = ""
				}
				id = l.write(ctx, s.client, id, fmt.Sprintf("value %d of worker %d", i, w))
				if l.count() >= until {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	<-enough
	s.kill() // requests are in flight
	cancel()
	wg.Wait()
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// write creates a vault, or updates the one given, and returns its id.
func (l *ledger) write(ctx context.Context, c *client.Client, id, value string) string {
	fields := map[string]string{"city": value}
	if id == "" {
		made, err := c.Create(ctx, fields, client.CreateOptions{})
		if err != nil {
			return ""
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.vaults[made.ID] = &entry{value: value, writes: 1}
		l.acked++
		return made.ID
	}
	l.mu.Lock()
	e := l.vaults[id]
	e.maybe = value
	l.mu.Unlock()
	if _, err := c.Update(ctx, id, fields, client.UpdateOptions{}); err != nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.value, e.maybe = value, ""
	e.writes++
	l.acked++
	return id
}

// check opens every vault and reads its audit log.
func (l *ledger) check(t *testing.T, c *client.Client) {
	t.Helper()
	jobs := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range jobs {
				l.checkOne(t, c, id)
			}
		})
	}
	for id := range l.vaults {
		jobs <- id
	}
	close(jobs)
	wg.Wait()
}

func (l *ledger) checkOne(t *testing.T, c *client.Client, id string) {
	e := l.vaults[id]
	log, next, err := c.Audit(t.Context(), id, client.Page{Limit: 1000})
	writes := 0
	for _, one := range log {
		if one.Event != "DecryptVault" && one.Outcome == "ok" {
			writes++
		}
	}
	if err != nil || next != "" || writes < e.writes {
		t.Errorf("%s: %d of %d audit entries, %v", id, writes, e.writes, err)
	}
	out, err := c.Decrypt(t.Context(), id, client.DecryptRequest{Fields: []string{"city"}, Reason: "check"})
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return
	}
	if got, _ := out.Text("city"); got != e.value && (e.maybe == "" || got != e.maybe) {
		t.Errorf("%s: value %q, want %q", id, got, e.value)
	}
}
