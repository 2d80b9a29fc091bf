package auth

import (
	"testing"

	"redoubt/wire/kit/test/pages"
)

func TestTheReferenceOfPoliciesIsCurrent(t *testing.T) {
	pages.Reference(t, "policy", pages.File{Root: "Policy", Tag: "yaml"}.Render(t))
}

func TestTheReferenceOfKeysIsCurrent(t *testing.T) {
	pages.Reference(t, "keys", pages.File{Root: "Key", Tag: "json"}.Render(t))
}
