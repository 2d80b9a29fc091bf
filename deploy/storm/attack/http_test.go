//go:build attack

package attack

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/parentapi"
)

// headers that the tiers, or HTTP itself, give a meaning.
var headers = [][2]string{
	{"Connection", "keep-alive"},
	{"Connection", "close"},
	{"Connection", "upgrade, content-length"},
	{"Upgrade", "h2c"},
	{"HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"},
	{"Expect", "100-continue"},
	{"Accept", "*/*"},
	{"Accept-Encoding", "gzip, br"},
	{"Authorization", "Bearer aaaa"},
	{"Authorization", "Basic YTpi"},
	{"X-Request-Id", "0123456789abcdef"},
	{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	{"tracestate", "a=b,c=d"},
	{"Transfer-Encoding", "chunked"},
	{"Transfer-Encoding", "gzip, chunked"},
	{"Content-Length", "0"},
	{"Content-Length", "5"},
	{"Content-Encoding", "gzip"},
	{"Host", "evil.example"},
	{"Origin", "https://evil.example"},
	{"TE", "trailers"},
	{"Trailer", "Host"},
	{"If-Match", `"1"`},
	{"If-None-Match", "*"},
	{"Idempotency-Key", "k"},
	{"Range", "bytes=0-1"},
	{"X-Forwarded-For", "127.0.0.1"},
	{"Cookie", "a=b"},
	{"Content-Type", "text/plain"},
	{"Sec-Fetch-Site", "cross-site"},
}

// request is an HTTP request before it is written.
type request struct {
	method, target, host string
	headers              [][2]string
	body                 []byte
}

// write gives the bytes of a request in pieces: line, header, body.
func (g *gen) write(q request) [][]byte {
	version := "HTTP/1.1"
	if g.hit() {
		version = pick(g, "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/0.9", "", "HTTP/11", "PRI * HTTP/2.0")
	}
	end := "\r\n"
	if g.hit() {
		end = pick(g, "\n", "\r", "\r\n\t", "\r\r\n")
	}
	method := q.method
	if g.hit() {
		method = pick(g, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "G\x00T", "")
	}
	pieces := [][]byte{g.data([]byte(method + " " + g.text(q.target) + " " + version + end))}
	lines := [][2]string{{"Host", q.host}, {"Content-Type", "application/json"}}
	lines = append(lines, q.headers...)
	for g.oneIn(4) {
		lines = append(lines, pick(g, headers...))
	}
	body := q.body
	chunked := len(body) > 0 && g.oneIn(4)
	if chunked {
		lines = append(lines, [2]string{"Transfer-Encoding", "chunked"})
		body = g.chunks(body)
	} else if len(body) > 0 || q.method != "GET" {
		lines = append(lines, [2]string{"Content-Length", strconv.FormatUint(g.num(uint64(len(body)), 8<<20), 10)})
	}
	for _, l := range order(g, lines) {
		colon := ": "
		if g.hit() {
			colon = pick(g, " : ", ":", "", ":\t", ": \x00")
		}
		pieces = append(pieces, []byte(g.text(l[0])+colon+g.text(l[1])+end))
	}
	return append(pieces, []byte(end), body)
}

func (g *gen) chunks(body []byte) (out []byte) {
	for len(body) > 0 {
		n := 1 + g.IntN(len(body))
		size := strconv.FormatUint(g.num(uint64(n), 8<<20), 16)
		out = append(out, g.text(size+pick(g, "", "", "", ";a=b", ";"+strings.Repeat("x", g.IntN(4096))))+"\r\n"...)
		out = append(out, body[:n]...)
		out = append(out, g.text("\r\n")...)
		body = body[n:]
	}
	return append(out, g.text("0\r\n"+pick(g, "", "", "Host: x\r\n", "A: b\r\n")+"\r\n")...)
}

// odd are values that stand where others are expected.
var odd = []any{
	nil, true, false, 0, -1, 1.5, 1e300, "", "é", "\u0000",
	[]any{},
	map[string]any{},
	[]any{[]any{[]any{}}},
	json.RawMessage("1e999"),
	json.RawMessage(`"\ud800"`), json.RawMessage("01"), json.RawMessage("NaN"), json.RawMessage(`"\x"`), json.RawMessage("\"\x01\""),
}

// json writes a tree of values; each may be replaced, repeated or nested.
func (g *gen) json(v any) []byte {
	if g.hit() {
		switch g.IntN(4) {
		case 0:
			v = pick(g, odd...)
		case 1:
			depth := 1 << g.IntN(14)
			return []byte(strings.Repeat(pick(g, "[", `{"a":`), depth))
		case 2:
			depth := 1 << g.IntN(12)
			return slices.Concat(bytes.Repeat([]byte("["), depth), g.json(v), bytes.Repeat([]byte("]"), depth))
		case 3:
			return bytes.Repeat([]byte(" "), 1<<g.IntN(12))
		}
	}
	switch v := v.(type) {
	case map[string]any:
		keys := order(g, slices.Sorted(maps.Keys(v)))
		out := []byte("{")
		for i, k := range keys {
			if i > 0 {
				out = append(out, ',')
			}
			name, _ := json.Marshal(g.text(k))
			out = append(append(append(out, name...), ':'), g.json(v[k])...)
		}
		return append(out, '}')
	case []any:
		out := []byte("[")
		for i, x := range order(g, v) {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, g.json(x)...)
		}
		return append(out, ']')
	case string:
		text, _ := json.Marshal(g.text(v))
		return text
	default:
		text, _ := json.Marshal(v)
		return text
	}
}

