package main

import (
	"testing"

	"redoubt/wire/kit/test/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	k, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	pages.Reference(t, "local", pages.Flags(t, k.Model))
}
