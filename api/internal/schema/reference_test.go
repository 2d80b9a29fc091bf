package schema

import (
	"testing"

	"redoubt/wire/kit/test/pages"
)

func TestTheReferenceIsCurrent(t *testing.T) {
	constants := map[string]any{
		"MaxFields": MaxFields, "MaxName": MaxName, "MaxValue": MaxValue, "DefaultMaxChar": DefaultMaxChar,
	}
	pages.Reference(t, "schema", pages.File{Root: "Schema", Tag: "yaml", Values: constants}.Render(t))
}