// tree is a value as encoding/json reads it.
func tree(from []byte) (v any) {
	_ = json.Unmarshal(from, &v)
	return v
}

// expressions of a hostile caller, beside which CEL's own tests stand; $ is a field with the attacker's sentinel.
var expressions = []string{
	"$", "$ + $", "$.last(4)", "$.mask(4)", "$.to_uppercase()", "int($)", "double($)", "date($)", "timestamp($)", "$[0]", "$.nothing()",
	"[1, 2, 3].map(x, [1, 2, 3].map(y, $))", "$.matches('(a+)+$')", "'a' * 5", "{$: $}[$]", "x1 + $", "x2", "$ in [$, $]", "bytes($)",
	"base64_decode($)", "$.hex_decode()", "((((((((((((1))))))))))))", "$ == 1", "-$", "!$", "$ ? 1 : 2", "$.hmac_sha256()", "$.sha512()",
	"[" + strings.Repeat("[],", 40) + "[]]", strings.Repeat("1+", 300) + "1", "$.size() / 0", "9223372036854775807 + 1", "$.a.b.c",
}

// expressionOf is an expression over a field.
func (g *gen) expressionOf(field string) string {
	e := pick(g, expressions...)
	for g.oneIn(3) {
		e = strings.ReplaceAll(pick(g, expressions...), "$", "("+e+")")
		if len(e) > maxGrown {
			break
		}
	}
	return g.text(strings.ReplaceAll(e, "$", field))
}

// decryptBody is the tree of a request of a record.
func (g *gen) decryptBody(rec *testkit.Record) map[string]any {
	body := rec.Request(nil)
	body.Include = []string{}
	text, err := body.JSON()
	if err != nil {
		panic(err) // a record of ours has a request
	}
	m := tree(text).(map[string]any)
	exprs := map[string]any{}
	for i := range g.IntN(4) {
		exprs["x"+strconv.Itoa(i)] = g.expressionOf(pick(g, "first_name", "ssn9", "note"))
	}
	m["expressions"] = exprs
	for name, blob := range m["fields"].(map[string]any) {
		if raw, err := base64.StdEncoding.DecodeString(blob.(string)); err == nil && g.hit() {
			m["fields"].(map[string]any)[name] = base64.StdEncoding.EncodeToString(g.mutate(raw))
		}
	}
	for _, name := range []string{"encrypted_private_key", "suite_id"} {
		if raw, err := base64.StdEncoding.DecodeString(m[name].(string)); err == nil && g.hit() {
			m[name] = base64.StdEncoding.EncodeToString(g.mutate(raw))
		}
	}
	if g.oneIn(3) {
		m["include"] = []any{"note", "nothing"}
	}
	if g.oneIn(8) {
		m["report_access"] = true
	}
	if g.oneIn(8) {
		m["reply_key"] = map[string]any{"suite_id": m["suite_id"], "public_key": base64.StdEncoding.EncodeToString(g.random(120))}
	}
	if g.oneIn(8) {
		m["encoding"] = pick(g, "1", "2", "3", "4")
	}
	if g.oneIn(5) {
		g.underDomain(m)
	}
	return m
}

// parentRequest is a request for a route of the parent.
func (r *rig) parentRequest(g *gen, host string) request {
	route := pick(g, parentapi.Routes...)
	q := request{method: route.Method, target: route.Path, host: host}
	switch {
	case route.Path == parentapi.PathBatch:
		var items []any
		for range 1 + g.IntN(4) {
			items = append(items, g.decryptBody(r.record))
		}
		q.body = g.data(g.json(map[string]any{"items": items}))
	case slices.Contains(domainRoutes, route.Path):
		q.body = g.data(g.json(r.domainsBody(g, route.Path)))
	case route.Method == http.MethodPost:
		q.body = g.data(g.json(g.decryptBody(r.record)))
	default:
		q.target += pick(g, "", "?nonce=00112233445566778899", "?nonce=AA", "?exclude=kms", "?exclude=a,b,c&exclude=", "?%", "?a=%00&a")
	}
	return q
}

