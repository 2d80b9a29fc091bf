//go:build attack

package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// perByte is what SECURITY.md promises: the CPU time that parent, API and enclave together spend on a request, for each
// byte of it.
const perByte = 250 * time.Microsecond

// headBytes are the bytes of a request beside its body that an attacker cannot do without: request line, host, type,
// length.
const headBytes = 110

// candidate is a request whose cost is measured.
type candidate struct {
	api         bool // to the API, not to the parent
	items       int  // of a batch; 0: a single request
	expressions []string
	fields      int
	padding     string // JSON that stands in the place of a member nobody reads, or of a value
}

// forms of costly expressions; $ is another, x one that went before it, a field or a loop's name.
var costly = []string{
	"$", "x", "x + x", "[x, x, x, x, x, x, x, x]", "x.map(a, $)", "x.filter(a, $)", "x.all(a, $)", "x.exists_one(a, $)", "$ == $", "x in x",
	"[0,0,0,0,0,0,0,0,0,0]", "[0,0,0,0,0,0,0,0,0,0].map(a, $)", "string($)", "$.sha512()", "$.hmac_sha256()", "$.base64_encode()",
	"$.hex_encode()", "$.to_uppercase()", "$.mask(1)", "$.matches('(x+x+)+y')", "double('1.00000000000000011102230246251565')", "{'a': $}", "max($, $)",
	"$.size()", "$.contains($)", "date('2001-02-03')", "1e308", "'x'", "x + 'x'", "[x].map(a, x)", "x.map(a, x.map(a, $))", "$ ? $ : $", "a", "first_name",
}

// mutate gives a neighbour of a candidate.
func (c candidate) mutate(g *gen) candidate {
	c.expressions = slices.Clone(c.expressions)
	change := func(e string) string {
		if at := strings.Index(e, "$"); at >= 0 && g.oneIn(2) {
			return e[:at] + "(" + pick(g, costly...) + ")" + e[at+1:]
		}
		if g.oneIn(3) {
			return strings.Replace(pick(g, costly...), "$", "("+e+")", 1)
		}
		return pick(g, costly...)
	}
	switch n := len(c.expressions); {
	case n == 0 || g.oneIn(5) && n < 12:
		c.expressions = append(c.expressions, pick(g, costly...))
	case g.oneIn(6):
		c.expressions = slices.Delete(c.expressions, g.IntN(n), n)
	case g.oneIn(5):
		i := g.IntN(n)
		c.expressions = slices.Insert(c.expressions, i, c.expressions[i])
	default:
		i := g.IntN(n)
		c.expressions[i] = change(c.expressions[i])
	}
	if g.oneIn(8) {
		c.items = pick(g, 0, 0, 2, 10)
	}
	if g.oneIn(6) {
		c.fields = pick(g, 1, 1, 2, 8, 50)
	}
	if g.oneIn(8) {
		n := 1 << g.IntN(17)
		c.padding = pick(g, "", strings.Repeat("[", 60)+strings.Repeat("]", 60), strings.Repeat("0,", n)+"0", strings.Repeat(`{"a":0},`, n)+"0",
			strings.Repeat(`"\u00e9",`, n)+"0", strings.Repeat("1e300,", n)+"0")
	}
	return c
}

// body is the candidate's request: its path and the JSON of its body.
func (c candidate) body(r *rig, rec *testkit.Record) (url string, _ []byte) {
	exprs := map[string]string{}
	for i, e := range c.expressions {
		before := "first_name"
		if i > 0 {
			before = "x" + strconv.Itoa(i-1)
		}
		e = strings.ReplaceAll(e, "$", "x")
		var b strings.Builder
		for j, ch := range []byte(e) { // x alone is the name of the expression before
			if ch == 'x' && (j == 0 || !letter(e[j-1])) && (j+1 == len(e) || !letter(e[j+1])) {
				b.WriteString(before)
				continue
			}
			b.WriteByte(ch)
		}
		exprs["x"+strconv.Itoa(i)] = b.String()
	}
	if c.api {
		body := map[string]any{"fields": []string{"first_name"}, "include": []string{}, "reason": "r", "expressions": exprs}
		if c.padding != "" {
			body["fields"] = json.RawMessage("[" + c.padding + "]")
		}
		text, _ := json.Marshal(body)
		return "http://" + r.Addresses.API + "/vaults/" + r.vault + "/decrypt", text
	}
	q := rec.Request(exprs)
	q.Include = []string{}
	for name := range maps.Clone(q.Fields) {
		if name != "first_name" {
			delete(q.Fields, name)
		}
	}
	for i := 1; i < c.fields; i++ {
		q.Fields["f"+strconv.Itoa(i)] = q.Fields["first_name"]
	}
	one, err := q.JSON()
	if err != nil {
		panic(err) // a map of texts
	}
	if c.padding != "" {
		one = append(one[:len(one)-1], `,"p":[`+c.padding+`]}`...)
	}
	if c.items == 0 {
		return "http://" + r.Addresses.Parent + parentapi.PathV1Decrypt, one
	}
	all := bytes.Repeat(append(one, ','), c.items)
	return "http://" + r.Addresses.Parent + parentapi.PathBatch, fmt.Appendf(nil, `{"items":[%s]}`, all[:len(all)-1])
}

