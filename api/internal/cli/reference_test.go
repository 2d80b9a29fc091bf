package cli

import (
	"io"
	"testing"

	"redoubt/wire/kit/test/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&commands{}, "v1", io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "api", pages.Flags(t, k.Model))
}
