package front

import (
	"bytes"
	"testing"
)

func TestBuffersThatHeldAnAnswerAreWiped(t *testing.T) {
	value := []byte("SENTINEL-078-05-1120")
	b := &buffer{b: make([]byte, 0, len(value))}
	b.raw(value)
	left := b.b
	b.raw(value) // does not fit: the first array is left behind
	grown := b.b
	if &left[0] == &grown[0] {
		t.Fatal("the buffer did not grow")
	}
	if !bytes.Equal(left, make([]byte, len(left))) {
		t.Error("the array that was outgrown still holds the value")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(grown, make([]byte, len(grown))) {
		t.Error("a closed buffer still holds the answer")
	}
}
