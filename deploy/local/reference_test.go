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
	pages.Reference(t, "local", pages.Flags(t, k.Model))
}
