package main

import (
	"testing"

	"redoubt/deploy/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "canary", pages.Flags(t, k.Model))
}
