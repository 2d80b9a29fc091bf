// Package emfschema is the published schema of CloudWatch's embedded metric format, for tests of what writes it.
package emfschema

import (
	"bytes"
	_ "embed"
	"testing"

	"github.com/pb33f/jsonschema/v6"
)

//go:embed emf.schema.json
var text []byte

// Compile is the schema, ready to validate decoded JSON.
func Compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem://emf", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem://emf")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
