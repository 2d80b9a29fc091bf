package yamlfile

import (
	"errors"
	"io"
	"testing"
)

type file struct {
	N    int      `yaml:"n"`
	P    *inner   `yaml:"p"`
	List []inner  `yaml:"list"`
	F    float64  `yaml:"f"`
	S    []string `yaml:"s"`
}

type inner struct {
	N int `yaml:"n"`
}

func TestNumbersAreTakenAsTheyAreWrittenOrNotAtAll(t *testing.T) {
	for text, want := range map[string]int{
		"n: 7": 7, "n: -7": -7, "n: 0x10": 16, "p: {n: 7}": 7, "list: [{n: 7}]": 7, "f: 1.5\nn: 7": 7,
		"s: [a]\nn: 1_000": 1000, "n: 1e3": 1000,
	} {
		var v file
		if err := Decode([]byte(text), &v); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		got := v.N
		if v.P != nil {
			got += v.P.N
		}
		for _, i := range v.List {
			got += i.N
		}
		if got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
	for _, text := range []string{
		"n: 1.9", "n: 1.0", "n: .nan", "n: .inf", "n: -.inf", "p: {n: 1.5}", "list: [{n: 1}, {n: 1.5}]",
		"n: 9223372036854775808", "n: 99999999999999999999", "n: many", "n: [1]", "n: 1\nn: 2", "m: 1",
	} {
		if err := Decode([]byte(text), &file{}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if err := Decode([]byte("n: 1\n---\nn: 2\n"), &file{}); !errors.Is(err, ErrDocuments) {
		t.Errorf("two documents: %v", err)
	}
	if err := Decode(nil, &file{}); !errors.Is(err, io.EOF) {
		t.Errorf("nothing: %v", err)
	}
	if err := Decode([]byte("n: 1.9"), &file{}); !errors.Is(err, ErrWhole) {
		t.Errorf("a fraction: %v", err)
	}
	if err := Decode([]byte("f: 1.5\nlist:\n- {n: 1}\n- {n: 1.9}\n"), &file{}); err == nil || err.Error() != "line 4: must be a whole number" {
		t.Errorf("its place: %v", err)
	}
}