func letter(b byte) bool {
	return b == '_' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '\''
}

// cost sends a candidate and returns the CPU time that the three programs spent on it. One that costs more than beat by
// the byte is sent again: what counts is the least of three turns.
func (r *rig) cost(ctx context.Context, c candidate, rec *testkit.Record, beat float64) (by map[string]time.Duration, size int, err error) {
	const turns = 3
	url, body := c.body(r, rec)
	size = len(body) + headBytes
	programs := r.processes[1:4] // enclave, API, parent; the stand-in is not ours to spare
	for range turns {
		var before [3]time.Duration
		for i, p := range programs {
			before[i] = p.cpu()
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return nil, 0, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := r.client.Do(req)
		if err != nil {
			return nil, 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return nil, 0, err
		}
		now := map[string]time.Duration{}
		for i, p := range programs {
			now[p.name] = p.cpu() - before[i]
			now["all"] += now[p.name]
		}
		if by == nil || now["all"] < by["all"] {
			by = now
		}
		if float64(by["all"])/float64(size) < beat {
			break
		}
	}
	return by, size, nil
}

// TestNoRequestCostsMoreThanItsBytesAllow (SECURITY.md, check 42) climbs towards requests that cost the most CPU time for
// each byte, of expressions, records and batches, and fails when one costs more than is promised.
func TestNoRequestCostsMoreThanItsBytesAllow(t *testing.T) {
	r := shared.get(t)
	s := run()
	// The shortest record that opens: one field, the smallest suite.
	rec, err := testkit.Seal(t.Context(), testkit.KMSClient(r.Addresses.KMS), testkit.RecordOptions{
		VaultID: "v", Context: true, Suite: sealed.P256, WrapLocal: true, Fields: map[string]string{"first_name": "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*s.time)
	defer cancel()
	type found struct {
		candidate
		by   map[string]time.Duration
		size int
	}
	value := func(f found) float64 { return float64(f.by["all"]) / float64(f.size) }
	measure := func(c candidate, beat float64) (found, error) {
		by, size, err := r.cost(t.Context(), c, rec, beat)
		return found{c, by, size}, err
	}
	var best []found // of each kind, the dearest first
	tried, g := 0, newGen(s.seed, "cost", 0)
	// A list that grows with each expression, and loops over it in loops over it, each up to the limit of one expression.
	loops := append(append([]string{"[0,0,0,0,0,0,0,0]"}, slices.Repeat([]string{"x+x"}, 9)...),
		slices.Repeat([]string{"x9.all(a,x9.all(b,b==0))"}, 4)...)
	for _, seed := range []candidate{
		{expressions: loops},
		{api: true, expressions: loops},
		{api: true},
		{items: 10, fields: 8},
		{expressions: []string{"first_name.sha512()"}, padding: strings.Repeat("0,", 200_000) + "0"},
	} {
		f, err := measure(seed, 0)
		if err != nil {
			t.Fatal(err)
		}
		best = append(best, f)
	}
	for ctx.Err() == nil && tried < s.rounds {
		i := tried % len(best)
		f, err := measure(best[i].mutate(g), value(best[i]))
		if err != nil {
			t.Fatal(errors.Join(err, r.intact()))
		}
		if tried++; value(f) > value(best[i]) {
			best[i] = f
		}
	}
	slices.SortFunc(best, func(x, y found) int { return int(value(y) - value(x)) })
	for _, f := range best {
		again, err := measure(f.candidate, 0)
		if err != nil {
			t.Fatal(err)
		}
		if v := min(value(again), value(f)); v > float64(perByte) {
			url, body := f.body(r, rec)
			t.Errorf("%v of CPU a byte, promised are %v (SEED=%d): %s %.2000s", time.Duration(v), perByte, s.seed, url, body)
		}
		t.Logf("%v a byte of %d (%v; %v again): %+v", time.Duration(value(f)), f.size, f.by, again.by["all"], f.candidate)
	}
	t.Logf("%d candidates were tried", tried)
	if err := r.intact(); err != nil {
		t.Error(err)
	}
}
