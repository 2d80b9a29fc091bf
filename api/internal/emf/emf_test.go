package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/jsonschema/v6"

	"redoubt/api/internal/httpapi"
	"redoubt/wire/kit/test/pages"
)

var _ httpapi.Recorder = (*Recorder)(nil)

// document is a line as CloudWatch reads it.
type document struct {
	Meta metadata `json:"_aws"`
	root map[string]any
}

// read checks each line against the published schema and against the rules that the schema does not hold.
func read(t *testing.T, out string) []document {
	t.Helper()
	schema := pages.EMF(t)
	var docs []document
	for text := range strings.Lines(out) {
		root, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatalf("no JSON: %v: %s", err, text)
		}
		if err := schema.Validate(root); err != nil {
			t.Errorf("not valid: %v: %s", err, text)
		}
		d := document{}
		if json.Unmarshal([]byte(text), &d) != nil || json.Unmarshal([]byte(text), &d.root) != nil {
			t.Fatal(text)
		}
		targets(t, d)
		docs = append(docs, d)
	}
	return docs
}

// targets checks that dimensions are strings at the root, and metrics numbers or up to 100 of them.
func targets(t *testing.T, d document) {
	t.Helper()
	for _, m := range d.Meta.CloudWatchMetrics {
		if len(m.Metrics) > 100 {
			t.Errorf("%d metrics", len(m.Metrics))
		}
		for _, name := range slices.Concat(m.Dimensions...) {
			if v, ok := d.root[name].(string); !ok || v == "" || len(v) > 1024 {
				t.Errorf("dimension %s is %v", name, d.root[name])
			}
		}
		for _, def := range m.Metrics {
			switch v := d.root[def.Name].(type) {
			case float64:
			case []any:
				if len(v) == 0 || len(v) > 100 {
					t.Errorf("metric %s has %d values", def.Name, len(v))
				}
				for _, x := range v {
					if _, ok := x.(float64); !ok {
						t.Errorf("metric %s has %v", def.Name, x)
					}
				}
			default:
				t.Errorf("metric %s is %v", def.Name, v)
			}
		}
	}
}

// has tells whether one of the documents has all these members, compared as JSON.
func has(t *testing.T, docs []document, want string) {
	t.Helper()
	var w map[string]any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		all := true
		for k, v := range w {
			a, _ := json.Marshal(v)
			b, _ := json.Marshal(d.root[k])
			all = all && bytes.Equal(a, b)
		}
		if all {
			return
		}
	}
	t.Errorf("no document has %s", want)
}

func recorder(out *bytes.Buffer) *Recorder {
	return New(Config{
		Out: out, Function: "vault-api", Version: "v1", Init: 81500 * time.Microsecond, Cold: true,
		Now: func() time.Time { return time.UnixMilli(1_700_000_000_123) },
	})
}

func TestEachLineIsADocumentOfTheFormat(t *testing.T) {
	var out bytes.Buffer
	r := recorder(&out)
	r.Request("/vaults/{id}", "GET", 200, "ok", 2500*time.Microsecond)
	r.Request("/vaults/{id}", "GET", 404, "not_found", time.Millisecond)
	r.Request("/vaults", "POST", 503, "kms_throttled", time.Second)
	r.Call("store", "get", "ok", 750*time.Microsecond)
	r.Call("store", "get", "not_found", time.Millisecond)
	r.Call("kms", "new_key_pair", "throttled", time.Second)
	r.Audit("DecryptVault", "ok")
	r.Audit("DecryptVault", "unavailable")
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	docs := read(t, out.String())
	for _, want := range []string{
		`{"ColdStarts":1,"InitDuration":81.5,"Function":"vault-api","Version":"v1"}`,
		`{"Route":"/vaults/{id}","Method":"GET","Requests":2,"ClientErrors":1,"ServerErrors":0,"Duration":[2.5,1]}`,
		`{"Route":"/vaults","Method":"POST","Requests":1,"ClientErrors":0,"ServerErrors":1,"Duration":[1000]}`,
		`{"Code":"not_found","Errors":1}`, `{"Code":"kms_throttled","Errors":1}`,
		`{"Dependency":"store","Operation":"get","Calls":2,"CallFailures":0,"CallDuration":[0.75,1]}`,
		`{"Dependency":"kms","Operation":"new_key_pair","Calls":1,"CallFailures":1}`,
		`{"Event":"DecryptVault","AuditEntries":2,"AuditFailures":1}`,
	} {
		has(t, docs, want)
	}
	for _, d := range docs {
		if d.Meta.Timestamp != 1_700_000_000_123 || d.Meta.CloudWatchMetrics[0].Namespace != Namespace {
			t.Errorf("metadata %+v", d.Meta)
		}
	}
	if len(docs) != 8 {
		t.Errorf("%d documents", len(docs))
	}
}

func TestTheSchemaRefusesWhatIsNotOfTheFormat(t *testing.T) {
	schema := pages.EMF(t)
	for _, bad := range []string{
		`{}`, `{"_aws":{"Timestamp":"now","CloudWatchMetrics":[]}}`,
		`{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[],"Metrics":[]}]}}`,
		`{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[[]],"Metrics":[{"Name":"x","Unit":"ms"}]}]}}`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("accepted: %s", bad)
		}
	}
}

func TestWhatWasToldIsNotToldAgain(t *testing.T) {
	var out bytes.Buffer
	r := recorder(&out)
	r.Request("/ready", "GET", 200, "ok", time.Millisecond)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := r.Flush(); err != nil || out.Len() != 0 {
		t.Errorf("%v, %s", err, out.String())
	}
	r.Request("/ready", "GET", 200, "ok", time.Millisecond)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	docs := read(t, out.String())
	if len(docs) != 1 || docs[0].root["Requests"] != 1.0 {
		t.Errorf("%s", out.String())
	}
}

func TestAProcessThatLambdaStartedAheadIsNoColdStart(t *testing.T) {
	var out bytes.Buffer
	if err := New(Config{Out: &out}).Flush(); err != nil {
		t.Fatal(err)
	}
	has(t, read(t, out.String()), `{"ColdStarts":0,"InitDuration":0,"Function":"unknown"}`)
}

func TestMoreThanAHundredValuesAreSeveralLines(t *testing.T) {
	var out bytes.Buffer
	r := recorder(&out)
	for range 250 {
		r.Request("/vaults", "GET", 500, "internal", time.Millisecond)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	requests, failures := 0.0, 0.0
	for _, d := range read(t, out.String()) {
		if n, ok := d.root["Requests"].(float64); ok {
			requests += n
			failures += d.root["ServerErrors"].(float64)
		}
	}
	if requests != 250 || failures != 250 {
		t.Errorf("%v requests, %v failures", requests, failures)
	}
}

func TestConcurrentInvocationsLoseNothing(t *testing.T) {
	var out bytes.Buffer
	r := recorder(&out)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r.Request("/vaults", "GET", 200, "ok", time.Millisecond)
				r.Call("store", "list", "ok", time.Millisecond)
				if err := r.Flush(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	requests, calls := 0.0, 0.0
	for _, d := range read(t, out.String()) {
		n, _ := d.root["Requests"].(float64)
		c, _ := d.root["Calls"].(float64)
		requests, calls = requests+n, calls+c
	}
	if requests != 800 || calls != 800 {
		t.Errorf("%v requests, %v calls", requests, calls)
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestAnOutputThatFailsIsTold(t *testing.T) {
	if err := New(Config{Out: broken{}, Function: "f"}).Flush(); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}