// speakHTTP says one request, or several on one connection.
func (a *arena) speakHTTP(ctx context.Context, g *gen, address string, one func() request) error {
	var pieces [][]byte
	for range 1 + g.IntN(3) {
		pieces = append(pieces, g.write(one())...)
	}
	heard, err := a.speak(ctx, g, "tcp", address, order(g, pieces))
	if err == nil {
		err = a.refusals(heard)
	}
	return err
}

// deafTime is how long a deaf caller holds its answers up: more than three windows.
const deafTime = 1500 * time.Millisecond

// deaf asks for many long answers and reads none: what is written to it waits.
func (a *arena) deaf(ctx context.Context, address string, one []byte, times int) error {
	dialer := net.Dialer{Timeout: roundTime, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
		return errors.Join(err, cerr)
	}}
	conn, err := dialer.DialContext(context.WithoutCancel(ctx), "tcp", address)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }()
	all := bytes.Repeat(one, times)
	a.note(all)
	_ = conn.SetDeadline(time.Now().Add(deafTime))
	_, _ = conn.Write(all) // it may be refused at any byte
	_ = pause(ctx, deafTime)
	return nil
}

// longAnswer is a short request of the parent with a long answer: a text that is doubled again and again.
func (r *rig) longAnswer(address string) []byte {
	exprs := map[string]string{"x0": "note"}
	for i := range 12 {
		exprs["x"+strconv.Itoa(i+1)] = fmt.Sprintf("x%d+x%d", i, i)
	}
	body, err := r.record.Request(exprs).JSON()
	if err != nil {
		panic(err) // a map of texts
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		parentapi.PathV1Decrypt, address, len(body), body)
}

// TestAttackParent speaks HTTP/1.1 to the parent's front and to its metrics listener.
func TestAttackParent(t *testing.T) {
	r := shared.get(t)
	strike(t, r, attack{name: "parent", round: func(ctx context.Context, a *arena, g *gen) error {
		address := r.Addresses.Parent
		if g.oneIn(60) {
			return a.deaf(ctx, address, r.longAnswer(address), 100)
		}
		if g.oneIn(10) {
			address = r.Addresses.ParentMetrics
		}
		return a.speakHTTP(ctx, g, address, func() request {
			q := r.parentRequest(g, address)
			if address == r.Addresses.ParentMetrics {
				q.target, q.method = pick(g, "/metrics", "/", "/ready", "/purge", "/debug/pprof/", "/status.json"), pick(g, "GET", "GET", "HEAD", "PUT")
			}
			return q
		})
	}})
}

// operation of the API's OpenAPI document.
type operation struct {
	method, path string
	query        []string
	body         any // its schema
}

// operations reads the API's own document: a route that is added is attacked.
func (r *rig) operations() (out []operation, schemas map[string]any) {
	doc := tree(r.document).(map[string]any)
	paths := doc["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path].(map[string]any))) {
			about := paths[path].(map[string]any)[method].(map[string]any)
			o := operation{method: strings.ToUpper(method), path: path}
			parameters, _ := about["parameters"].([]any)
			for _, p := range parameters {
				if m, ok := p.(map[string]any); ok && m["in"] == "query" {
					o.query = append(o.query, m["name"].(string))
				}
			}
			if body, ok := about["requestBody"].(map[string]any); ok {
				o.body = at(body, "content", "application/json", "schema")
			}
			out = append(out, o)
		}
	}
	schemas, _ = at(doc, "components", "schemas").(map[string]any)
	return out, schemas
}

// at follows names into maps.
func at(v any, names ...string) any {
	for _, n := range names {
		m, _ := v.(map[string]any)
		v = m[n]
	}
	return v
}

