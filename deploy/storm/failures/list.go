package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// entry is a line of the list: FILE | FUNCTION | STATEMENT [xN], below a line "= REASON". If the reason begins with
// "sometimes:", the statement depends on time, and may be reached.
type entry struct {
	key
	n      int
	reason string
	line   int
}

func (e *entry) sometimes() bool { return strings.HasPrefix(e.reason, "sometimes:") }

// minReason is the least length of a reason: it is a sentence.
const minReason = 20

var times = regexp.MustCompile(` x(\d+)$`)

func readList(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []entry
	reason := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if is, ok := strings.CutPrefix(text, "= "); ok {
			reason = is
			continue
		}
		parts := strings.SplitN(text, " | ", 3)
		if len(parts) < 3 || len(reason) < minReason {
			return nil, fmt.Errorf("%s, line %d: FILE | FUNCTION | STATEMENT, below a line with = and a reason in words",
				path, n)
		}
		e := entry{n: 1, line: n, reason: reason, key: key{parts[0], parts[1], parts[2]}}
		if m := times.FindStringSubmatch(e.statement); m != nil {
			if e.n, err = strconv.Atoi(m[1]); err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
			}
			e.statement = strings.TrimSuffix(e.statement, m[0])
		}
		list = append(list, e)
	}
	return list, lines.Err()
}

// gone says which entries of the list have no statement any more.
func gone(all statements, list []entry) (wrong []string) {
	for i := range list {
		if e := &list[i]; len(all[e.key]) < e.n {
			wrong = append(wrong, fmt.Sprintf("list, line %d: there are %d such statements: %s",
				e.line, len(all[e.key]), e.key.line(e.n)))
		}
	}
	return wrong
}

// compare says what the list lacks, and what of it is wrong.
func compare(all, unreached statements, list []entry) (wrong []string) {
	listed := map[key]*entry{}
	for i := range list {
		e := &list[i]
		if listed[e.key] != nil {
			wrong = append(wrong, fmt.Sprintf("list, line %d: is there twice", e.line))
		}
		listed[e.key] = e
		if n := len(unreached[e.key]); n < e.n && len(all[e.key]) >= e.n && !e.sometimes() {
			wrong = append(wrong, fmt.Sprintf("list, line %d: a test reaches it (%d are unreached): %s",
				e.line, n, e.key.line(e.n)))
		}
	}
	for _, k := range sortedKeys(unreached) {
		n := len(unreached[k])
		if e := listed[k]; e == nil || n > e.n {
			wrong = append(wrong, fmt.Sprintf("no test reaches %s:%s: %s (in %s)",
				k.file, places(unreached[k]), k.statement, k.function))
		}
	}
	return append(wrong, gone(all, list)...)
}
