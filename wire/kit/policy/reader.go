package policy

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"redoubt/wire/kit/program"
)

// This file reads a subset of YAML with one reading: maps with plain names, lists, text, whole numbers, numbers, and
// true and false. Anchors, aliases, merges, tags, null and numbers that are not finite are refused. No value is
// converted: text that looks like a number must be quoted where text is wanted.

const (
	maxLine  = 8192 // bytes, and so a bound on what a line can nest
	maxDepth = 32   // of brackets, and of columns of indentation in fours
)

// parseTree reads one document. The library's parser recurses: what nests too deep is found before.
func parseTree(text string) (ast.Node, error) {
	depth := 0
	for i, line := range strings.Split(text, "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		for _, c := range line {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			}
		}
		if len(line) > maxLine || indent > 4*maxDepth || depth > maxDepth || nested(line) > maxDepth {
			return nil, &Error{Line: i + 1, Problem: "too long or too deep a line"}
		}
	}
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		return nil, &Error{Line: lineOf(err), Problem: "not YAML"}
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, &Error{Problem: "not one document"}
	}
	return file.Docs[0].Body, nil
}

// nested counts the lists and keys that a line opens one in the other, as "- - ? -".
func nested(line string) int {
	return strings.Count(line, "- ") + strings.Count(line, "? ")
}

func lineOf(err error) int {
	var positioned yaml.Error
	if errors.As(err, &positioned) && positioned.GetToken() != nil && positioned.GetToken().Position != nil {
		return positioned.GetToken().Position.Line
	}
	return 0
}

// reader walks over a document. It keeps the first problem; after that, what it returns means nothing.
type reader struct{ err *Error }

func (r *reader) fail(n ast.Node, path, problem string) {
	if r.err != nil {
		return
	}
	r.err = &Error{Path: path, Problem: problem}
	if n == nil {
		return
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		r.err.Line = t.Position.Line
	}
}

// member reads the value of a map.
type member func(n ast.Node, path string)

// each reads a map of any names, in the order of the text.
func (r *reader) each(n ast.Node, path string, most int, f func(name string, n ast.Node, path string)) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		r.fail(n, path, "must be a map")
		return
	}
	if len(pairs) > most {
		r.fail(n, path, fmt.Sprintf("more than %d", most))
		return
	}
	seen := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		key, ok := p.Key.(*ast.StringNode)
		if !ok || seen[key.Value] {
			r.fail(p, path, "a name is no text, or stands twice")
			return
		}
		seen[key.Value] = true
		f(key.Value, p.Value, path)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// members reads a map whose members are known. The required ones must be there.
func (r *reader) members(n ast.Node, path string, known map[string]member, required ...string) {
	var seen []string
	r.each(n, path, len(known), func(name string, v ast.Node, path string) {
		read, ok := known[name]
		if !ok {
			r.fail(v, path, "an unknown member; known are "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		}
		seen = append(seen, name)
		read(v, join(path, name))
	})
	for _, name := range required {
		if !slices.Contains(seen, name) {
			r.fail(n, path, name+" is missing")
		}
	}
}

// list reads a list.
func (r *reader) list(n ast.Node, path string, most int, f member) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(n, path, "must be a list")
		return
	}
	if len(s.Values) > most {
		r.fail(n, path, fmt.Sprintf("more than %d", most))
		return
	}
	for i, v := range s.Values {
		f(v, path+"["+strconv.Itoa(i)+"]")
	}
}

// text reads text that is not empty, of printable characters.
func (r *reader) text(n ast.Node, path string, most int) string {
	var text string
	switch s := n.(type) {
	case *ast.StringNode:
		text = s.Value
	case *ast.LiteralNode:
		text = s.Value.Value
	default:
		r.fail(n, path, "must be text; put what looks like a number into quotes")
		return ""
	}
	if text == "" || len(text) > most {
		r.fail(n, path, fmt.Sprintf("must have 1 to %d bytes", most))
	}
	return text
}

// texts reads a list of different texts, each of which good accepts.
func (r *reader) texts(n ast.Node, path string, problem string, good func(string) bool) (out []string) {
	seen := map[string]bool{}
	r.list(n, path, MaxList, func(n ast.Node, path string) {
		text := r.text(n, path, MaxName)
		if !good(text) || seen[text] {
			r.fail(n, path, problem+", and not stand twice")
		}
		seen[text] = true
		out = append(out, text)
	})
	return out
}

// whole reads a whole number.
func (r *reader) whole(n ast.Node, path string, low, high uint64) uint64 {
	var v uint64
	i, ok := n.(*ast.IntegerNode)
	if ok {
		switch x := i.Value.(type) {
		case uint64:
			v = x
		case int64:
			v, ok = uint64(x), x >= 0
		default:
			ok = false
		}
	}
	if !ok || !program.Within(v, low, high) {
		r.fail(n, path, fmt.Sprintf("must be a whole number, %d to %d", low, high))
	}
	return v
}

// number reads a finite number.
func (r *reader) number(n ast.Node, path string, low, high float64) float64 {
	v := math.NaN()
	switch x := n.(type) {
	case *ast.IntegerNode:
		switch i := x.Value.(type) {
		case uint64:
			v = float64(i)
		case int64:
			v = float64(i)
		}
	case *ast.FloatNode:
		v = x.Value
	}
	if !program.Within(v, low, high) {
		r.fail(n, path, fmt.Sprintf("must be a number, %v to %v", low, high))
	}
	return v
}

func (r *reader) flag(n ast.Node, path string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.fail(n, path, "must be true or false")
		return false
	}
	return b.Value
}

// value reads what stands in for JSON: a set of keys as its issuer publishes it.
func (r *reader) value(n ast.Node, path string) any {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		m := map[string]any{}
		r.each(n, path, MaxList, func(name string, n ast.Node, path string) { m[name] = r.value(n, path) })
		return m
	case *ast.SequenceNode:
		list := []any{}
		r.list(n, path, MaxList, func(n ast.Node, path string) { list = append(list, r.value(n, path)) })
		return list
	case *ast.StringNode:
		return v.Value
	case *ast.BoolNode:
		return v.Value
	case *ast.IntegerNode:
		return v.Value
	}
	r.fail(n, path, "must be a map, a list, text, a whole number, true or false")
	return nil
}
