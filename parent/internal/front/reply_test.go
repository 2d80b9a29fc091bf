package front_test

import (
	"net/http"
	"strings"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/wire"
)

func withReplyKey() obj {
	return obj{
		"reply_key":   obj{"suite_id": "SFBLRQAQAAEAAg==", "public_key": b64("k")},
		"expressions": obj{"x": "1"}, "include": []string{"ssn"},
	}
}

// TestAReplyKeyIsRefusedWhileNoEnclavePads, with an error that says so: never the older layout, never plaintext.
func TestAReplyKeyIsRefusedWhileNoEnclavePads(t *testing.T) {
	s := startStack(t, options(), nil)
	older := fakeenclave.StartOlder(t, nil, wire.FeaturePaddedReply)
	if err := s.pool.Set([]string{older.URL}); err != nil {
		t.Fatal(err)
	}
	fakeenclave.Wait(t, "the enclave", s.pool.Ready)
	got := s.post(t, "/v1/decrypt", encode(doc(withReplyKey())))
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `"code":"reply_key_unsupported"`) ||
		got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = s.post(t, "/v1/decrypt/batch", `{"items":[`+encode(doc(withReplyKey()))+`,`+encode(doc(nil))+`]}`)
	if !strings.Contains(got.body, `{"status":503,"error":{"code":"reply_key_unsupported"`) ||
		!strings.Contains(got.body, `{"status":200,"fields":{"ssn":"123-45-6789"},"errors":{}}`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if n := older.Requests.Load(); n != 1 {
		t.Errorf("the enclave was asked %d times, once without a reply key", n)
	}
}

// TestAnAnswerThatIsNotSealedThroughoutIsWithheld: an enclave that answers a reply key with a value, with an absent one
// or with a failure in the clear is not passed on.
func TestAnAnswerThatIsNotSealedThroughoutIsWithheld(t *testing.T) {
	for name, bad := range map[string]wire.Result{
		"a string": {ValueKind: wire.ValueString, Value: []byte("123-45-6789")},
		"json":     {ValueKind: wire.ValueJSON, Value: []byte("4600046")},
		"absent":   {},
		"failed":   {Code: wire.ExpressionFailed},
	} {
		for _, kind := range []wire.ResultKind{wire.ResultField, wire.ResultExpression} {
			s := startStack(t, options(), func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
				fakeenclave.Echo(req, resp)
				for i := range resp.Results {
					if r := &resp.Results[i]; r.Kind == kind {
						bad.Kind, bad.Index = r.Kind, r.Index
						*r = bad
					}
				}
			})
			got := s.post(t, "/v1/decrypt", encode(doc(withReplyKey())))
			if got.status != http.StatusInternalServerError || strings.Contains(got.body, "123-45") ||
				strings.Contains(got.body, "4600046") {
				t.Errorf("%s for result of kind %d: %d %s", name, kind, got.status, got.body)
			}
		}
	}
}
