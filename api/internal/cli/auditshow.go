package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"redoubt/api/client"
)

type auditShowCmd struct {
	ID     string `arg:"" help:"The vault."`
	Limit  int    `help:"Entries to read, 1 to 1000." default:"50"`
	Cursor string `help:"Cursor with which the page before ended." placeholder:"CURSOR"`

	clientFlags `embed:""`
}

// Run prints a page of a vault's log: a line for each entry, and below it a line for each expression.
func (cmd *auditShowCmd) Run(e *env) error {
	c, err := cmd.client()
	if err != nil {
		return err
	}
	entries, next, err := c.Audit(e.ctx, cmd.ID, client.Page{Limit: cmd.Limit, Cursor: cmd.Cursor})
	if err != nil {
		return advise(err)
	}
	var lines []string
	for i := range entries {
		lines = append(lines, entryLines(&entries[i])...)
	}
	if next != "" {
		lines = append(lines, "more: --cursor "+next)
	}
	return e.print(strings.Join(lines, "\n"), map[string]any{"entries": entries, "next": next})
}

// entryLines shows an entry. It quotes what callers write, since that may be anything.
func entryLines(a *client.AuditEntry) []string {
	parts := []string{a.Time.UTC().Format(time.RFC3339), a.Event}
	for _, part := range []struct{ name, text string }{
		{"", a.Outcome},
		{"", a.Code},
		{"by ", quoted(a.Principal)},
		{"from ", a.Source},
		{"request ", a.RequestID},
		{"reason ", quoted(a.Reason)},
	} {
		if part.text != "" {
			parts = append(parts, part.name+part.text)
		}
	}
	if len(a.Fields) > 0 {
		parts = append(parts, "fields "+list(a.Fields))
	}
	if a.Released != nil {
		parts = append(parts, "released "+list(a.Released))
	}
	lines := []string{strings.Join(parts, " ")}
	for _, name := range slices.Sorted(maps.Keys(a.Access)) {
		x := a.Access[name]
		text := fmt.Sprintf("  %q reads %s raw %s source %s", name, list(x.Reads), list(x.Raw), x.SourceMAC)
		if x.Unknown {
			text += " (not reported: taken as raw)"
		}
		lines = append(lines, text)
	}
	return lines
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return strconv.Quote(text)
}

// list shows names, and a dash for none.
func list(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}
