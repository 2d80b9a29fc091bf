package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/pages"
)

// constants are those that the comments of the file's fields name.
var constants = map[string]any{
	"MaxRegions": MaxRegions, "MaxCacheKeys": MaxCacheKeys, "MaxCacheContexts": MaxCacheContexts,
	"MaxHMACKeyBytes": MaxHMACKeyBytes, "MaxDomainKeys": MaxDomainKeys, "MaxDomainRules": MaxDomainRules,
	"MaxKMSVaults": MaxKMSVaults,
}

// file describes enclave.yaml.
var file = pages.File{Root: "Config", Tag: "yaml", Values: constants, Default: defaultOf}

// defaultOf is the default of the key at a dotted path, empty for none.
func defaultOf(path string) string {
	v := reflect.ValueOf(*Default())
	for key := range strings.SplitSeq(path, ".") {
		if v = field(v, key); !v.IsValid() {
			return ""
		}
	}
	return written(v)
}

func field(v reflect.Value, key string) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// written is a value as the file has it, empty for a section and for what is empty.
func written(v reflect.Value) string {
	if d, ok := v.Interface().(time.Duration); ok {
		return short(d)
	}
	switch {
	case v.Kind() == reflect.Slice && v.Len() > 0:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = fmt.Sprint(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case v.Kind() == reflect.String, v.CanInt(), v.Kind() == reflect.Bool:
		return fmt.Sprint(v)
	}
	return ""
}

// short is a duration without the parts that are zero.
func short(d time.Duration) string {
	s := strings.TrimSuffix(d.String(), "0s")
	if d < time.Minute {
		s = d.String()
	}
	if d >= time.Hour {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func TestTheReferenceIsCurrent(t *testing.T) {
	pages.Reference(t, "enclave.yaml", file.Render(t))
}

func TestEachLimitIsInItsKeysComment(t *testing.T) {
	comments := map[string]string{}
	for _, k := range file.Keys(t) {
		comments[k.Path] = k.Text
	}
	for _, b := range Default().bounds() {
		for _, limit := range []string{b.low, b.high} {
			if d, err := time.ParseDuration(limit); err == nil && strings.HasSuffix(limit, "s") {
				limit = short(d)
			}
			if !strings.Contains(" "+strings.NewReplacer(".", " ", ",", " ", ";", " ").Replace(comments[b.key]), " "+limit+" ") {
				t.Errorf("%s: the comment does not name the limit %s: %s", b.key, limit, comments[b.key])
			}
		}
		if b.err != nil {
			t.Errorf("the default of %s is not within its limits", b.key)
		}
	}
}
