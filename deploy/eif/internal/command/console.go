package command

import (
	"slices"
	"strings"
)

// consoleTail is how many lines of the console a failure shows: this many before a panic of the kernel, and as many
// from the panic on.
const consoleTail = 40

// panicked begins the kernel's account of its end. The trace that follows it may be longer than any tail, and varies.
const panicked = "Kernel panic - not syncing"

// tail is the end of a console. The enclave's last words stand before the kernel's panic, and are kept whatever the
// kernel adds.
type tail struct {
	before, after []string
	cut           bool // there were more lines after the panic
}

func (t *tail) add(line string) {
	switch {
	case len(t.after) == 0 && !strings.Contains(line, panicked):
		t.before = append(t.before[max(0, len(t.before)-consoleTail+1):], line)
	case len(t.after) < consoleTail:
		t.after = append(t.after, line)
	default:
		t.cut = true
	}
}

func (t *tail) String() string {
	lines := slices.Concat(t.before, t.after)
	if t.cut {
		lines = append(lines, "(more)")
	}
	return strings.Join(lines, "\n")
}