// valueOf is a value that a schema allows, mostly: names it, and texts that stand for its patterns.
func (g *gen) valueOf(name string, schema any, schemas map[string]any, mine string, depth int) any {
	s, _ := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok && depth < 8 {
		return g.valueOf(name, schemas[ref[strings.LastIndex(ref, "/")+1:]], schemas, mine, depth+1)
	}
	if enum, ok := s["enum"].([]any); ok {
		return pick(g, enum...)
	}
	kind, _ := s["type"].(string)
	if kinds, ok := s["type"].([]any); ok {
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "object":
		out := map[string]any{}
		properties, _ := s["properties"].(map[string]any)
		for _, p := range slices.Sorted(maps.Keys(properties)) {
			if g.oneIn(2) || p == "reason" || p == "fields" {
				out[p] = g.valueOf(p, properties[p], schemas, mine, depth+1)
			}
		}
		if more, ok := s["additionalProperties"].(map[string]any); ok {
			for i := range g.IntN(4) {
				out["x"+strconv.Itoa(i)] = g.valueOf("expression", more, schemas, mine, depth+1)
			}
		}
		return out
	case "array":
		var out []any
		for range g.IntN(4) {
			out = append(out, g.valueOf(name, s["items"], schemas, mine, depth+1))
		}
		return out
	case "boolean":
		return g.oneIn(3)
	case "integer", "number":
		return pick(g, 0, 1, -1, 100, 1<<40)
	default:
		switch name {
		case "expression":
			return g.expressionOf(pick(g, "first_name", "city"))
		case "fields", "include":
			return pick(g, "first_name", "city", "ssn9", "ssn4", "dob", "_sk", "pk")
		case "dob":
			return pick(g, "1990-12-10", mine)
		case "ssn9":
			return pick(g, "078051120", mine)
		case "ssn4":
			return pick(g, "1120", mine)
		case "postal_code":
			return pick(g, "90210", mine)
		case "phone_number":
			return pick(g, "+14155550100", mine)
		case "email":
			return pick(g, "ada@example.com", mine)
		}
		return pick(g, mine, "CA", strings.Repeat("a", 1<<g.IntN(14)), " ", "\n")
	}
}

// apiRequest is a request for a route of the API's document.
func (r *rig) apiRequest(g *gen, operations []operation, schemas map[string]any) request {
	o := pick(g, operations...)
	id := r.vault
	if o.method == "DELETE" || g.oneIn(6) {
		id = g.text(pick(g, "v_2TsLsJ3iPbbLpWYMKyxtSGZdSDK", "v_", "%2e%2e", "..", strings.Repeat("v", 1<<g.IntN(12))))
	}
	hash := pick(g, id, hex.EncodeToString(g.random(48)))
	q := request{
		method: o.method, host: r.Addresses.API,
		target: pick(g, "", "/v1", "/v1") + strings.NewReplacer("{id}", id, "{dh}", hash).Replace(o.path) + pick(g, "", "", "", "/"),
	}
	mark := "?"
	for _, name := range o.query {
		if !g.oneIn(3) {
			continue
		}
		good := map[string]string{"ttl": "3600", "limit": "10", "fields": "city,first_name", "id": "acme", "generation": "1"}[name]
		q.target += mark + name + "=" + pick(g, good, good, good, "-1", "1e9", "%00", "99999999999999999999", "aaaa")
		mark = "&"
	}
	if o.body != nil {
		q.body = g.data(g.json(g.valueOf("", o.body, schemas, r.mine, 0)))
	}
	return q
}

// TestAttackAPI speaks HTTP/1.1 to the API, with routes and bodies from its own document, and to its metrics listener.
func TestAttackAPI(t *testing.T) {
	r := shared.get(t)
	operations, schemas := r.operations()
	if len(operations) < 10 || len(schemas) == 0 {
		t.Fatalf("%d operations and %d schemas in the API's document", len(operations), len(schemas))
	}
	strike(t, r, attack{name: "api", round: func(ctx context.Context, a *arena, g *gen) error {
		if g.oneIn(60) {
			return a.deaf(ctx, r.Addresses.API, []byte("GET /openapi.json HTTP/1.1\r\nHost: "+r.Addresses.API+"\r\n\r\n"), 200)
		}
		if g.oneIn(12) {
			return a.speakHTTP(ctx, g, r.Addresses.APIMetrics, func() request {
				return request{method: "GET", target: "/metrics", host: r.Addresses.APIMetrics}
			})
		}
		return a.speakHTTP(ctx, g, r.Addresses.API, func() request { return r.apiRequest(g, operations, schemas) })
	}})
}

// TestTheGrammarOfHTTPIsUnderstood: what a round without mutations writes is served, so that what it is mutated from
// reaches the code behind the parsers.
func TestTheGrammarOfHTTPIsUnderstood(t *testing.T) {
	r := shared.get(t)
	operations, schemas := r.operations()
	for name, c := range map[string]struct {
		address string
		one     func(g *gen) request
	}{
		"parent": {r.Addresses.Parent, func(g *gen) request { return r.parentRequest(g, r.Addresses.Parent) }},
		"api":    {r.Addresses.API, func(g *gen) request { return r.apiRequest(g, operations, schemas) }},
	} {
		a := &arena{rig: r}
		statuses := map[string]int{}
		for i := range 60 {
			g := newGen(1, name, i)
			g.odds = 0
			q := c.one(g)
			pieces := g.write(q)
			heard, err := a.speak(t.Context(), g, "tcp", c.address, pieces)
			if err != nil {
				t.Fatal(err)
			}
			if len(heard) > 12 {
				statuses[string(heard[9:12])]++
			}
		}
		if statuses["200"] < 10 {
			t.Errorf("%s: statuses %v", name, statuses)
		}
		t.Log(name, fmt.Sprint(statuses))
	}
}
