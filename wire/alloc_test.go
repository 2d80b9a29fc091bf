package wire

import (
	"strings"
	"testing"
)

// benchRequest is a request of one field and no expressions, about 400 bytes.
func benchRequest() *DecryptRequest {
	m := &DecryptRequest{
		VaultID: []byte("v_2aAbCdEfGhIjKlMnOpQrStUvWxY"), Region: []byte("us-east-1"), Suite: 1, Encoding: 2,
		WrappedKey: make([]byte, 184), KeyContext: true,
	}
	m.AddField([]byte("ssn9"), make([]byte, 122))
	return m
}

func benchResponse() *DecryptResponse {
	m := &DecryptResponse{}
	for i := range 10 {
		m.Add(Result{Kind: ResultField, Index: uint16(i), ValueKind: ValueString, Value: make([]byte, 32)})
	}
	return m
}

func TestCodecsAllocateNothingInSteadyState(t *testing.T) {
	req, res := benchRequest(), benchResponse()
	res.AccessReported, res.Reads = true, []FieldRead{{Expression: 0, Field: 1}, {Expression: 0, Field: 70, Raw: true}}
	var st Stats
	for i := range 40 {
		st.Add(StatID(i), int64(i)*1000)
	}
	for s := range Stages {
		st.AddHistogram(Stage(s), 1, Buckets)
	}
	for name, m := range map[string]message{
		"request": req, "response": res, "stats": &st,
		"log":    &Log{Text: []byte("x"), Numbers: make([]LogNumber, 3)},
		"header": &headerMessage{}, "ping": &Ping{}, "pong": &Pong{}, "error": &ErrorBody{Code: Overloaded},
	} {
		body := m.Append(nil)
		dst := make([]byte, 0, len(body))
		fresh := map[string]func() message{
			"request": messages["DecryptRequest"], "response": messages["DecryptResponse"], "stats": messages["Stats"],
			"log": messages["Log"], "header": messages["Header"], "ping": messages["Ping"], "pong": messages["Pong"],
			"error": messages["ErrorBody"],
		}[name]()
		n := testing.AllocsPerRun(100, func() {
			dst = m.Append(dst[:0])
			if err := fresh.Decode(dst); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestCountsAreCheckedBeforeAllocating(t *testing.T) {
	body := append([]byte{0, 1, 2, 0, 0, 0}, MaxFields) // and no fields
	var m DecryptRequest
	if err := m.Decode(body); err == nil || cap(m.Fields) != 0 {
		t.Fatalf("%v, room for %d fields", err, cap(m.Fields))
	}
}

func TestTextsNameNoContents(t *testing.T) {
	const secret = "sentinel"
	c := &Credentials{AccessKeyID: []byte(secret), Secret: []byte(secret)}
	req := &DecryptRequest{VaultID: []byte(secret)}
	res := &DecryptResponse{Results: []Result{{Value: []byte(secret)}}}
	for _, s := range []string{c.String(), c.LogValue().String(), req.String(), res.String()} {
		if strings.Contains(s, secret) || s == "" {
			t.Fatal("contents in a text")
		}
	}
	token := []byte(secret)
	c.Token = token
	c.Wipe()
	if strings.Trim(string(token), "\x00") != "" || c.Secret != nil {
		t.Fatal("credentials are not wiped")
	}
}

func TestCodesHaveNamesAndTexts(t *testing.T) {
	seen := map[string]bool{}
	for i := range Codes {
		c := Code(i)
		if c.String() == "" || c.Text() == "" || seen[c.String()] || !c.Known() {
			t.Errorf("code %d", i)
		}
		seen[c.String()] = true
	}
	if Code(200).String() != "internal" || Code(200).Text() != Internal.Text() || Code(200).Known() {
		t.Error("an unknown code is not internal")
	}
}

// TestEachStatIsOneSeries: no two numbers are the same series, and those of one family agree on what they share.
func TestEachStatIsOneSeries(t *testing.T) {
	families, series := map[string]StatInfo{}, map[string]bool{}
	for id := range StatID(MaxStats) {
		info := id.Info()
		if !id.Known() {
			if info != (StatInfo{}) {
				t.Errorf("stat %d has no family", id)
			}
			continue
		}
		name := info.Family + " " + info.Value
		first, more := families[info.Family]
		if series[name] || info.Help == "" || (info.Label == "") != (info.Value == "") ||
			more && (first.Label != info.Label || first.Label == "" || first.Help != info.Help) {
			t.Errorf("stat %d: %+v", id, info)
		}
		families[info.Family], series[name] = info, true
	}
	if StatID(MaxStats).Known() {
		t.Error("a number past the table is known")
	}
}

func BenchmarkDecryptRequest(b *testing.B) {
	m := benchRequest()
	body := m.Append(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body = m.Append(body[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		var d DecryptRequest
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecryptResponse(b *testing.B) {
	m := benchResponse()
	body := m.Append(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body = m.Append(body[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		var d DecryptResponse
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
