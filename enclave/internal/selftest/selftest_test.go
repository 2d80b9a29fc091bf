package selftest

import (
	"errors"
	"testing"
)

func TestTheVectorsOpen(t *testing.T) {
	if err := Run(); err != nil {
		t.Fatal(err)
	}
}

func TestAnyChangedVectorFails(t *testing.T) {
	flip := func(s string, i int) string {
		b := []byte(s)
		if b[i] == '0' {
			b[i] = '1'
		} else {
			b[i] = '0'
		}
		return string(b)
	}
	last := func(s string) int { return len(s) - 1 }
	for name, err := range map[string]error{
		"field":         run(keyHex, flip(fieldHex, last(fieldHex)), recordHex),
		"encapsulation": run(keyHex, flip(fieldHex, 10), recordHex),
		"record":        run(keyHex, fieldHex, flip(recordHex, last(recordHex))),
		"key":           run(flip(keyHex, 80), fieldHex, recordHex),
		"not hex":       run(keyHex, "x", recordHex),
		"no key":        run("", fieldHex, recordHex),
	} {
		if !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if err := Run(); err != nil {
			b.Fatal(err)
		}
	}
}
