package expr

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// grammar writes expressions from a fuzzer's bytes: each byte chooses an alternative, and none left means the first.
type grammar struct {
	choices []byte
	names   []string // of the expressions that may be referred to
	scope   []string // variables of loops, all strings
	loops   int
}

func (g *grammar) pick(n int) int {
	if len(g.choices) == 0 {
		return 0
	}
	c := int(g.choices[0])
	g.choices = g.choices[1:]
	return c % n
}

func (g *grammar) any(d int) string {
	return []func(int) string{g.text, g.list, g.object, g.number, g.verdict, g.text}[g.pick(6)](d)
}

// text is an expression that is probably a string. Literals hold none of the letters of the sentinels.
func (g *grammar) text(d int) string {
	leaves := []string{"secret", "'0'", "other", "''", "secret", "'s'"}
	leaves = append(append(leaves, g.names...), g.scope...)
	if d <= 0 {
		return leaves[g.pick(len(leaves))]
	}
	d--
	switch g.pick(20) {
	case 0, 1, 2:
		return leaves[g.pick(len(leaves))]
	case 3, 4:
		return "(" + g.text(d) + " + " + g.text(d) + ")"
	case 5:
		return g.text(d) + ".first(" + g.number(d) + ")"
	case 6:
		return g.text(d) + ".last(" + strconv.Itoa(g.pick(7)) + ")"
	case 7:
		return g.text(d) + ".first(" + strconv.Itoa(g.pick(7)) + ")"
	case 8:
		return "mask(" + g.text(d) + ", " + g.number(d) + ")"
	case 9:
		return g.text(d) + ".mask()"
	case 10:
		return g.text(d) + []string{".redact()", ".hmac_sha256()", ".to_uppercase()", ".to_lowercase()"}[g.pick(4)]
	case 11, 12:
		return "(" + g.verdict(d) + " ? " + g.text(d) + " : " + g.text(d) + ")"
	case 13:
		return g.list(d) + "[" + g.number(d) + "]"
	case 14:
		return g.text(d) + "[" + g.number(d) + "]"
	case 15:
		return g.object(d) + []string{".a", "['a']"}[g.pick(2)]
	case 16:
		return "max(" + g.text(d) + ", " + g.text(d) + ")"
	case 17:
		return "string(" + []func(int) string{g.number, g.verdict, g.text}[g.pick(3)](d) + ")"
	case 18:
		return "string(bytes(" + g.text(d) + "))"
	default:
		return []string{"base64_decode(base64_encode(", "hex_decode(hex_encode("}[g.pick(2)] + g.text(d) + "))"
	}
}

func (g *grammar) number(d int) string {
	if d <= 0 {
		return strconv.Itoa(g.pick(8))
	}
	d--
	switch g.pick(6) {
	case 0, 1:
		return strconv.Itoa(g.pick(8))
	case 2:
		return "size(" + g.any(d) + ")"
	case 3:
		return "(" + g.number(d) + " + " + g.number(d) + ")"
	case 4:
		return "(" + g.verdict(d) + " ? " + g.number(d) + " : " + g.number(d) + ")"
	default:
		return "int(" + g.text(d) + ")"
	}
}

func (g *grammar) verdict(d int) string {
	if d <= 0 {
		return []string{"true", "false"}[g.pick(2)]
	}
	d--
	switch g.pick(7) {
	case 0:
		return []string{"true", "false"}[g.pick(2)]
	case 1:
		return "(" + g.any(d) + []string{" == ", " != "}[g.pick(2)] + g.any(d) + ")"
	case 2:
		return "(" + g.text(d) + " in " + g.list(d) + ")"
	case 3:
		return g.text(d) + "." + []string{"startsWith", "contains", "endsWith"}[g.pick(3)] + "(" + g.text(d) + ")"
	case 4:
		return g.loop(d, []string{"exists", "all", "exists_one"}[g.pick(3)], g.verdict)
	case 5:
		return "(" + g.verdict(d) + []string{" && ", " || "}[g.pick(2)] + g.verdict(d) + ")"
	default:
		return "has(" + g.object(d) + ".a)"
	}
}

func (g *grammar) list(d int) string {
	if d <= 0 {
		return "[" + g.text(0) + "]"
	}
	d--
	switch g.pick(6) {
	case 0:
		return "[" + g.text(d) + "]"
	case 1:
		return "[" + g.any(d) + ", " + g.any(d) + "]"
	case 2:
		return "(" + g.list(d) + " + " + g.list(d) + ")"
	case 3:
		return g.loop(d, "filter", g.verdict)
	case 4:
		return g.loop(d, "map", g.any)
	default:
		return "(" + g.verdict(d) + " ? " + g.list(d) + " : " + g.list(d) + ")"
	}
}

