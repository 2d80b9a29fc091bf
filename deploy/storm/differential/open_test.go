//go:build differential

package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

// ask is what is asked of a record: independent of how the record is sealed.
type ask struct {
	vault       string
	fields      map[string]string // plaintexts
	expressions map[string]string
	include     []string
	damaged     string // the field whose tag is changed; empty: none
	context     bool
}

// sources are expressions with every kind of end: a value of each type, an error in the source, one in evaluation, and
// one that uses another.
var sources = []string{
	`a`, `a + b`, `size(a) > 3`, `a.to_uppercase()`, `[a, b]`, `{"x": a}`, `sha256(a)`, keyed, `1 / 0`, `nosuch`, `a +`,
	`a == b`, `double(size(b)) / 3.0`, `b.substring(1)`, `x0 + "!"`, `a in [b]`, `a.matches("^[0-9]+$")`, `null`,
}

// keyed has a result that depends on the stack's own key.
const keyed = `hmac_sha256(b)`

func randomText(r *rand.Rand, most int) string {
	letters := []rune("abcdefghij 0123456789-ÄÖ€\"\\<&\x01漢😀")
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// asksOf draws n asks of a seed.
func asksOf(seed uint64, n int) (out []ask) {
	r := rand.New(rand.NewPCG(seed, 11))
	for i := range n {
		a := ask{
			vault: fmt.Sprintf("v_%d_%d", seed, i), fields: map[string]string{"a": randomText(r, 40), "b": randomText(r, 40)},
			expressions: map[string]string{}, context: r.IntN(2) == 0,
		}
		for k := range r.IntN(4) {
			a.fields[fmt.Sprintf("f_%d", k)] = randomText(r, 200)
		}
		for k := range r.IntN(5) {
			a.expressions[fmt.Sprintf("x%d", k)] = sources[r.IntN(len(sources))]
		}
		switch names := slices.Sorted(maps.Keys(a.fields)); r.IntN(4) {
		case 0:
			a.include = names[:r.IntN(len(names))]
		case 1:
			a.damaged = names[r.IntN(len(names))]
		}
		out = append(out, a)
	}
	return out
}

// form is a way in which a record can be sealed and stored.
type form struct {
	suite    sealed.Suite
	encoding sealed.Encoding
}

func forms() (out []form) {
	for _, s := range sealed.Suites() {
		for e := sealed.EncodingHex; e <= sealed.EncodingRecord; e++ {
			out = append(out, form{s, e})
		}
	}
	return out
}

// requestOf seals an ask in a form, with a key of a stack.
func (s *stack) requestOf(ctx context.Context, a *ask, f form) (*parentapi.Request[string], error) {
	rec, err := testkit.Seal(ctx, testkit.KMSClient(s.Addresses.KMS), testkit.RecordOptions{
		VaultID: a.vault, Suite: f.suite, Encoding: f.encoding, Context: a.context, Fields: a.fields,
	})
	if err != nil {
		return nil, err
	}
	req := rec.Request(a.expressions)
	req.Include = a.include
	if a.damaged != "" {
		req.Fields[a.damaged] = damage(req.Fields[a.damaged], f.encoding)
	}
	return req, nil
}

// damage changes a bit of the tag, at the end in every encoding.
func damage(stored string, e sealed.Encoding) string {
	at, digits := len(stored)-1, "0123456789abcdef"
	if e != sealed.EncodingHex {
		at, digits = len(strings.TrimRight(stored, "="))-5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	}
	next := digits[(strings.IndexByte(digits, stored[at])+1)%len(digits)]
	return stored[:at] + string(next) + stored[at+1:]
}

// outcome is an answer in a form that can be compared: JSON with sorted members, without what may differ.
func outcome(status int, body []byte) (string, error) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return "", fmt.Errorf("status %d: %w: %s", status, err, body)
	}
	if m, ok := v.(map[string]any); ok {
		delete(m, "status") // a batch's items have it
		if e, ok := m["error"].(map[string]any); ok {
			v = e // and their error
		}
	}
	text, err := json.Marshal(v)
	return fmt.Sprint(status, " ", string(text)), err
}

// single asks the route of one record.
func (s *stack) single(ctx context.Context, path string, req *parentapi.Request[string]) (string, error) {
	body, err := req.JSON()
	if err != nil {
		return "", err
	}
	a, err := post(ctx, "http://"+s.Addresses.Parent+path, body)
	if err != nil {
		return "", err
	}
	return outcome(a.status, a.body)
}

