package cli

import (
	"io"
	"testing"

	"redoubt/deploy/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&commands{}, "dev", io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "bench", pages.Flags(t, k.Model))
}
