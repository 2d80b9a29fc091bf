package engine

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/sealed/reply"
)

// openReply opens a sealed result as a caller would: "string TEXT", "json TEXT" or "problem TEXT".
func openReply(t *testing.T, caller *vault, vaultID, name string, value []byte) string {
	t.Helper()
	k, err := sealed.ParsePrivateKey(caller.suite, caller.der)
	if err != nil {
		t.Fatal(err)
	}
	v, err := reply.Open(k, vaultID, name, value)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	kinds := map[reply.Type]string{reply.String: "string ", reply.JSON: "json ", reply.Problem: "problem "}
	return kinds[v.Type] + string(v.Data)
}

// openAll opens all results of an answer, by the names of the request.
func openAll(t *testing.T, caller *vault, q *wire.DecryptRequest, m *wire.DecryptResponse) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range m.Results {
		if r.Code != wire.OK || r.ValueKind != wire.ValueSealed || r.Kind == 0 {
			t.Fatalf("result %+v is not sealed", r)
		}
		var name []byte
		if r.Kind == wire.ResultField {
			name = q.Fields[r.Index].Name
		} else {
			name = q.Expressions[r.Index].Name
		}
		out[string(name)] = openReply(t, caller, string(q.VaultID), string(name), r.Value)
	}
	if len(m.Failures) != 0 {
		t.Error("kinds of failures are told beside what is sealed")
	}
	return out
}

const (
	lostText  = `problem {"code":"decrypt_failed","message":"the value could not be decrypted"}`
	zeroText  = `problem {"code":"expression_failed","message":"the expression could not be evaluated"}`
	typoStart = `problem {"code":"expression_failed","message":"`
	typoEnd   = `","kind":"undeclared_name","position":{"line":1,"column":5}}`
)

// TestAReplyKeySealsEveryResultAndNothingElseLeaves: values, failed fields, failed expressions and their kinds.
func TestAReplyKeySealsEveryResultAndNothingElseLeaves(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P384, true)
	fields := map[string]string{"note": "line\n\"quoted\" \x01 ü \\", "dob": "1979-04-05"}
	blobs := w.seal(v, sealed.EncodingRecord, fields)
	caller := w.vault("caller", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, blobs, "note", "dob")
	q.AddField([]byte("bad"), blobs["dob"])
	q.AddExpression([]byte("Size"), []byte("size(note)"))
	q.AddExpression([]byte("fails"), []byte("1/0"))
	q.AddExpression([]byte("typo"), []byte("1 + nam3"))
	q.Compat = true
	q.ReplySuite, q.ReplyKey = uint8(caller.suite), caller.spki
	want := map[string]string{
		"note": "string " + fields["note"], "dob": "string 1979-04-05", "bad": lostText, "Size": "json 20", "fails": zeroText,
		"typo": typoStart + wire.ExpressionUndeclaredName.Text() + typoEnd,
	}
	for range 2 {
		m, code := w.do(q)
		if code != wire.OK {
			t.Fatal(code)
		}
		if got := openAll(t, caller, q, m); !maps.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, r := range m.Results {
			if len(r.Value) != len(m.Results[0].Value) || bytes.Contains(r.Value, []byte("1979")) {
				t.Errorf("result %d has %d bytes, result 0 %d", r.Index, len(r.Value), len(m.Results[0].Value))
			}
		}
	}
	st := w.engine.Stats()
	if n := st.Get(wire.StatSealedReplies); n != 2 {
		t.Errorf("%d sealed replies counted", n)
	}
	for _, id := range []wire.StatID{
		wire.StatFieldsOpened, wire.StatFieldsFailed, wire.StatExpressionsFailed, wire.ExpressionUndeclaredName.Stat(),
	} {
		if n := st.Get(id); n != 0 {
			t.Errorf("the parent can read in %v that %d did", id, n)
		}
	}
}

