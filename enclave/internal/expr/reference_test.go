package expr

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

var documented = fieldsOf("name", "Bob", "email", "Bob@Example.org", "phone", "+15551234567", "ssn9", "123456789",
	"dob", "1979-04-05", "birth_date", "1979-01-01", "note", nil)

// example is one case of testdata/reference.json and testdata/differences.json.
type example struct {
	Expression string `json:"expression"`
	// Want is the value as JSON, or "error: KIND".
	Want json.RawMessage `json:"want"`
	// Error is the kind of the error, where that is wanted.
	Error string `json:"error"`
	// Reference is what the reference answers and Reason why we do not (differences only).
	Reference string `json:"reference"`
	Reason    string `json:"reason"`
}

func loadExamples(t *testing.T, file string) []example {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var examples []example
	if err := json.Unmarshal(data, &examples); err != nil {
		t.Fatal(err)
	}
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	return examples
}

func runExamples(t *testing.T, examples []example) {
	t.Helper()
	e := newTest(t, Config{})
	for _, x := range examples {
		want := string(x.Want)
		if x.Error != "" {
			want = "error: " + x.Error
		}
		if got := eval1(t, e, documented, x.Expression); got != want {
			t.Errorf("%s: got %s, want %s", x.Expression, got, want)
		}
	}
}

// TestReferenceExamples holds each example of the reference's tests and documents, and its behaviours one by one.
func TestReferenceExamples(t *testing.T) { runExamples(t, loadExamples(t, "testdata/reference.json")) }

// TestIntendedDifferences holds each case in which we differ from the reference on purpose.
func TestIntendedDifferences(t *testing.T) {
	examples := loadExamples(t, "testdata/differences.json")
	for _, x := range examples {
		if x.Reason == "" || x.Reference == "" {
			t.Errorf("%s: a difference needs the reference's answer and a reason", x.Expression)
		}
	}
	runExamples(t, examples)
}

// code finds the code spans of a line of Markdown.
var code = regexp.MustCompile("`([^`]*)`")

// TestReadmeExamples runs the last two code spans of each row of each table that has examples.
func TestReadmeExamples(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	e := newTest(t, Config{})
	count, inTable := 0, false
	for line := range strings.Lines(string(data)) {
		switch {
		case strings.HasPrefix(line, "| function |"):
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "|---"):
			spans := code.FindAllStringSubmatch(line, -1)
			if len(spans) < 2 {
				t.Errorf("row without example: %s", line)
				continue
			}
			source, want := spans[len(spans)-2][1], spans[len(spans)-1][1]
			if got := eval1(t, e, documented, source); got != want {
				t.Errorf("%s: got %s, want %s", source, got, want)
			}
			count++
		}
	}
	if count < 50 {
		t.Errorf("only %d examples found", count)
	}
}

// namesIn returns the code spans in the first column of README.md's tables whose header begins so, without arguments.
func namesIn(t *testing.T, header string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	names, inTable := map[string]bool{}, false
	for line := range strings.Lines(string(data)) {
		inTable = strings.HasPrefix(line, header) || inTable && strings.HasPrefix(line, "|")
		if inTable {
			for _, span := range code.FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
				name, _, _ := strings.Cut(span[1], "(")
				names[name] = true
			}
		}
	}
	return names
}

// TestEveryFunctionIsDocumented: each has a row of its own, whose example TestReadmeExamples runs.
func TestEveryFunctionIsDocumented(t *testing.T) {
	names := namesIn(t, "| function |")
	for _, s := range (library{}).signatures() {
		if !strings.HasPrefix(s.name, "@") && !names[s.name] {
			t.Errorf("%s has no row in README.md", s.name)
		}
	}
}

// TestWhatReducesIsDocumented: the page for callers and the package's doc name each function that [reducers] has, but for
// the parts of a time, which they name together.
func TestWhatReducesIsDocumented(t *testing.T) {
	names := namesIn(t, "| reduces |")
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range (library{}).signatures() {
		r, listed := reducers[s.name]
		if strings.HasPrefix(s.name, "@") || r == partOfTime || r == dayOfYear {
			continue
		}
		if listed != names[s.name] {
			t.Errorf("%s reduces: %v; its row in README.md: %v", s.name, listed, names[s.name])
		}
		if listed && !regexp.MustCompile(`(?m)^//   [ -] .*\b`+s.name+`\b`).Match(doc) {
			t.Errorf("%s reduces, which doc.go does not say", s.name)
		}
	}
}

// TestMethodAndCallForm calls every function of one subject in both forms.
func TestMethodAndCallForm(t *testing.T) {
	e := newTest(t, Config{})
	for _, s := range (library{}).signatures() {
		if s.forms != both || s.one == nil {
			continue
		}
		for _, subject := range []string{
			"name", "dob", "'Qm9i'", "'426f'", "date(dob)", "'1h'", "'7'", "[1]",
			"'2020-01-01T00:00:00Z'", "note", "5",
		} {
			method := eval1(t, e, documented, subject+"."+s.name+"()")
			call := eval1(t, e, documented, s.name+"("+subject+")")
			if method != call {
				t.Errorf("%s of %s: method %s, call %s", s.name, subject, method, call)
			}
		}
	}
}
