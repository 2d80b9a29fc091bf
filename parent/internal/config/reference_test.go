package config

import (
	"io"
	"testing"

	"redoubt/wire/kit/test/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := parser(&Config{}, "v1", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "parent", pages.Flags(t, k.Model))
}