// TestASealedAnswerHasTheSameFormWhateverFails: as many results, of the same lengths, in the same order.
func TestASealedAnswerHasTheSameFormWhateverFails(t *testing.T) {
	w := newWorld(t, options{})
	v, caller := w.vault("v_1", sealed.P256, true), w.vault("caller", sealed.P256, true)
	blobs := w.seal(v, sealed.EncodingRecord, map[string]string{"a": "true", "b": strings.Repeat("b", 100), "c": ""})
	forged := maps.Clone(blobs)
	for name, b := range forged {
		forged[name] = append(slices.Clone(b[:len(b)-1]), b[len(b)-1]^1)
	}
	ask := func(bad string, include ...string) (*wire.DecryptRequest, *wire.DecryptResponse) {
		q := v.request(sealed.EncodingRecord, blobs, "a", "b", "c")
		q.IncludeMode = wire.IncludeListed
		for i := range q.Fields {
			name := string(q.Fields[i].Name)
			q.Fields[i].Include = slices.Contains(include, name)
			if strings.Contains(bad, name) {
				q.Fields[i].Blob = forged[name]
			}
		}
		q.AddExpression([]byte("eq"), []byte("a == 'true'"))
		q.AddExpression([]byte("up"), []byte("a.to_uppercase()"))
		q.AddExpression([]byte("n"+strings.Repeat("x", len(bad))), []byte("b.last(4)")) // a plan of its own
		q.ReplySuite, q.ReplyKey, q.ReportAccess = uint8(caller.suite), caller.spki, true
		m, code := w.do(q)
		if code != wire.OK {
			t.Fatalf("%q bad: %v", bad, code)
		}
		return q, m
	}
	form := func(m *wire.DecryptResponse) (out []any) {
		for _, r := range m.Results {
			out = append(out, r.Kind, r.Index, r.Code, r.ValueKind, len(r.Value))
		}
		for _, r := range m.Reads {
			out = append(out, r)
		}
		return out
	}
	for _, include := range [][]string{nil, {"a"}, {"a", "b", "c"}} {
		_, whole := ask("", include...)
		for _, bad := range []string{"a", "b", "ac", "abc"} {
			q, m := ask(bad, include...)
			if got, want := form(m), form(whole); !slices.Equal(got, want) {
				t.Errorf("include %q, %q bad: %v, not %v", include, bad, got, want)
			}
			got := openAll(t, caller, q, m)
			if bad == "abc" && (got["eq"] != lostText || got["up"] != lostText) {
				t.Errorf("expressions over nothing: %q", got)
			}
			for _, name := range include {
				if lost := got[name] == lostText; lost != strings.Contains(bad, name) {
					t.Errorf("%q bad: %s is %q", bad, name, got[name])
				}
			}
		}
	}
}

// TestAParentOfTheFirstLayoutGetsNoSealedReply: that layout told lengths and failures. It is refused before KMS is
// asked, and nothing is answered in the clear.
func TestAParentOfTheFirstLayoutGetsNoSealedReply(t *testing.T) {
	w := newWorld(t, options{without: wire.FeaturePaddedReply})
	v := w.vault("v_1", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9")
	q.ReplySuite, q.ReplyKey = uint8(v.suite), v.spki
	if _, code := w.do(q); code != wire.BadRequest {
		t.Errorf("code %v, want bad_request", code)
	}
	if n := w.kms.asked.Load(); n != 0 {
		t.Errorf("KMS was asked %d times", n)
	}
	q.ReplyKey = nil
	if _, code := w.do(q); code != wire.OK {
		t.Errorf("without a reply key: %v", code)
	}
}

// TestAnAnswerThatIsTooLargeOncePaddedIsRefused with a typed error, though its values would fit as they are.
func TestAnAnswerThatIsTooLargeOncePaddedIsRefused(t *testing.T) {
	w := newWorld(t, options{})
	v := w.vault("v_1", sealed.P256, true)
	size := 1<<20 - 20<<10
	for reply.Size(size+1) == reply.Size(size) {
		size++ // the largest that is not padded to 1 MiB
	}
	if reply.Size(size+1) != 1<<20 {
		t.Fatal(reply.Size(size + 1))
	}
	ask := func(n int, key []byte) wire.Code {
		q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, map[string]string{
			"a": strings.Repeat("x", n), "b": strings.Repeat("y", n),
		}), "a", "b")
		q.ReplySuite, q.ReplyKey = uint8(v.suite), key
		_, code := w.do(q)
		return code
	}
	if code := ask(size+1, nil); code != wire.OK {
		t.Errorf("as they are: %v", code)
	}
	if code := ask(size, v.spki); code != wire.OK {
		t.Errorf("padded within the limit: %v", code)
	}
	if code := ask(size+1, v.spki); code != wire.BadRequest {
		t.Errorf("padded beyond the limit: %v, want bad_request", code)
	}
}

// TestAnExpressionOfAnotherCaseTakesItsFieldsPlace: both would be sealed under the one lower-case name, so the field stays
// back, above all where the expression that was to mask it fails.
func TestAnExpressionOfAnotherCaseTakesItsFieldsPlace(t *testing.T) {
	w := newWorld(t, options{})
	v, caller := w.vault("v_1", sealed.P256, true), w.vault("caller", sealed.P256, true)
	q := v.request(sealed.EncodingRecord, w.seal(v, sealed.EncodingRecord, record), "ssn9")
	q.AddExpression([]byte("SSN9"), []byte("ssn9.last(4) + 1"))
	q.Compat = true
	q.ReplySuite, q.ReplyKey = uint8(caller.suite), caller.spki
	m, code := w.do(q)
	if code != wire.OK || len(m.Results) != 1 || m.Results[0].Kind != wire.ResultExpression {
		t.Fatalf("%v, %d results, the first %+v", code, len(m.Results), m.Results[0])
	}
	if got := openAll(t, caller, q, m)["SSN9"]; !strings.HasPrefix(got, "problem ") {
		t.Errorf("the failed expression is %q", got)
	}
}
