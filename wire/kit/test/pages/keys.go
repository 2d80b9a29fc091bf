package pages

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// File describes the structure of a configuration file by the Go type that it is read into.
type File struct {
	// Root is the type's name; Tag is the struct tag that names keys: yaml or json.
	Root, Tag string
	// Default is the default of the key at a dotted path, empty for none. Nil: the file has no defaults.
	Default func(path string) string
	// Values replace [Name] in comments.
	Values map[string]any
}

// Key is a key of a file.
type Key struct{ Path, Type, Text string }

// Keys lists the keys of a file with the comments of the fields they are read into, from the sources of the test's own
// package. A key without a comment fails the test.
func (f File) Keys(t T) []Key {
	t.Helper()
	w := walker{File: f, t: t, types: map[string]*ast.StructType{}, names: map[string]string{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		w.collect(file)
	}
	for _, s := range w.types {
		for _, field := range s.Fields.List {
			for _, id := range field.Names {
				if key, _ := f.key(field); key != "" {
					w.names[id.Name] = key
				}
			}
		}
	}
	w.walk(f.Root, "")
	return w.keys
}

// Render renders the keys as a table.
func (f File) Render(t T) string {
	t.Helper()
	var b strings.Builder
	head, rule := "| key | type | what it says |\n", "|---|---|---|\n"
	if f.Default != nil {
		head, rule = "| key | type | default | what it says |\n", "|---|---|---|---|\n"
	}
	b.WriteString(head + rule)
	for _, k := range f.Keys(t) {
		fmt.Fprintf(&b, "| `%s` | %s |", k.Path, k.Type)
		if f.Default != nil {
			d := "none"
			if v := f.Default(k.Path); v != "" {
				d = "`" + v + "`"
			}
			fmt.Fprintf(&b, " %s |", d)
		}
		fmt.Fprintf(&b, " %s |\n", k.Text)
	}
	return b.String()
}

type walker struct {
	File

	t     T
	types map[string]*ast.StructType
	names map[string]string // of keys, by their field's
	keys  []Key
}

func (w *walker) collect(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			// A type that exists under a build tag only has more fields there.
			if s, ok := spec.Type.(*ast.StructType); ok {
				if old := w.types[spec.Name.Name]; old == nil || len(s.Fields.List) > len(old.Fields.List) {
					w.types[spec.Name.Name] = s
				}
			}
		}
		return true
	})
}

// key is the name that a field has in the file, empty if it is not read, and whether its own fields stand in its place.
func (f File) key(field *ast.Field) (name string, inline bool) {
	if field.Tag == nil {
		return "", false
	}
	value := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get(f.Tag)
	name, options, _ := strings.Cut(value, ",")
	return name, strings.Contains(options, "inline")
}

func (w *walker) walk(of, prefix string) {
	s := w.types[of]
	if s == nil {
		w.t.Fatalf("no type %s", of)
	}
	for _, field := range s.Fields.List {
		key, inline := w.key(field)
		if inline {
			w.walk(typeName(field.Type), prefix)
			continue
		}
		if key == "" {
			continue
		}
		comment := field.Doc.Text() + field.Comment.Text()
		if comment == "" {
			w.t.Errorf("%s%s has no comment", prefix, key)
		}
		kind, nested := w.kind(field.Type)
		w.keys = append(w.keys, Key{prefix + key, kind, w.text(field, comment)})
		if nested != "" {
			if strings.HasPrefix(kind, "list") {
				key += "[]"
			}
			w.walk(nested, prefix+key+".")
		}
	}
}

// kind is a type as the file's author knows it, and the struct that it holds.
func (w *walker) kind(e ast.Expr) (kind, nested string) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return w.kind(e.X)
	case *ast.ArrayType:
		of, nested := w.kind(e.Elt)
		return "list of " + plural[of], nested
	case *ast.MapType:
		key, _ := w.kind(e.Key)
		value, _ := w.kind(e.Value)
		return "map of " + key + " to " + value, ""
	}
	switch name := typeName(e); name {
	case "string":
		return "text", ""
	case "bool":
		return "true or false", ""
	case "Duration":
		return "time", ""
	case "int", "int64", "uint32", "float64":
		return "number", ""
	default:
		if w.types[name] == nil {
			w.t.Fatalf("no word for type %s", name)
		}
		return "section", name
	}
}

var plural = map[string]string{"text": "texts", "number": "numbers", "section": "sections"}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.StarExpr:
		return typeName(e.X)
	}
	return ""
}

var (
	link     = regexp.MustCompile(`\[(\w+)\]`)
	repeated = regexp.MustCompile(`Default \[\w+\][;,.:] ?`)
	word     = regexp.MustCompile(`\w+`)
	hump     = regexp.MustCompile(`[a-z][A-Z]|[A-Z][A-Z][a-z]`)
)

// text turns a field's comment into what the file's author reads: values for links, keys for fields' names. The default
// goes where the table has a column for it.
func (w *walker) text(field *ast.Field, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	if w.Default != nil {
		text = repeated.ReplaceAllString(text, "")
	}
	text = link.ReplaceAllStringFunc(text, func(m string) string {
		v, ok := w.Values[m[1:len(m)-1]]
		switch {
		case ok:
			return fmt.Sprint(v)
		case unicode.IsDigit(rune(m[1])):
			return m
		}
		w.t.Errorf("no value for %s in: %s", m, text)
		return m
	})
	first := true
	text = word.ReplaceAllStringFunc(text, func(m string) string {
		own := first && len(field.Names) > 0 && m == field.Names[0].Name
		first = false
		if key, ok := w.names[m]; ok && (own || hump.MatchString(m)) {
			return "`" + key + "`"
		}
		return m
	})
	if rest, ok := strings.CutPrefix(text, "`"+w.names[fieldName(field)]+"` "); ok {
		text = strings.TrimPrefix(strings.TrimPrefix(rest, "is "), "are ")
	}
	return cell(sentences(text))
}

func fieldName(field *ast.Field) string {
	if len(field.Names) == 0 {
		return ""
	}
	return field.Names[0].Name
}

// sentences begins each with a capital: removing words can leave one without.
func sentences(text string) string {
	b := []rune(text)
	for i := range b {
		begins := i == 0 || i > 1 && b[i-1] == ' ' && b[i-2] == '.'
		if word, _, _ := strings.Cut(string(b[i:]), " "); begins && !strings.Contains(word, "://") {
			b[i] = unicode.ToUpper(b[i])
		}
	}
	return string(b)
}
