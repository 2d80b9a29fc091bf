package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"redoubt/api/client"
	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// drills is a stack whose vaults are under a domain, of which something is lost.
type drills struct {
	*rig
	*testing.T
	api    *client.Client
	vaults map[string]string // city by id
}

func newDrills(t *testing.T) *drills {
	t.Helper()
	d := &drills{
		T: t, rig: own(t, func(o *testkit.Options) { o.Domain = "drills" }), vaults: map[string]string{},
	}
	var err error
	if d.api, err = client.New(client.Config{URL: "http://" + d.Addresses.API}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *drills) create(n int) {
	d.Helper()
	for range n {
		city := fmt.Sprintf("%s city %d", sentinel, len(d.vaults))
		made, err := d.api.Create(ctx, map[string]string{"city": city}, client.CreateOptions{})
		if err != nil {
			d.Fatal(err)
		}
		d.vaults[made.ID] = city
	}
}

func (d *drills) read(id string) (string, error) {
	out, err := d.api.Decrypt(ctx, id, client.DecryptRequest{Fields: []string{"city"}, Reason: "drill"})
	if err != nil {
		return "", err
	}
	var city string
	return city, json.Unmarshal(out.Data["city"], &city)
}

// all demands that each vault opens.
func (d *drills) all() {
	d.Helper()
	for id, want := range d.vaults {
		if got, err := d.read(id); err != nil || got != want {
			d.Errorf("%s: %v", id, err)
		}
	}
}

// code is the API's code of an error.
func code(err error) string {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

func (d *drills) must(args ...string) string {
	d.Helper()
	out, err := d.Operate(ctx, args...)
	if err != nil {
		d.Fatal(err)
	}
	return out
}

// fails demands that a command ends with 1, and returns what it printed.
func (d *drills) fails(args ...string) *testkit.CommandError {
	d.Helper()
	_, err := d.Operate(ctx, args...)
	var e *testkit.CommandError
	if !errors.As(err, &e) || e.Code != 1 {
		d.Fatalf("%v: %v", args, err)
	}
	return e
}

func (d *drills) metric(name string) string {
	d.Helper()
	text, err := d.get("http://" + d.Addresses.APIMetrics + "/metrics")
	if err != nil {
		d.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return ""
}

func (d *drills) policy(pcrs map[int]string) {
	d.Helper()
	allowed := map[int][]string{}
	for i, v := range pcrs {
		allowed[i] = []string{v}
	}
	document, err := kms.PolicyForPCRs(allowed)
	if err != nil {
		d.Fatal(err)
	}
	d.admin(d.T, http.MethodPut, "policy", string(document))
}

// TestRestoreDrills loses one thing after another, and brings it back. Each loss is a typed error, and nothing is lost
// for good.
func TestRestoreDrills(t *testing.T) {
	d := newDrills(t)
	dir := t.TempDir()
	old, first, second := filepath.Join(dir, "old"), filepath.Join(dir, "first"), filepath.Join(dir, "second")
	d.create(1)
	d.must("backup", old)
	d.create(2)
	d.must("backup", first)
	d.all()

	t.Log("everything is lost and comes back")
	for id := range d.vaults {
		if err := d.api.Delete(ctx, id, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := d.read(id); code(err) != "erased" {
			t.Fatalf("an erased vault: %v", err)
		}
		d.must("vault", "erased", id)
	}
	d.must("restore", first, "--yes")
	d.must("restore", "check")
	d.all()

	t.Log("the keys of newer vaults are lost")
	e := d.fails("restore", first, "--yes", "--keys", old+".keys")
	if !strings.Contains(e.Stderr, "nothing was changed") {
		t.Errorf("%s", e.Stderr)
	}
	d.all()
	d.must("restore", first, "--yes", "--keys", old+".keys", "--partial")
	if e := d.fails("restore", "check"); strings.Count(e.Stdout, "no_keys") != 2 {
		t.Errorf("%s", e.Stdout)
	}
	lost := 0
	for id := range d.vaults {
		if _, err := d.read(id); err != nil {
			lost++
			if code(err) != "inconsistent" {
				t.Errorf("without its key: %v", err)
			}
		}
	}
	if n := d.metric("redoubt_api_store_inconsistent_total"); lost != 2 || n != "2" { // the alert is of this number
		t.Errorf("%d vaults do not open, %s were counted", lost, n)
	}
	d.must("restore", first, "--yes")
	d.all()

	t.Log("the key is denied, as for another account")
	wrong := strings.Repeat("ab", 48)
	d.policy(map[int]string{0: wrong})
	d.purge(t, "{}")
	for id := range d.vaults {
		if _, err := d.read(id); code(err) != "key_denied" {
			t.Errorf("denied: %v", err)
		}
	}
	if e := d.fails("domain", "check"); !strings.Contains(e.Stdout, "DOES NOT OPEN") {
		t.Errorf("%s", e.Stdout)
	}
	d.policy(d.PCRs())
	d.purge(t, "{}")
	d.eventually()

	t.Log("records from before a reseal find their key, and records of an older generation move")
	if err := d.CreateDomain(ctx, "drills"); err != nil {
		t.Fatal(err)
	}
	if out := d.must("reseal", "--parallel", "2"); !strings.Contains(out, "3 resealed") {
		t.Errorf("reseal: %s", out)
	}
	d.all()
	d.must("backup", second)
	d.must("restore", first, "--yes", "--keys", second+".keys")
	d.must("restore", "check")
	d.all()
	// The second generation is in the file of the keys alone.
	if out := d.must("reseal", "--dry-run"); !strings.Contains(out, "3 due") {
		t.Errorf("after the restore: %s", out)
	}
	if out := d.must("reseal"); !strings.Contains(out, "3 resealed") { // to an epoch above those that are there
		t.Errorf("reseal: %s", out)
	}
	d.all()
	d.must("restore", second, "--yes")
	d.all()
}

// eventually demands that each vault opens once refusals are no longer remembered.
func (d *drills) eventually() {
	d.Helper()
	deadline := time.Now().Add(time.Minute)
	for id := range d.vaults {
		for {
			_, err := d.read(id)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				d.Fatalf("%s: %v", id, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// A job over all vaults that is told to end finishes what it is at; one that is killed does not. Both go on.
func TestAJobThatIsStoppedOrKilledGoesOn(t *testing.T) {
	d := newDrills(t)
	const vaults = 60
	d.create(vaults)
	if err := d.CreateDomain(ctx, "drills"); err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(t.TempDir(), "place")
	const resealed = "redoubt_api_vaults_resealed_total"
	for _, end := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cmd := proctest.Command(t, filepath.Join(bin, "api"), "reseal", "--rate", "8", "--parallel", "1", "--resume", place)
		cmd.Env = append(testkit.APIEnvironment(), "API_STORE=bolt:"+d.StoreFile())
		var stderr proctest.Buffer
		cmd.Stderr = &stderr
		before := d.count(resealed)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); d.count(resealed) < before+3; {
			if time.Now().After(deadline) {
				t.Fatalf("the job does nothing: %s", stderr.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err := cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if stopped := strings.Contains(stderr.String(), "hint: give the same command again"); err == nil ||
			stopped != (end == syscall.SIGTERM) {
			t.Errorf("%v: %v: %s", end, err, stderr.String())
		}
		d.all()
	}
	out := d.must("reseal", "--resume", place)
	if !strings.Contains(out, "0 failed") || d.count(resealed) != vaults {
		t.Errorf("in the end %d were resealed: %s", d.count(resealed), out)
	}
	d.all()
}

// count is the value of a counter.
func (d *drills) count(name string) int {
	d.Helper()
	n, err := strconv.Atoi(d.metric(name))
	if err != nil {
		d.Fatalf("%s: %v", name, err)
	}
	return n
}
