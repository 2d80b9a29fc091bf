package front

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// with is a valid body of a route with changes; a nil value deletes a member.
func with(base, changes obj) []byte {
	m := maps.Clone(base)
	for k, v := range changes {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func createBody() obj {
	return obj{
		"id": "acme.00", "generation": 1, "suites": []string{"X-Wing", "P-256", "P-384"}, "request_suites": []string{"P-384"},
		"data_keys": []obj{dataKeyBody("a"), dataKeyBody("b")}, "nonce": b64(strings.Repeat("n", 32)),
	}
}

func dataKeyBody(arn string) obj { return obj{"key_arn": arn, "ciphertext": b64("blob")} }

func wrapBody() obj { return obj{"record": b64(record("d")), "data_key": dataKeyBody("a")} }

func mintBody() obj { return obj{"domain": domainName("d"), "count": 3, "suite": "X-Wing"} }

// oldBody is the vault that a reseal moves, with changes.
func oldBody(changes obj) obj {
	var m obj
	if err := json.Unmarshal(body(under(changes)), &m); err != nil {
		panic(err)
	}
	return m
}

func resealBody() obj {
	return obj{"old": oldBody(nil), "to": domainName("e"), "epoch": 2, "suite": "P-384"}
}

func TestRequestsOfTheRoutesOfDomainsAreCheckedBeforeAnythingIsSent(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	keys := func(n int) (list []obj) {
		for i := range n {
			list = append(list, dataKeyBody(string(rune('a'+i))))
		}
		return list
	}
	kms := obj{"domain": nil, "encs": nil, "encoding": "2", "region": "us-east-1", "suite_id": p384ID}
	kmsWith := func(changes obj) obj {
		m := maps.Clone(kms)
		maps.Copy(m, changes)
		return oldBody(m)
	}
	for _, c := range []struct {
		name   string
		route  Route
		base   obj
		change obj
		status int // 0: accepted
	}{
		{"valid", RouteDomains, createBody(), nil, 0},
		{"no request suites", RouteDomains, createBody(), obj{"request_suites": nil}, 0},
		{"empty request suites", RouteDomains, createBody(), obj{"request_suites": []string{}}, 0},
		{"16 data keys", RouteDomains, createBody(), obj{"data_keys": keys(16)}, 0},
		{"largest generation", RouteDomains, createBody(), obj{"generation": 65535}, 0},
		{"no id", RouteDomains, createBody(), obj{"id": nil}, 422},
		{"id number", RouteDomains, createBody(), obj{"id": 1}, 422},
		{"id empty", RouteDomains, createBody(), obj{"id": ""}, 400},
		{"id upper", RouteDomains, createBody(), obj{"id": "Acme"}, 400},
		{"id long", RouteDomains, createBody(), obj{"id": strings.Repeat("a", 64)}, 400},
		{"generation 0", RouteDomains, createBody(), obj{"generation": 0}, 400},
		{"generation 65536", RouteDomains, createBody(), obj{"generation": 65536}, 400},
		{"generation 1.5", RouteDomains, createBody(), obj{"generation": 1.5}, 400},
		{"generation text", RouteDomains, createBody(), obj{"generation": "1"}, 422},
		{"no suites", RouteDomains, createBody(), obj{"suites": nil}, 422},
		{"suites empty", RouteDomains, createBody(), obj{"suites": []string{}}, 400},
		{"suites unknown", RouteDomains, createBody(), obj{"suites": []string{"P-192"}}, 400},
		{"suites twice", RouteDomains, createBody(), obj{"suites": []string{"P-256", "P-256"}}, 400},
		{"suites descending", RouteDomains, createBody(), obj{"suites": []string{"X-Wing", "P-384", "P-256"}}, 400},
		{"suites of numbers", RouteDomains, createBody(), obj{"suites": []int{4}}, 422},
		{"suites text", RouteDomains, createBody(), obj{"suites": "X-Wing"}, 422},
		{"request suites descending", RouteDomains, createBody(), obj{"request_suites": []string{"X-Wing", "P-256"}}, 400},
		{"three request suites", RouteDomains, createBody(), obj{"request_suites": []string{"P-256", "P-384", "P-521"}}, 400},
		{"request suites null", RouteDomains, createBody(), obj{"request_suites": null{}}, 422},
		{"no data key", RouteDomains, createBody(), obj{"data_keys": []obj{}}, 400},
		{"17 data keys", RouteDomains, createBody(), obj{"data_keys": keys(17)}, 400},
		{"a KMS key twice", RouteDomains, createBody(), obj{"data_keys": []obj{dataKeyBody("a"), dataKeyBody("a")}}, 400},
		{"data keys text", RouteDomains, createBody(), obj{"data_keys": "a"}, 422},
		{"a data key null", RouteDomains, createBody(), obj{"data_keys": []any{nil}}, 422},
		{"a data key of half", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": "a"}}}, 422},
		{"a data key of more", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": "a", "ciphertext": "QQ==", "x": 1}}}, 422},
		{"an ARN empty", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": "", "ciphertext": "QQ=="}}}, 400},
		{"an ARN long", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": long, "ciphertext": "QQ=="}}}, 400},
		{"a ciphertext empty", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": "a", "ciphertext": ""}}}, 400},
		{"a ciphertext long", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": "a", "ciphertext": b64(long)}}}, 400},
		{"a ciphertext not base64", RouteDomains, createBody(), obj{"data_keys": []obj{{"key_arn": "a", "ciphertext": "$"}}}, 400},
		{"a short nonce", RouteDomains, createBody(), obj{"nonce": b64(strings.Repeat("n", 31))}, 400},
		{"a long nonce", RouteDomains, createBody(), obj{"nonce": b64(strings.Repeat("n", 33))}, 400},
		{"an unknown member", RouteDomains, createBody(), obj{"secret": 1}, 422},

		{"valid", RouteDomainWrap, wrapBody(), nil, 0},
		{"to open only", RouteDomainWrap, wrapBody(), obj{"data_key": nil}, 0},
		{"no record", RouteDomainWrap, wrapBody(), obj{"record": nil}, 422},
		{"record empty", RouteDomainWrap, wrapBody(), obj{"record": ""}, 400},
		{"record of no form", RouteDomainWrap, wrapBody(), obj{"record": b64("\x00\x09d")}, 400},
		{"record long", RouteDomainWrap, wrapBody(), obj{"record": b64(record("d") + long)}, 400},
		{"data key null", RouteDomainWrap, wrapBody(), obj{"data_key": null{}}, 422},
		{"data key list", RouteDomainWrap, wrapBody(), obj{"data_key": []obj{}}, 422},

		{"valid", RouteVaultKeys, mintBody(), nil, 0},
		{"64", RouteVaultKeys, mintBody(), obj{"count": 64}, 0},
		{"the default suite", RouteVaultKeys, mintBody(), obj{"suite": nil}, 0},
		{"the default suite, said", RouteVaultKeys, mintBody(), obj{"suite": ""}, 0},
		{"its record", RouteVaultKeys, mintBody(), obj{"domain_records": []string{b64(record("d"))}}, 0},
		{"another record", RouteVaultKeys, mintBody(), obj{"domain_records": []string{b64(record("e"))}}, 400},
		{"count 0", RouteVaultKeys, mintBody(), obj{"count": 0}, 400},
		{"count 65", RouteVaultKeys, mintBody(), obj{"count": 65}, 400},
		{"no count", RouteVaultKeys, mintBody(), obj{"count": nil}, 422},
		{"no domain", RouteVaultKeys, mintBody(), obj{"domain": nil}, 422},
		{"domain upper", RouteVaultKeys, mintBody(), obj{"domain": strings.ToUpper(domainName("d"))}, 400},
		{"suite unknown", RouteVaultKeys, mintBody(), obj{"suite": "p-384"}, 400},
		{"suite null", RouteVaultKeys, mintBody(), obj{"suite": null{}}, 422},

		{"valid", RouteReseal, resealBody(), nil, 0},
		{"within a domain", RouteReseal, resealBody(), obj{"to": domainName("d")}, 0},
		{"from KMS", RouteReseal, resealBody(), obj{"old": kmsWith(nil)}, 0},
		{"from KMS, with the record", RouteReseal, resealBody(), obj{"old": kmsWith(obj{"domain_records": []string{b64(record("e"))}})}, 0},
		{"from KMS, with another's", RouteReseal, resealBody(), obj{"old": kmsWith(obj{"domain_records": []string{b64(record("d"))}})}, 400},
		{"from KMS, with encs", RouteReseal, resealBody(), obj{"old": kmsWith(obj{"encs": obj{}})}, 422},
		{"both records", RouteReseal, resealBody(), obj{"old": oldBody(obj{"domain_records": []string{b64(record("e")), b64(record("d"))}})}, 0},
		{"a third record", RouteReseal, resealBody(), obj{"old": oldBody(obj{"domain_records": []string{b64(record("f"))}})}, 400},
		{"a record twice", RouteReseal, resealBody(), obj{"old": oldBody(obj{"domain_records": []string{b64(record("e")), b64(record("e"))}})}, 400},
		{"expressions", RouteReseal, resealBody(), obj{"old": oldBody(obj{"expressions": obj{}})}, 422},
		{"include", RouteReseal, resealBody(), obj{"old": oldBody(obj{"include": []string{}})}, 422},
		{"compat", RouteReseal, resealBody(), obj{"old": oldBody(obj{"compat": false})}, 422},
		{"reply key", RouteReseal, resealBody(), obj{"old": oldBody(obj{"reply_key": obj{}})}, 422},
		{"report", RouteReseal, resealBody(), obj{"old": oldBody(obj{"report_access": true})}, 422},
		{"records outside", RouteReseal, resealBody(), obj{"domain_records": []string{}}, 422},
		{"no old", RouteReseal, resealBody(), obj{"old": nil}, 422},
		{"old null", RouteReseal, resealBody(), obj{"old": null{}}, 422},
		{"old bad", RouteReseal, resealBody(), obj{"old": oldBody(obj{"vault_id": ""})}, 400},
		{"no to", RouteReseal, resealBody(), obj{"to": nil}, 422},
		{"to short", RouteReseal, resealBody(), obj{"to": "00"}, 400},
		{"epoch 0", RouteReseal, resealBody(), obj{"epoch": 0}, 400},
		{"epoch 65536", RouteReseal, resealBody(), obj{"epoch": 65536}, 400},
	} {
		var r request
		_, f := r.decodeWrite(with(c.base, c.change), c.route)
		got := 0
		if f != nil {
			got = f.status
		}
		if got != c.status {
			t.Errorf("%s, %s: %d %v, want %d", c.route, c.name, got, f, c.status)
		}
	}
	for _, route := range []Route{RouteDomains, RouteDomainWrap, RouteVaultKeys, RouteReseal} {
		for doc, status := range map[string]int{"": 400, "{": 400, "[]": 422, "null": 422, "{}": 422, `{"id":"a","id":"a"}`: 422} {
			var r request
			if _, f := r.decodeWrite([]byte(doc), route); f == nil || f.status != status {
				t.Errorf("%s: %q: %v, want %d", route, doc, f, status)
			}
		}
	}
}

// What clients write of the contract's types is what arrives.
func TestTheContractsRequestsOfDomainsAreRead(t *testing.T) {
	rec, blob := []byte(record("d")), []byte("blob")
	key := parentapi.DataKey{KeyARN: "arn", Ciphertext: blob}
	suite := sealed.P384.ID()
	enc := bytes.Repeat([]byte{9}, sealed.P384.EncSize())
	ref := sealed.RefOf(enc)
	field := slices.Concat([]byte{5}, ref[:], make([]byte, sealed.TagSize))
	for _, c := range []struct {
		route Route
		in    any
		want  interface{ Append([]byte) []byte }
	}{
		{RouteDomains, parentapi.CreateDomain{
			ID: "acme", Generation: 3, Suites: []string{"X-Wing", "P-521"}, RequestSuites: []string{"P-256", "X-Wing"},
			DataKeys: []parentapi.DataKey{key}, Nonce: bytes.Repeat([]byte("n"), 32),
		}, &wire.CreateDomainRequest{
			ID: []byte("acme"), Generation: 3, Suites: []byte{4, 3}, RequestSuites: []byte{1, 4},
			DataKeys: []wire.DataKey{{ARN: []byte("arn"), Ciphertext: blob}}, Nonce: bytes.Repeat([]byte("n"), 32),
		}},
		{RouteDomainWrap, parentapi.WrapDomain{Record: rec, DataKey: &key}, &wire.WrapDomainRequest{
			Record: rec, DataKeys: []wire.DataKey{{ARN: []byte("arn"), Ciphertext: blob}},
		}},
		{RouteDomainWrap, parentapi.WrapDomain{Record: rec}, &wire.WrapDomainRequest{Record: rec}},
		{RouteVaultKeys, parentapi.Mint{Domain: domainName("d"), Suite: "P-256", Count: 5, DomainRecords: [][]byte{rec}}, &wire.MintRequest{
			Domain: unhex(domainName("d")), Suite: 1, Count: 5,
		}},
		{RouteReseal, parentapi.Reseal{
			Old: &parentapi.Request[[]byte]{
				VaultID: "v_1", Fields: map[string][]byte{"ssn": field}, SuiteID: suite[:], WrappedKey: blob, Encoding: "4",
				Domain: domainName("d"), Encs: map[string][]byte{hex.EncodeToString(ref[:]): enc}, DomainRecords: [][]byte{rec},
			},
			To: domainName("e"), Epoch: 7,
		}, &wire.ResealRequest{
			To: unhex(domainName("e")), Epoch: 7, Old: wire.DecryptRequest{
				VaultID: []byte("v_1"), Suite: 2, Encoding: 4, WrappedKey: blob, Domain: unhex(domainName("d")), Encs: [][]byte{enc},
				Fields: []wire.Field{{Name: []byte("ssn"), Blob: field}},
			},
		}},
	} {
		body, err := json.Marshal(c.in)
		if err != nil {
			t.Fatal(err)
		}
		var r request
		w, f := r.decodeWrite(body, c.route)
		if f != nil {
			t.Errorf("%s: %v of %s", c.route, f, body)
			continue
		}
		// Work on many vaults is the batch lane's. What an administrator waits for is not.
		if w.batch != (c.route == RouteVaultKeys || c.route == RouteReseal) {
			t.Errorf("%s: batch %t", c.route, w.batch)
		}
		if !bytes.Equal(w.msg.AppendFor(wire.AllFeatures(), nil), c.want.Append(nil)) {
			t.Errorf("%s: another message", c.route)
		}
		if (c.route == RouteVaultKeys || c.route == RouteReseal) && len(r.records) != 1 {
			t.Errorf("%s: %d records", c.route, len(r.records))
		}
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzDecodeWrite(f *testing.F) {
	for route, b := range map[Route]obj{
		RouteDomains: createBody(), RouteDomainWrap: wrapBody(), RouteVaultKeys: mintBody(), RouteReseal: resealBody(),
	} {
		f.Add(with(b, nil), uint8(route-RouteDomains))
	}
	f.Fuzz(func(t *testing.T, doc []byte, which uint8) {
		route := RouteDomains + Route(which%4)
		var r request
		given := bytes.Clone(doc)
		w, fault := r.decodeWrite(doc, route)
		if !bytes.Equal(doc, given) {
			t.Fatal("the body was changed")
		}
		if fault != nil {
			if s := fault.status; s != 400 && s != 422 && s != 413 {
				t.Fatalf("status %d", s)
			}
			return
		}
		b := w.msg.AppendFor(wire.AllFeatures(), nil)
		var err error
		switch route {
		case RouteDomains:
			err = new(wire.CreateDomainRequest).Decode(b)
		case RouteDomainWrap:
			err = new(wire.WrapDomainRequest).Decode(b)
		case RouteVaultKeys:
			err = new(wire.MintRequest).Decode(b)
		default:
			err = new(wire.ResealRequest).Decode(b)
		}
		if err != nil {
			t.Fatalf("%s: encodes to what the wire refuses: %v", route, err)
		}
	})
}
