// Package yamlfile decodes YAML configuration files for the tiers, strictly: no unknown or repeated keys, one
// document, and no number that differs from what was written. The library takes 1.9 for the integer 1.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// These errors come beside the library's, which are yaml.Error.
var (
	ErrDocuments = errors.New("more than one document")
	ErrWhole     = errors.New("must be a whole number")
)

// Decode reads the one document in data over the values that v holds. An empty file is io.EOF. The numbers of v are
// of the types int and float64. The caller checks their bounds.
func Decode(data []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := d.Decode(v); err != nil {
		return err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return ErrDocuments
	}
	// The integers are decoded a second time: errors of a decoder of our own have no place in the file.
	whole := func(to *int, text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return err
		}
		if _, fraction := v.(float64); fraction {
			return fmt.Errorf("line %d: %w", line(data, string(text)), ErrWhole)
		}
		return yaml.Unmarshal(text, to)
	}
	return yaml.NewDecoder(bytes.NewReader(data), yaml.Strict(), yaml.CustomUnmarshaler(whole)).Decode(v)
}

// line is the line where a fraction is written for the first time.
func line(data []byte, text string) int {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return 0
	}
	found := finder{text: strings.TrimSpace(text)}
	for _, doc := range file.Docs {
		ast.Walk(&found, doc.Body)
	}
	return found.line
}

type finder struct {
	text string
	line int
}

// Visit implements ast.Visitor.
func (f *finder) Visit(n ast.Node) ast.Visitor {
	if t := n.GetToken(); f.line == 0 && t.Position != nil && t.Value == f.text {
		f.line = t.Position.Line
	}
	return f
}
