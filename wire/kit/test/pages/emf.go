package pages

import (
	"bytes"
	_ "embed"
	"testing"

	"github.com/pb33f/jsonschema/v6"
)

// emfSchema is the published schema of CloudWatch's embedded metric format.
//
//go:embed emf.schema.json
var emfSchema []byte

// EMF is the schema of CloudWatch's embedded metric format, ready to validate decoded JSON of what writes it.
func EMF(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(emfSchema))
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
