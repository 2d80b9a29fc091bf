package front_test

import (
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/wire"
)

// reporting answers as Echo, with a report if it is asked for one.
func reporting(reads ...wire.FieldRead) fakeenclave.Answer {
	return func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		fakeenclave.Echo(req, resp)
		if resp.AccessReported = req.ReportAccess; req.ReportAccess {
			resp.Reads = reads
		}
	}
}

// twoFields asks for expressions over two fields; in the order of names a is field 0, b field 1, x expression 0.
func twoFields(change obj) string {
	body := obj{"fields": obj{"b": b64("1"), "a": b64("2")}, "expressions": obj{"y": "2", "x": "1"}}
	for k, v := range change {
		body[k] = v
	}
	return encode(doc(body))
}

func TestAnAccessReportIsGivenByNamesToThoseWhoAsk(t *testing.T) {
	s := startStack(t, options(), reporting(
		wire.FieldRead{Expression: 0, Field: 0, Raw: true}, wire.FieldRead{Expression: 0, Field: 1},
		wire.FieldRead{Expression: 1, Field: 1},
	))
	const values = `{"fields":{"x":1,"y":2},"errors":{}`
	const report = `"access":{"x":{"reads":["a","b"],"raw":["a"]},"y":{"reads":["b"],"raw":[]}}}`
	for name, tc := range map[string]struct{ body, want string }{
		"asked":     {twoFields(obj{"report_access": true}), values + "," + report},
		"not asked": {twoFields(nil), values + "}"},
		"declined":  {twoFields(obj{"report_access": false}), values + "}"},
		"sealed": {
			twoFields(obj{"report_access": true, "reply_key": obj{"suite_id": "SFBLRQAQAAEAAg==", "public_key": b64("k")}}),
			`{"fields":{},"sealed":{"x":"` + b64("1") + `","y":"` + b64("2") + `"},"errors":{},` + report,
		},
	} {
		if got := s.post(t, "/v1/decrypt", tc.body); got.status != 200 || got.body != tc.want {
			t.Errorf("%s: %d %s, want %s", name, got.status, got.body, tc.want)
		}
	}
	got := s.post(t, "/v1/decrypt/batch", `{"items":[`+twoFields(obj{"report_access": true})+`,`+twoFields(nil)+`]}`)
	want := `{"items":[{"status":200,` + values[1:] + "," + report + `,{"status":200,` + values[1:] + `}]}`
	if got.body != want {
		t.Errorf("batch: %s, want %s", got.body, want)
	}
	if got := s.post(t, "/v1/decrypt", twoFields(obj{"report_access": 1})); got.status != 422 {
		t.Errorf("a number: %d %s", got.status, got.body)
	}
}

func TestAReportOfNothingIsNotNoReport(t *testing.T) {
	s := startStack(t, options(), reporting())
	got := s.post(t, "/v1/decrypt", twoFields(obj{"report_access": true}))
	if want := `"access":{"x":{"reads":[],"raw":[]},"y":{"reads":[],"raw":[]}}}`; len(got.body) < len(want) ||
		got.body[len(got.body)-len(want):] != want {
		t.Error(got.body)
	}
	got = s.post(t, "/v1/decrypt", encode(doc(obj{"report_access": true})))
	if want := `{"fields":{"ssn":"123-45-6789"},"errors":{},"access":{}}`; got.body != want {
		t.Error(got.body)
	}
}

// TestAnEnclaveThatMakesNoReportsIsNotAskedForOne: one of an earlier release, beside which null says that nothing is known.
func TestAnEnclaveThatMakesNoReportsIsNotAskedForOne(t *testing.T) {
	asked := make(chan bool, 1)
	s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		asked <- req.ReportAccess
		fakeenclave.Echo(req, resp)
	})
	s.enclave.Lack(wire.FeatureAccessReport)
	s.enclave.Down()
	if err := s.enclave.Up(); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the enclave", func() bool { return s.pool.Ready() && s.enclave.Sessions.Load() >= 4 })
	got := s.post(t, "/v1/decrypt", twoFields(obj{"report_access": true}))
	if want := `{"fields":{"x":1,"y":2},"errors":{},"access":null}`; got.status != 200 || got.body != want {
		t.Errorf("%d %s, want %s", got.status, got.body, want)
	}
	if <-asked {
		t.Error("the extension was sent without the feature")
	}
}

func TestAReportOfWhatWasNotAskedForIsRefused(t *testing.T) {
	for name, read := range map[string]wire.FieldRead{
		"a third expression": {Expression: 2}, "a third field": {Field: 2},
	} {
		s := startStack(t, options(), reporting(read))
		if got := s.post(t, "/v1/decrypt", twoFields(obj{"report_access": true})); got.status != 500 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}
