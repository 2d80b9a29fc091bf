package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
)

// vault is what the API answers, of any route.
type vault struct {
	ID     string
	Data   map[string]any
	Errors []string
}

// api makes a request to the API and returns status and answer.
func (r *rig) api(method, path string, body any) (int, *vault, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequest(method, "http://"+r.Addresses.API+"/v1/vaults"+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	if resp.StatusCode != http.StatusOK && bytes.Contains(raw, []byte(sentinel)) {
		return 0, nil, errors.New("a value in an error")
	}
	v := &vault{}
	if resp.StatusCode == http.StatusOK && method == http.MethodPost {
		err = json.Unmarshal(raw, v)
	}
	return resp.StatusCode, v, err
}

func (r *rig) mustAPI(t *testing.T, method, path string, body any) *vault {
	t.Helper()
	status, v, err := r.api(method, path, body)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: status %d, %v", method, path, status, err)
	}
	return v
}

func TestAVaultIsStoredChangedOpenedAndDeletedThroughTheAPI(t *testing.T) {
	r := shared.get(t)
	id := "/" + r.mustAPI(t, "POST", "", map[string]string{"first_name": sentinel + "Ada", "ssn9": "078051120"}).ID
	ask := map[string]any{
		"fields": []string{"first_name", "ssn4"}, "reason": "test",
		"expressions": map[string]string{"masked": "ssn4.mask(2)", "loud": "first_name.to_uppercase()"},
	}
	want := func(name string) {
		t.Helper()
		v := r.mustAPI(t, "POST", id+"/decrypt", ask)
		if v.Data["first_name"] != sentinel+name || v.Data["ssn4"] != "1120" || v.Data["masked"] != "**20" ||
			v.Data["loud"] != strings.ToUpper(sentinel+name) || len(v.Errors) != 0 {
			t.Fatalf("data %v, errors %v", v.Data, v.Errors)
		}
	}
	want("Ada")
	r.mustAPI(t, "PATCH", id, map[string]string{"first_name": sentinel + "Grace"})
	want("Grace")
	if status, _, err := r.api("PATCH", id, map[string]string{"ssn9": sentinel}); err != nil || status != 422 {
		t.Errorf("a value that does not fit: status %d, %v", status, err)
	}
	r.mustAPI(t, "DELETE", id, map[string]bool{"delete_all": true})
	if status, _, err := r.api("POST", id+"/decrypt", ask); err != nil || status != 404 {
		t.Errorf("after its end: status %d, %v", status, err)
	}
}

func TestAnAbsentFieldIsNullInExpressions(t *testing.T) {
	r := shared.get(t)
	id := "/" + r.mustAPI(t, "POST", "", map[string]string{"first_name": sentinel}).ID
	v := r.mustAPI(t, "POST", id+"/decrypt", map[string]any{
		"fields": []string{"first_name", "city", "state"}, "include": []string{}, "reason": "test",
		"expressions": map[string]string{
			"none": "city == null && first_name != null", "state": "state == null ? 'no state' : state", "both": "city == null ? state : city",
		},
	})
	if v.Data["none"] != true || v.Data["state"] != "no state" || v.Data["both"] != "no state" || len(v.Data) != 3 || len(v.Errors) != 0 {
		t.Fatalf("data %v, errors %v", v.Data, v.Errors)
	}
	v = r.mustAPI(t, "POST", id+"/decrypt", map[string]any{
		"fields": []string{"city"}, "reason": "test", "expressions": map[string]string{"city": "city == null"},
	})
	if v.Data["city"] != true || len(v.Errors) != 0 {
		t.Fatalf("without any field: data %v, errors %v", v.Data, v.Errors)
	}
}

func TestTroubleBelowTheAPIIsNoSuccess(t *testing.T) {
	r := own(t, func(o *testkit.Options) { o.APIArgs = []string{"--parent-timeout", "2s", "--kms-timeout", "2s"} })
	id := "/" + r.mustAPI(t, "POST", "", map[string]string{"first_name": sentinel}).ID
	ask := map[string]any{"fields": []string{"first_name"}, "reason": "test"}
	open := func() int {
		status, v, err := r.api("POST", id+"/decrypt", ask)
		if err != nil {
			t.Fatal(err)
		}
		if status == 200 && v.Data["first_name"] != sentinel {
			t.Fatal("a success without the value")
		}
		return status
	}
	r.admin(t, "POST", "faults", `{"kind":"error","operation":"Decrypt","code":"AccessDeniedException"}`)
	if status := open(); status/100 == 2 {
		t.Errorf("KMS denies: status %d", status)
	}
	r.admin(t, "DELETE", "faults", "")
	eventually(t, "the key", 10*time.Second, func() bool { return open() == 200 })
	r.Process(testkit.Parent).Kill()
	if status := open(); status/100 == 2 {
		t.Errorf("no parent: status %d", status)
	}
	if err := r.Restart(testkit.Parent); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the parent", 15*time.Second, func() bool { return open() == 200 })
	r.admin(t, "POST", "faults", `{"kind":"throttle","operation":"GenerateDataKeyPairWithoutPlaintext"}`)
	if status, _, err := r.api("POST", "", map[string]string{}); err != nil || status/100 == 2 {
		t.Errorf("no key to be had: status %d, %v", status, err)
	}
}

func TestAKilledAPILosesNoVaultThatItAcknowledged(t *testing.T) {
	r := own(t)
	var mu sync.Mutex
	acknowledged := map[string]string{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%s %d-%d", sentinel, w, i)
				status, v, err := r.api("POST", "", map[string]string{"first_name": name})
				if err == nil && status == http.StatusOK {
					mu.Lock()
					acknowledged[v.ID] = name
					mu.Unlock()
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acknowledged) }
	for range 2 {
		before := count()
		eventually(t, "vaults", 30*time.Second, func() bool { return count() >= before+20 })
		r.Process(testkit.API).Kill()
		if err := r.Restart(testkit.API); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the API", 15*time.Second, func() bool { return r.APIReady(ctx) == nil })
	}
	close(stop)
	wg.Wait()
	for id, name := range acknowledged {
		v := r.mustAPI(t, "POST", "/"+id+"/decrypt", map[string]any{"fields": []string{"first_name"}, "reason": "test"})
		if v.Data["first_name"] != name {
			t.Fatal("a vault holds another value")
		}
	}
	t.Logf("%d vaults were acknowledged, and open", len(acknowledged))
}
