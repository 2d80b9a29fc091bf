package h1_test

import (
	"net/url"
	"slices"
	"testing"

	"redoubt/wire/kit/h1"
)

func TestQueryReadsEveryPartOrNone(t *testing.T) {
	for raw, want := range map[string][]h1.Parameter{
		"":                  nil,
		"a=1":               {{"a", "1"}},
		"a=":                {{"a", ""}},
		"b=2&a=1&b=3":       {{"b", "2"}, {"a", "1"}, {"b", "3"}},
		"a=x%26y%3d+z=w":    {{"a", "x&y= z=w"}},
		"%61=%c3%a9&=empty": {{"a", "é"}, {"", "empty"}},
	} {
		if got, ok := h1.Query(raw); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", raw, got, ok, want)
		}
	}
	for _, raw := range []string{"a", "a=1&", "&a=1", "a=1&&b=2", "a=1;b=2", "a=%", "a=%4", "%zz=1", "a=%ff", "\xff=1", "a=1#b"} {
		if got, ok := h1.Query(raw); ok {
			t.Errorf("%q was read as %q", raw, got)
		}
	}
}

// The standard library reads each query that Query accepts in the same way.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a=%20+%2b", "a=1;b", "=&=", "a==b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		all, ok := h1.Query(raw)
		if !ok {
			return
		}
		got := url.Values{}
		for _, p := range all {
			got.Add(p.Name, p.Value)
		}
		want, err := url.ParseQuery(raw)
		if err != nil || got.Encode() != want.Encode() {
			t.Errorf("%q: %v, the library reads %v %v", raw, got, want, err)
		}
	})
}
