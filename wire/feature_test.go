package wire_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"redoubt/wire"
)

// TestEveryFeatureStandsInTheTable compares the constants of the source with the table: a constant without a row would
// be announced by nobody, and a row without a constant could be asked for by nobody.
func TestEveryFeatureStandsInTheTable(t *testing.T) {
	t.Parallel()
	constants := map[string]bool{}
	for _, line := range numbers(t, ".") {
		if name, ok := strings.CutPrefix(line, "wire.Features "); ok {
			constants[strings.Join(strings.Fields(name), " ")] = true
		}
	}
	for bit := range 64 {
		f := wire.Features(1) << bit
		info, announced := f.Info(), wire.AllFeatures().Has(f)
		if announced != (info.Since != "") || info.Since != "" && (info.Name == "" || !strings.HasSuffix(info.For, ".")) {
			t.Errorf("bit %d, announced %v: %+v", bit, announced, info)
		}
		name := fmt.Sprintf("%d Feature%s", f, camel(info.Name))
		if constants[name] != announced {
			t.Errorf("bit %d: constant %q is there: %v; the table announces it: %v", bit, name, constants[name], announced)
		}
		delete(constants, name)
	}
	for name := range constants {
		t.Errorf("%s stands in no row of the table of features, or is more than one bit", name)
	}
}

// camel is a name of the table as constants have it.
func camel(name string) string {
	var out strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if word != "" {
			out.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return out.String()
}

// TestTheDocumentListsTheFeatures compares the section of the package's doc with the table.
func TestTheDocumentListsTheFeatures(t *testing.T) {
	t.Parallel()
	const file, begin, end = "doc.go", "// # Features\n//\n", "// # Sources\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	old, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatal("the section is not there")
	}
	var want strings.Builder
	for bit := range 64 {
		info := (wire.Features(1) << bit).Info()
		if info.Name == "" {
			continue
		}
		words := strings.Fields(info.For)
		if info.Since != "" {
			words = append(words, strings.Fields("Since "+info.Since+".")...)
		}
		lead := fmt.Sprintf("//\t%-4d %-16s", bit, info.Name)
		for len(words) > 0 {
			n, width := 0, 0
			for n < len(words) && width+1+len(words[n]) <= 93 {
				width += 1 + len(words[n])
				n++
			}
			fmt.Fprintf(&want, "%s %s\n", lead, strings.Join(words[:n], " "))
			lead, words = fmt.Sprintf("//\t%21s", ""), words[n:]
		}
	}
	want.WriteString("//\n")
	switch {
	case old == want.String():
	case *writeNumbers:
		if err := os.WriteFile(file, []byte(before+begin+want.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the features of the package's doc are not the table's: go test ./wire -run %s -write-numbers\n%s",
			t.Name(), want.String())
	}
}

func TestFeaturesHaveNames(t *testing.T) {
	t.Parallel()
	f := wire.FeatureEgress | wire.FeatureAccessReport | 1<<50
	if got := f.String(); got != "egress,access_report,bit_50" {
		t.Error(got)
	}
	if names := strings.Split(wire.AllFeatures().String(), ","); len(names) < 9 || slices.Contains(names, "unpadded_reply") {
		t.Error(names)
	}
	if f.Info() != (wire.FeatureInfo{}) || wire.Features(0).Info() != (wire.FeatureInfo{}) {
		t.Error("several bits, or none, have a description")
	}
}
