package cli

import (
	"testing"

	"redoubt/deploy/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&commands{}, "v1")
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "api", pages.Flags(t, k.Model))
}