func (g *grammar) loop(d int, macro string, body func(int) string) string {
	over := g.list(d)
	if g.loops == 3 {
		return over
	}
	name := "v" + strconv.Itoa(len(g.scope))
	g.scope = append(g.scope, name)
	g.loops++
	text := fmt.Sprintf("%s.%s(%s, %s)", over, macro, name, body(d))
	g.loops--
	g.scope = g.scope[:len(g.scope)-1]
	return text
}

func (g *grammar) object(d int) string {
	if d <= 0 {
		return "{'a': " + g.text(0) + "}"
	}
	d--
	return []string{"{'a': " + g.any(d) + "}", "{'a': " + g.any(d) + ", " + g.text(d) + ": '1'}"}[g.pick(2)]
}

// Sentinels of letters that nothing else in a result has: no literal, no number, no digest, no true, false or null.
const sentinelSecret, sentinelOther = "GJKPQVWXYZ", "ÄËÏÖÜÑÇŁÆØ"

// checkAccess evaluates exprs and holds each result against what the analysis said.
func checkAccess(t *testing.T, e *Evaluator, exprs []Expression) (values int) {
	t.Helper()
	fields := fieldsOf("secret", sentinelSecret, "other", sentinelOther)
	p, err := e.Prepare(fields, exprs)
	if err != nil {
		t.Fatal(err)
	}
	read, raw := map[[2]int]bool{}, map[[2]int]bool{}
	for _, r := range p.Reads() {
		read[[2]int{r.Expression, r.Field}], raw[[2]int{r.Expression, r.Field}] = true, r.Raw
	}
	out, results := p.Eval(fields, time.Time{}, nil, nil)
	for i, r := range results {
		if r.Err != KindNone {
			continue
		}
		values++
		value := string(out[r.Start:r.End])
		for k, sentinel := range []string{sentinelSecret, sentinelOther} {
			shown := lettersOf(value, sentinel)
			at := [2]int{i, k}
			if shown > 0 && !read[at] || (shown > ReducedChars || holds(value, sentinel)) && !raw[at] {
				t.Errorf("%s: %s\nshows %d letters of %s (read %v, raw %v): %s",
					exprs[i].Name, exprs[i].Source, shown, fields[k].Name, read[at], raw[at], value)
			}
		}
	}
	return values
}

// lettersOf counts the letters of a sentinel that a value shows, in either case.
func lettersOf(value, sentinel string) (n int) {
	for _, c := range sentinel {
		if strings.ContainsAny(value, string(c)+strings.ToLower(string(c))) {
			n++
		}
	}
	return n
}

// holds says whether a value holds a sentinel as it is, in base64 or in hex.
func holds(value, sentinel string) bool {
	return containsAny(value, sentinel, base64.StdEncoding.EncodeToString([]byte(sentinel)),
		hex.EncodeToString([]byte(sentinel)))
}

// FuzzAccessNeverMissesARawField: where a result shows a field as it is, or more of it than reduced means, the analysis
// said raw; where it shows any of it, the analysis said read.
func FuzzAccessNeverMissesARawField(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		f.Add(choose(random))
	}
	e := newTest(f, Config{})
	f.Fuzz(func(t *testing.T, choices []byte) {
		checkAccess(t, e, request(choices))
	})
}

// request writes three expressions, of which the second may refer to the first, and the third to both.
func request(choices []byte) (exprs []Expression) {
	g := grammar{}
	for i := range 3 {
		g.choices = choices[len(choices)*i/3 : len(choices)*(i+1)/3]
		name := fmt.Sprintf("x%d", i)
		exprs = append(exprs, Expression{Name: []byte(name), Source: []byte(g.any(5))})
		g.names = append(g.names, name, name)
	}
	return exprs
}

// choose makes choices for three expressions of some size.
func choose(random *rand.Rand) []byte {
	choices := make([]byte, 90)
	for i := range choices {
		choices[i] = byte(random.Uint32())
	}
	return choices
}

// TestTheGrammarReachesValues: the fuzzer means something only if its expressions have values, raw, reduced and neither.
func TestTheGrammarReachesValues(t *testing.T) {
	e := newTest(t, Config{})
	random := rand.New(rand.NewPCG(1, 2))
	values, raw, reduced, none := 0, 0, 0, 0
	for range 2000 {
		exprs := request(choose(random))
		values += checkAccess(t, e, exprs)
		for _, said := range accessOf(t, e, fieldsOf("secret", "", "other", ""), exprs) {
			switch {
			case strings.Contains(said, "!"):
				raw++
			case strings.Contains(said, " "):
				reduced++
			default:
				none++
			}
		}
	}
	t.Logf("%d values; raw %d, reduced %d, none %d", values, raw, reduced, none)
	if min(values, raw, reduced, none) < 300 {
		t.Error("too few of a kind")
	}
}
