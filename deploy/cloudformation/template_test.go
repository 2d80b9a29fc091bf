package cloudformation

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

// object is a mapping of a template.
type object = map[string]any

// template is a parsed template: short forms of functions (!Ref) are in their long form.
type template struct {
	t    *testing.T
	name string
	root object
	// params are the parameters in force, and values what GetAtt, ImportValue and Ref of resources give where a test
	// needs more than a placeholder: "Resource.Attribute", "!Export", "Resource".
	params, values map[string]string
}

// load parses a template and sets its parameters: those given, else their defaults.
func load(t *testing.T, name string, params map[string]string) *template {
	t.Helper()
	data, err := os.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	tm := &template{t: t, name: name, params: map[string]string{}, values: map[string]string{}}
	tm.root = tm.parse(file.Docs[0].Body).(object)
	declared, _ := tm.root["Parameters"].(object)
	for k, v := range declared {
		if d, ok := v.(object)["Default"]; ok {
			tm.params[k] = fmt.Sprint(d)
		}
	}
	for k, v := range params {
		if declared[k] == nil {
			t.Fatalf("%s has no parameter %s", name, k)
		}
		tm.params[k] = v
	}
	for k := range declared {
		if _, ok := tm.params[k]; !ok {
			tm.params[k] = "given-" + k
		}
	}
	return tm
}

func (tm *template) parse(n ast.Node) any {
	switch n := n.(type) {
	case *ast.MappingNode:
		out := object{}
		for _, v := range n.Values {
			out[v.Key.GetToken().Value] = tm.parse(v.Value)
		}
		return out
	case *ast.SequenceNode:
		out := []any{}
		for _, v := range n.Values {
			out = append(out, tm.parse(v))
		}
		return out
	case *ast.TagNode:
		name := strings.TrimPrefix(n.Start.Value, "!")
		if name != "Ref" && name != "Condition" {
			name = "Fn::" + name
		}
		value := tm.parse(n.Value)
		if s, ok := value.(string); ok && name == "Fn::GetAtt" {
			a, b, _ := strings.Cut(s, ".")
			value = []any{a, b}
		}
		return object{name: value}
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.NullNode:
		return nil
	case ast.ScalarNode:
		return n.GetValue()
	}
	tm.t.Fatalf("%s: cannot parse a %T", tm.name, n)
	return nil
}

// noValue stands for AWS::NoValue: what has it is left out.
type noValue struct{}

// eval replaces functions by what they give.
func (tm *template) eval(v any) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			if e = tm.eval(e); e != (noValue{}) {
				out = append(out, e)
			}
		}
		return out
	case object:
		if len(v) == 1 {
			for k, arg := range v {
				if k == "Ref" || k == "Condition" && isString(arg) || strings.HasPrefix(k, "Fn::") {
					return tm.call(k, arg)
				}
			}
		}
		out := object{}
		for k, e := range v {
			if e = tm.eval(e); e != (noValue{}) {
				out[k] = e
			}
		}
		return out
	}
	return v
}

func isString(v any) bool { _, ok := v.(string); return ok }

func (tm *template) call(name string, arg any) any {
	switch name {
	case "Ref":
		return tm.ref(arg.(string))
	case "Condition":
		return tm.condition(arg.(string))
	case "Fn::If":
		branch := 2
		if a := arg.([]any); tm.condition(a[0].(string)) {
			branch = 1
		}
		return tm.eval(arg.([]any)[branch])
	case "Fn::Sub":
		return tm.sub(arg)
	}
	args := tm.eval(arg)
	list, _ := args.([]any)
	switch name {
	case "Fn::Equals":
		return fmt.Sprint(list[0]) == fmt.Sprint(list[1])
	case "Fn::Not":
		return list[0] != true
	case "Fn::And":
		return !slices.Contains(list, any(false))
	case "Fn::Or":
		return slices.Contains(list, any(true))
	case "Fn::GetAtt":
		return tm.given(fmt.Sprintf("%v.%v", list[0], list[1]))
	case "Fn::ImportValue":
		return tm.given("!" + fmt.Sprint(args))
	case "Fn::Split":
		return anys(strings.Split(fmt.Sprint(list[1]), list[0].(string)))
	case "Fn::Join":
		return strings.Join(stringsOf(list[1]), list[0].(string))
	case "Fn::Select":
		i, err := strconv.Atoi(fmt.Sprint(list[0]))
		if err != nil {
			tm.t.Fatal(err)
		}
		return list[1].([]any)[i]
	case "Fn::Base64":
		return args // a test reads it as it is
	case "Fn::GetAZs":
		return []any{region + "a", region + "b", region + "c"}
	case "Fn::Cidr":
		return []any{"net0", "net1", "net2", "net3", "net4", "net5", "net6", "net7"}
	}
	tm.t.Fatalf("%s: function %s is not known to this test", tm.name, name)
	return nil
}

func (tm *template) ref(name string) any {
	switch name {
	case "AWS::NoValue":
		return noValue{}
	case "AWS::Partition":
		return "aws"
	case "AWS::Region":
		return region
	case "AWS::AccountId":
		return account
	case "AWS::URLSuffix":
		return "amazonaws.com"
	case "AWS::StackName":
		return "redoubt-" + tm.name
	}
	if value, ok := tm.params[name]; ok {
		kind := fmt.Sprint(tm.root["Parameters"].(object)[name].(object)["Type"])
		if kind == "CommaDelimitedList" {
			return anys(strings.Split(value, ","))
		}
		return value
	}
	if tm.root["Resources"].(object)[name] == nil {
		tm.t.Fatalf("%s: Ref of %s, which is nothing", tm.name, name)
	}
	return tm.given(name)
}

// given is the value that the test set, or a placeholder.
func (tm *template) given(what string) string {
	if v, ok := tm.values[what]; ok {
		return v
	}
	return "<" + what + ">"
}

func (tm *template) condition(name string) bool {
	c, ok := tm.root["Conditions"].(object)[name]
	if !ok {
		tm.t.Fatalf("%s: no condition %s", tm.name, name)
	}
	return tm.eval(c) == true
}

var variable = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)

func (tm *template) sub(arg any) string {
	own := object{}
	text, ok := arg.(string)
	if !ok {
		text, own = arg.([]any)[0].(string), arg.([]any)[1].(object)
	}
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		name := variable.FindStringSubmatch(m)[1]
		switch v, isOwn := own[name]; {
		case isOwn:
			return fmt.Sprint(tm.eval(v))
		case strings.Contains(name, ".") && !strings.HasPrefix(name, "AWS::"):
			return tm.given(name)
		}
		return fmt.Sprint(tm.ref(name))
	})
}

// props are a resource's evaluated properties.
func (tm *template) props(resource string) object {
	tm.t.Helper()
	r, ok := tm.root["Resources"].(object)[resource].(object)
	if !ok {
		tm.t.Fatalf("%s: no resource %s", tm.name, resource)
	}
	return tm.eval(r["Properties"]).(object)
}

// ofType are the names of the resources of a type, without those whose condition does not hold.
func (tm *template) ofType(kind string) (names []string) {
	for name, r := range tm.root["Resources"].(object) {
		condition, ok := r.(object)["Condition"].(string)
		if r.(object)["Type"] == kind && (!ok || tm.condition(condition)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// at walks into a value: names of keys, or numbers of elements.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func anys(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// stringsOf is a string or a list of them.
func stringsOf(v any) (out []string) {
	l, ok := v.([]any)
	if !ok {
		l = []any{v}
	}
	for _, e := range l {
		out = append(out, fmt.Sprint(e))
	}
	return out
}
