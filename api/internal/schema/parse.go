package schema

import (
	_ "embed" // the default schema
	"fmt"
	"os"
	"sync"

	"redoubt/wire/kit/yamlfile"
)

//go:embed default.yaml
var defaultYAML []byte

// Parse reads a schema from YAML. Unknown keys are an error.
func Parse(data []byte) (*Schema, error) {
	var s Schema
	if err := yamlfile.Decode(data, &s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if err := s.compile(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Load reads a schema file.
func Load(path string) (*Schema, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return Parse(data)
}

// Default returns the built-in schema, which is the reference's.
var Default = sync.OnceValue(func() *Schema {
	s, err := Parse(defaultYAML)
	if err != nil {
		panic(err) // the file is part of the binary and tested
	}
	return s
})
