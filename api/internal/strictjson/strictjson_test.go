package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"redoubt/api/internal/schema"
)

func read(data string) (string, error) {
	o, err := Parse([]byte(data), 64)
	if err != nil {
		return "", err
	}
	s := o.String("s", false, 8)
	o.Strings("l", false, 3)
	o.StringMap("m", 2)
	o.Bool("b")
	if in := o.Object("o"); in != nil {
		in.String("x", true, 8)
		in.Unknown()
	}
	return s, o.Done()
}

func TestStrictness(t *testing.T) {
	cases := map[string]struct{ in, problem string }{
		"empty object":           {`{}`, ""},
		"all":                    {` {"s":"a","l":["x"],"m":{"k":"v"},"b":true,"o":{"x":"y"}} `, ""},
		"nulls are absent":       {`{"s":null,"l":null,"m":null,"b":null,"o":null}`, ""},
		"escapes":                {`{"s":"\ud83d\ude00\\u"}`, ""},
		"no body":                {``, "body: is not valid JSON"},
		"not JSON":               {`{s:1}`, "body: is not valid JSON"},
		"cut short":              {`{"s":"a"`, "body: is not valid JSON"},
		"trailing":               {`{} {}`, "body: is not valid JSON"},
		"trailing bracket":       {`{}]`, "body: is not valid JSON"},
		"a list":                 {`[]`, "body: must be an object"},
		"null":                   {`null`, "body: must be an object"},
		"invalid UTF-8":          {"{\"s\":\"\xff\"}", "body: is not valid JSON"},
		"lone high surrogate":    {`{"s":"\ud83d"}`, "body: is not valid JSON"},
		"lone low surrogate":     {`{"s":"\ude00x"}`, "body: is not valid JSON"},
		"high then letter":       {`{"s":"\ud83dabcdef"}`, "body: is not valid JSON"},
		"deep":                   {`{"s":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, "s: must be a string"},
		"too deep":               {strings.Repeat(`{"s":`, 200) + strings.Repeat("}", 200), "body: has too many values, at most 64"},
		"64 values":              {`{"l":[` + strings.Repeat("1,", 61) + `1]}`, "l: must be a list of strings"},
		"65 values":              {`{"l":[` + strings.Repeat("1,", 62) + `1]}`, "body: has too many values, at most 64"},
		"broken where unread":    {`{"nope":{"a":[1,{"b":tru}]}}`, "body: is not valid JSON"},
		"spaces":                 {" { \n\"s\" :\t\"a\" , \"l\" : [ \"x\" , \"y\" ] , \"m\" : { } } \r\n", ""},
		"empty list":             {`{"l":[]}`, ""},
		"object for a list":      {`{"l":{"a":"b"}}`, "l: must be a list of strings"},
		"list for an object":     {`{"o":["a"]}`, "o: must be an object; o.x: is required"},
		"too long in escapes":    {`{"s":"` + strings.Repeat(`\u0031`, 9) + `"}`, "s: is too long"},
		"long in escapes":        {`{"s":"` + strings.Repeat(`\u0031`, 8) + `"}`, ""},
		"a key too long":         {`{"` + strings.Repeat("k", 1024) + `":"a"}`, "(unnamed): has a key that is too long"},
		"duplicate":              {`{"s":"a","s":"b"}`, "s: is given twice"},
		"duplicate within":       {`{"m":{"k":"a","k":"b"}}`, "m.k: is given twice"},
		"duplicate by an escape": {`{"s":"a","\u0073":"b"}`, "s: is given twice"},
		"unknown":                {`{"nope":"a"}`, "nope: is not a known field"},
		"unknown within":         {`{"o":{"x":"a","y":"b"}}`, "o.y: is not a known field"},
		"required within":        {`{"o":{}}`, "o.x: is required"},
		"number":                 {`{"s":1}`, "s: must be a string"},
		"too long":               {`{"s":"123456789"}`, "s: is too long"},
		"bool":                   {`{"b":"true"}`, "b: must be true or false"},
		"list of numbers":        {`{"l":[1]}`, "l: must be a list of strings"},
		"list too long":          {`{"l":["","","",""]}`, "l: has too many entries"},
		"map of null":            {`{"m":{"k":null}}`, "m.k: must be a string"},
		"map too large":          {`{"m":{"a":"","b":"","c":""}}`, "m: has too many entries"},
		"case matters":           {`{"S":"a"}`, "(unnamed): is not a known field"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.in)
			got := ""
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "schema: ")
			}
			if got != c.problem {
				t.Fatalf("problem %q, want %q", got, c.problem)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"s":"a","l":["x"],"m":{"k":"v"}}`))
	f.Add([]byte(`{"s":"\ud83d\ude00"}`))
	f.Add([]byte(`{"a":{"a":[[[]]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := read(string(data))
		if err != nil {
			return
		}
		var v struct {
			S *string `json:"s"`
		}
		if json.Unmarshal(data, &v) != nil {
			t.Fatal("accepted what encoding/json refuses")
		}
		if v.S != nil && *v.S != s {
			t.Fatal("read another value than encoding/json")
		}
	})
}

func TestProblemsAreBounded(t *testing.T) {
	const many = 5_000 // and as many values are allowed
	for name, body := range map[string]string{
		"repeated key":  `{"s":"a"` + strings.Repeat(`,"s":"a"`, many) + `}`,
		"unknown keys":  `{` + members(many, `""`) + `}`,
		"wrong types":   `{"m":{` + members(2, `1`) + `},` + members(many, `1`) + `}`,
		"values of All": `{` + members(many, `1`) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			o, err := Parse([]byte(body), 2*many)
			if err == nil && name == "values of All" {
				o.All()
			}
			if err == nil {
				err = o.Done()
			}
			var problems schema.FieldErrors
			if !errors.As(err, &problems) || len(problems) != schema.MaxProblems {
				t.Fatalf("%d problems", len(problems))
			}
		})
	}
}

// members are n members with different names.
func members(n int, value string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"k%d":%s`, i, value)
	}
	return strings.Join(all, ",")
}
