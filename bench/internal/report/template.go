package report

import (
	_ "embed"
	"html/template"

	"redoubt/bench/internal/out"
)

//go:embed page.html
var source string

//go:embed page.css
var style string

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(style) }, //nolint:gosec // our own file
	"value": func(l out.Line) string { return short(l.Value) },
	"count": func(n int64) string { return short(float64(n)) },
}).Parse(source))
