package cli

import (
	"testing"

	"redoubt/deploy/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "bench", pages.Flags(t, k.Model))
}
