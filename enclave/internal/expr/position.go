package expr

import (
	"cmp"
	"slices"
	"strings"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
)

// Position is a place in a source: the line and, within it, the byte, both from 1. The zero value means no place.
type Position struct{ Line, Column uint32 }

// positionAt converts an offset, which counts characters as cel-go does, to a position.
func positionAt[T string | []byte](source T, offset int32) Position {
	if offset < 0 {
		return Position{}
	}
	at := Position{Line: 1}
	text := string(source)
	begin, end := 0, len(text)
	for i, c := range text {
		if offset == 0 {
			end = i
			break
		}
		if offset--; c == '\n' {
			at.Line, begin = at.Line+1, i+1
		}
	}
	at.Column = uint32(end-begin) + 1
	return at
}

// positionOf converts cel-go's location l, whose columns count characters from 0.
func positionOf(source string, l common.Location) Position {
	if l == nil || l.Line() < 1 || l.Column() < 0 {
		return Position{}
	}
	for range l.Line() - 1 {
		_, source, _ = strings.Cut(source, "\n")
	}
	return Position{Line: uint32(l.Line()), Column: positionAt(source, int32(l.Column())).Column}
}

// freeName is a free name and where it stands, in characters.
type freeName struct {
	name string
	at   int32
}

// names returns the free names in order, each once, and the first place of each. Places are still offsets: there may
// be as many names as a source has words, and making a position takes a walk over the source.
func (w *walker) names() (vars []string, places []int32) {
	slices.SortFunc(w.free, func(a, b freeName) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.at, b.at))
	})
	for i, f := range w.free {
		if i == 0 || f.name != w.free[i-1].name {
			vars, places = append(vars, f.name), append(places, f.at)
		}
	}
	return vars, places
}

// offset says where a node of the tree stands, in characters. It is -1 if that is not known.
func (w *walker) offset(x ast.Expr) int32 {
	r, ok := w.info.GetOffsetRange(x.ID())
	if !ok {
		return -1
	}
	return r.Start
}

// callPosition is the place of a call's name. cel-go gives the place of the bracket behind the name.
func (w *walker) callPosition(x ast.Expr, name string) Position {
	at := positionAt(w.source, w.offset(x))
	if at == (Position{}) {
		return at
	}
	line := w.source
	for range at.Line - 1 {
		_, line, _ = strings.Cut(line, "\n")
	}
	before := strings.TrimRight(line[:min(int(at.Column)-1, len(line))], " \t\r\f")
	if strings.HasSuffix(before, name) {
		at.Column = uint32(len(before)-len(name)) + 1
	}
	return at
}