// batch asks for all at once.
func (s *stack) batch(ctx context.Context, reqs []*parentapi.Request[string]) ([]string, error) {
	body, err := json.Marshal(&parentapi.Batch[string]{Items: reqs})
	if err != nil {
		return nil, err
	}
	a, err := post(ctx, "http://"+s.Addresses.Parent+parentapi.PathBatch, body)
	if err != nil {
		return nil, err
	}
	var out struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(a.body, &out); err != nil || len(out.Items) != len(reqs) {
		return nil, fmt.Errorf("status %d, %d items, %w: %.300s", a.status, len(out.Items), err, a.body)
	}
	texts := make([]string, len(reqs))
	for i, item := range out.Items {
		var head struct {
			Status int `json:"status"`
		}
		if err := json.Unmarshal(item, &head); err != nil {
			return nil, err
		}
		if texts[i], err = outcome(head.Status, item); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// differences compares results by the name of the way in which they came about.
func differences(results map[string][]string) (out []string) {
	ways := slices.Sorted(maps.Keys(results))
	for _, way := range ways[1:] {
		a, b := results[ways[0]], results[way]
		if len(a) != len(b) {
			out = append(out, fmt.Sprintf("%s has %d results, %s %d", ways[0], len(a), way, len(b)))
			continue
		}
		for i := range a {
			if a[i] != b[i] {
				out = append(out, fmt.Sprintf("request %d\n%s: %s\n%s: %s", i, ways[0], a[i], way, b[i]))
			}
		}
	}
	return out
}

// judge fails on a difference, and on a comparison that finds none where one is planted.
func judge(t *testing.T, results map[string][]string) {
	t.Helper()
	if len(results) < 2 {
		t.Fatal("nothing to compare with")
	}
	for _, d := range differences(results) {
		t.Error(d)
	}
	if t.Failed() {
		return
	}
	for way := range results {
		for _, plant := range []func([]string) []string{
			func(s []string) []string { s[len(s)-1] = strings.Replace(s[len(s)-1], "20", "40", 1) + " "; return s },
			func(s []string) []string { return s[1:] },
		} {
			planted := maps.Clone(results)
			planted[way] = plant(slices.Clone(results[way]))
			if len(differences(planted)) == 0 {
				t.Fatalf("a difference planted into %s was not found", way)
			}
		}
	}
}

// ways asks everything of a stack in every form, one by one and in a batch.
func (s *stack) ways(t *testing.T, name string, asks []ask, forms []form) map[string][]string {
	t.Helper()
	results := map[string][]string{}
	for _, f := range forms {
		way := fmt.Sprintf("%s, %v, encoding %d", name, f.suite, f.encoding)
		reqs := make([]*parentapi.Request[string], len(asks))
		for i := range asks {
			var err error
			if reqs[i], err = s.requestOf(t.Context(), &asks[i], f); err != nil {
				t.Fatal(err)
			}
			one, err := s.single(t.Context(), parentapi.PathV1Decrypt, reqs[i])
			if err != nil {
				t.Fatal(err)
			}
			results[way] = append(results[way], one)
		}
		var err error
		if results[way+", batch"], err = s.batch(t.Context(), reqs); err != nil {
			t.Fatal(err)
		}
	}
	return results
}

func TestEncodingsSuitesAndBatchesAnswerAlike(t *testing.T) {
	s := start(t, bin, bin)
	forSeeds(t, 1, func(t *testing.T, seed uint64) {
		judge(t, s.ways(t, "today", asksOf(seed, 12), forms()))
	})
}

// The reference's route too: its answers are of another form than /v1's, but the same for each encoding.
func TestTheReferencesRouteAnswersEachEncodingAlike(t *testing.T) {
	s := start(t, bin, bin)
	forSeeds(t, 1, func(t *testing.T, seed uint64) {
		results := map[string][]string{}
		for _, f := range forms() {
			for _, a := range asksOf(seed, 12) {
				req, err := s.requestOf(t.Context(), &a, f)
				if err != nil {
					t.Fatal(err)
				}
				one, err := s.single(t.Context(), parentapi.PathDecrypt, req)
				if err != nil {
					t.Fatal(err)
				}
				way := fmt.Sprintf("%v, encoding %d", f.suite, f.encoding)
				results[way] = append(results[way], one)
			}
		}
		judge(t, results)
	})
}

// A roll in either order: the parent first, or the enclave.
func TestVersionsAnswerAlike(t *testing.T) {
	if oldBin == "" {
		t.Skip("no programs of an earlier commit: the repository has no history (make test-differential builds them)")
	}
	stacks := map[string]*stack{
		"today": start(t, bin, bin), "an enclave of before": start(t, bin, oldBin), "a parent of before": start(t, oldBin, bin),
	}
	some := []form{{sealed.P256, sealed.EncodingField}, {sealed.P384, sealed.EncodingRecord}, {sealed.P521, sealed.EncodingHex}}
	forSeeds(t, 1, func(t *testing.T, seed uint64) {
		all := map[string][]string{}
		for name, s := range stacks {
			asks := asksOf(seed, 12)
			for i := range asks {
				maps.DeleteFunc(asks[i].expressions, func(_, source string) bool { return source == keyed })
			}
			maps.Copy(all, s.ways(t, name, asks, some))
		}
		judge(t, all)
	})
}
