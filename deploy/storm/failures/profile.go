package main

import (
	"bufio"
	"fmt"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// module is what the profiles' file names begin with.
const module = "redoubt/"

// block is a piece of code of a profile, from its first line and column to its last.
type block struct{ line, column, endLine, endColumn int }

// coverage has the blocks of each file, and how often each ran in all profiles together.
type coverage map[string]map[block]int

var profileLine = regexp.MustCompile(`^(\S+):(\d+)\.(\d+),(\d+)\.(\d+) \d+ (\d+)$`)

func readProfiles(paths []string) (coverage, error) {
	c := coverage{}
	for _, path := range paths {
		if err := c.read(path); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c coverage) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		m := profileLine.FindStringSubmatch(lines.Text())
		if m == nil {
			if strings.HasPrefix(lines.Text(), "mode: ") {
				continue
			}
			return fmt.Errorf("%s, line %d: not of a coverage profile", path, n)
		}
		var v [5]int
		for i := range v {
			if v[i], err = strconv.Atoi(m[i+2]); err != nil {
				return fmt.Errorf("%s, line %d: %w", path, n, err)
			}
		}
		file := strings.TrimPrefix(m[1], module)
		if c[file] == nil {
			c[file] = map[block]int{}
		}
		c[file][block{v[0], v[1], v[2], v[3]}] += v[4]
	}
	return lines.Err()
}

// reached reports whether the statement at a place ran. It is in the smallest block that has its begin.
func (c coverage) reached(file string, at token.Position) bool {
	var in block
	runs := 0
	for b, n := range c[file] {
		if !b.has(at) || in != (block{}) && !in.has(token.Position{Line: b.line, Column: b.column}) {
			continue
		}
		in, runs = b, n
	}
	return runs > 0
}

func (b block) has(at token.Position) bool {
	return (at.Line > b.line || at.Line == b.line && at.Column >= b.column) &&
		(at.Line < b.endLine || at.Line == b.endLine && at.Column < b.endColumn)
}

// missing are the statements that did not run.
func missing(all statements, c coverage) statements {
	out := statements{}
	for k, places := range all {
		for _, at := range places {
			if !c.reached(k.file, at) {
				out[k] = append(out[k], at)
			}
		}
	}
	return out
}
