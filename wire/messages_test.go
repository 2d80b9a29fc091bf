package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// parsed are the files of this folder that a pattern finds.
func parsed(t *testing.T, pattern string, tests bool) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// functions are the names of a file's functions; a method's is "Type.Method".
func functions(files []*ast.File) map[string]bool {
	found := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil {
				if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok {
					if typ, ok := star.X.(*ast.Ident); ok {
						name = typ.Name + "." + name
					}
				}
			}
			found[name] = true
		}
	}
	return found
}

// TestEveryMessageIsHeldToTheSame: a type that decodes itself has vectors, good and bad, a generator and a fuzzer.
func TestEveryMessageIsHeldToTheSame(t *testing.T) {
	fuzzers := functions(parsed(t, "*.go", true))
	good, bad := map[string]bool{}, map[string]bool{}
	for _, v := range vectors(t) {
		bad[v.Type] = bad[v.Type] || v.Invalid
		good[v.Type] = good[v.Type] || !v.Invalid && !v.Lax
	}
	types := []string{"Header"}
	for name := range functions(parsed(t, "*.go", false)) {
		if typ, ok := strings.CutSuffix(name, ".Decode"); ok {
			types = append(types, typ)
		}
	}
	if len(types) < 15 {
		t.Fatalf("only %d messages found", len(types))
	}
	for _, typ := range types {
		for what, there := range map[string]bool{
			"is not in messages (vectors_test.go)":             messages[typ] != nil,
			"has no generator (property_test.go)":              generators[typ] != nil,
			"has no fuzzer (fuzz_test.go)":                     fuzzers["Fuzz"+typ],
			"has no vector (testdata/make_vectors.py)":         good[typ],
			"has no invalid vector (testdata/make_vectors.py)": bad[typ],
		} {
			if !there {
				t.Errorf("%s %s", typ, what)
			}
		}
	}
}

// kinds are the names and numbers of frames: numbers.txt has them all, TestNoNumberOnTheWireChanges sees to that.
func kinds(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/numbers.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^wire\.Kind +(\d+) (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		found[m[2]] = m[1]
	}
	if len(found) < 15 {
		t.Fatalf("only %d kinds found", len(found))
	}
	return found
}

func nameOf(t *testing.T, number Kind) string {
	t.Helper()
	for name, n := range kinds(t) {
		if n == strconv.Itoa(int(number)) {
			return name
		}
	}
	t.Fatalf("kind %d has no name", number)
	return ""
}

// TestEveryKindHasItsLayoutInTheDoc: peers in other languages are written from it.
func TestEveryKindHasItsLayoutInTheDoc(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "// # Messages\n")
	text, _, _ = strings.Cut(text, "// # Versions\n")
	for name, number := range kinds(t) {
		if !regexp.MustCompile(`(?m)^//\t` + number + ` +\w`).MatchString(text) {
			t.Errorf("kind %s, %s, has no line", number, name)
		}
	}
}

// TestEveryKindIsTakenByOneSide of a session: a control message that neither side has a case for is answered as unknown.
func TestEveryKindIsTakenByOneSide(t *testing.T) {
	taken := map[string]bool{"KindHello": true} // begins the control stream
	for number := range Kind(255) {
		if _, ok := number.LaneRequest(); ok { // its answer has the next number, and whoever asks takes it
			taken[nameOf(t, number)], taken[nameOf(t, number+1)] = true, true
		}
	}
	for _, f := range parsed(t, "session/control_*.go", false) {
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CaseClause); ok {
				for _, x := range c.List {
					if s, ok := x.(*ast.SelectorExpr); ok {
						taken[s.Sel.Name] = true
					}
				}
			}
			return true
		})
	}
	for name := range kinds(t) {
		if !taken[name] {
			t.Errorf("%s is in no case of session/control_client.go and control_server.go", name)
		}
	}
}
