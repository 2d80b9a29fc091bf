package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// TestEachKindHasANameAndATextOfItsOwn: programs tell kinds apart by name, people by text.
func TestEachKindHasANameAndATextOfItsOwn(t *testing.T) {
	names, texts := map[string]bool{}, map[string]bool{}
	for k := range expressionKinds {
		name, text := k.String(), k.Text()
		if names[name] || texts[text] || text == "" || strings.ContainsAny(name+text, `"\`) {
			t.Errorf("kind %d: %q, %q", k, name, text)
		}
		names[name], texts[text] = true, true
	}
	if k := ExpressionKind(200); k.String() != "" || k.Text() != ExpressionFailed.Text() {
		t.Errorf("a kind of a later version is %q, %q", k, k.Text())
	}
}

func TestProblemsAreJSONOfBoundedSize(t *testing.T) {
	type position struct{ Line, Column uint32 }
	longest := 0
	for c := range codeCount {
		for k := range expressionKinds {
			f := Failure{Kind: k, Line: math.MaxUint32, Column: math.MaxUint32}
			b := AppendProblem(nil, c, f)
			var got struct {
				Code, Message, Kind string
				Position            *position
			}
			if err := json.Unmarshal(b, &got); err != nil || got.Code != c.String() {
				t.Fatalf("%s: %v", b, err)
			}
			told := c == ExpressionFailed && k != ExpressionUntold
			if told != (got.Kind != "") || told != (got.Position != nil) || (got.Message == k.Text()) != (c == ExpressionFailed) {
				t.Errorf("%v, kind %d: %s", c, k, b)
			}
			longest = max(longest, len(b))
		}
	}
	if longest > MaxProblem {
		t.Errorf("a problem takes %d bytes, more than MaxProblem", longest)
	}
	if b := AppendProblem(nil, ExpressionFailed, Failure{Kind: ExpressionCycle}); strings.Contains(string(b), "position") {
		t.Errorf("a position that is none: %s", b)
	}
}
