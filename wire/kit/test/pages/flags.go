package pages

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Flags renders a program's arguments, flags and variables as Markdown, by command and group. A flag without a help
// text fails the test, and so does one that takes a number or a time and does not say within which limits.
func Flags(t T, app *kong.Application) string {
	t.Helper()
	var b strings.Builder
	node(t, &b, app.Node, app.Name)
	for _, leaf := range app.Leaves(false) {
		node(t, &b, leaf, app.Name+" "+strings.TrimPrefix(leaf.Path(), app.Name+" "))
	}
	return b.String()
}

func node(t T, b *strings.Builder, n *kong.Node, title string) {
	t.Helper()
	var sections []*section
	for _, p := range n.Positional {
		whole(t, title, p.Name, p)
		sections = in(sections, nil, fmt.Sprintf("| `%s` | - | %s | %s |\n", p.ShortSummary(), standard(p), about(p)))
	}
	for _, f := range n.Flags {
		if f.Name == "help" {
			continue
		}
		whole(t, title, "--"+f.Name, f.Value)
		sections = in(sections, f.Group, flagRow(f))
	}
	if n.Type == kong.CommandNode {
		fmt.Fprintf(b, "### `%s`\n\n%s\n\n", title, n.Help)
	}
	for _, s := range sections {
		if s.group != nil {
			b.WriteString(strings.TrimSpace("**"+s.group.Title+"** "+s.group.Description) + "\n\n")
		}
		b.WriteString("| flag | variable | default | what it does |\n|---|---|---|---|\n")
		b.WriteString(s.rows.String() + "\n")
	}
	if len(sections) == 0 && n.Type == kong.CommandNode {
		b.WriteString("No flags.\n\n")
	}
}

// section is a group of flags, or those without one.
type section struct {
	group *kong.Group
	rows  strings.Builder
}

// in adds a row to its group's section, in the order of their first rows.
func in(sections []*section, group *kong.Group, row string) []*section {
	for _, s := range sections {
		if s.group == group || s.group != nil && group != nil && s.group.Key == group.Key {
			s.rows.WriteString(row)
			return sections
		}
	}
	s := &section{group: group}
	s.rows.WriteString(row)
	return append(sections, s)
}

func flagRow(f *kong.Flag) string {
	name := "--" + f.Name
	if f.Short != 0 {
		name = fmt.Sprintf("-%c, %s", f.Short, name)
	}
	if !f.IsBool() {
		name += "=" + placeholder(f)
	}
	variables := "-"
	if len(f.Envs) > 0 {
		variables = "`" + strings.Join(f.Envs, "`, `") + "`"
	}
	text := about(f.Value)
	if f.Hidden {
		text += " Not shown by `--help`."
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, variables, standard(f.Value), text)
}

// placeholder says what kind of value a flag takes, in the words of its tag or by its type.
func placeholder(f *kong.Flag) string {
	if f.PlaceHolder != "" {
		return f.PlaceHolder
	}
	of := f.Target.Type()
	list := ""
	if of.Kind() == reflect.Slice {
		of, list = of.Elem(), ",..."
	}
	switch {
	case of == reflect.TypeFor[time.Duration]():
		return "TIME" + list
	case numeric(of):
		return "N" + list
	case f.Tag.Type == "path" || f.Tag.Type == "existingfile":
		return "FILE" + list
	case f.Tag.Type == "existingdir":
		return "DIR" + list
	case of.Kind() == reflect.Map:
		return "KEY=VALUE"
	}
	return "TEXT" + list
}

func numeric(of reflect.Type) bool {
	return of.Kind() >= reflect.Int && of.Kind() <= reflect.Float64
}

func standard(v *kong.Value) string {
	switch {
	case v.Required:
		return "required"
	case v.HasDefault && v.Default != "":
		return "`" + v.Default + "`"
	case v.IsBool():
		return "off"
	}
	return "none"
}

// about is the help text, with what may be given when only some values may.
func about(v *kong.Value) string {
	text := cell(v.Help)
	if v.Enum == "" {
		return text
	}
	for _, e := range v.EnumSlice() {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(e) + `\b`).MatchString(text) {
			return text + " One of `" + strings.Join(v.EnumSlice(), "`, `") + "`."
		}
	}
	return text
}

// cell makes text fit into a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "\\|")
}

// limited finds a limit in a help text.
var limited = regexp.MustCompile(`(?i)\d+\w* to \d+|\d+\w* or more|more than 0|at least|at most|above \d|any number`)

func whole(t T, command, name string, v *kong.Value) {
	t.Helper()
	if len(v.Help) < 6 || strings.Contains(v.Help, "${") {
		t.Errorf("%s: %s has no help text", command, name)
	}
	of := v.Target.Type()
	if of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if numeric(of) && v.Enum == "" && !limited.MatchString(v.Help) {
		t.Errorf("%s: the help of %s says no limit: %s", command, name, v.Help)
	}
}
