package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// forTests are the packages of the tiers that only tests and simulations use.
var forTests = regexp.MustCompile(`/(apitest|apistack|vaulttest|storetest|fakeenclave|awsfault|kerneltest|memory)/`)

// failing are the types by which a function says in its last result that it failed.
var failing = []string{"error", "*fault", "*httpError", "wire.Code"}

// constructors make an error; any other call that is returned may have succeeded.
var constructors = regexp.MustCompile(`^(errors\.(New|Join)|fmt\.Errorf|fail\w*|new\w*(Error|Fault))$`)

// refusing are the names of functions that are called because of a failure.
var refusing = regexp.MustCompile(`^(fail|Fail|refuse|Refuse|reject|deny)(ed|s)?([A-Z]\w*)?$`)

// key names statements independently of where they stand. Several that are equal in one function count together.
type key struct{ file, function, statement string }

// statements are all of one kind: their places.
type statements map[key][]token.Position

func (k key) line(n int) string {
	text := k.file + " | " + k.function + " | " + k.statement
	if n > 1 {
		text += fmt.Sprintf(" x%d", n)
	}
	return text
}

func count(s statements) (n int) {
	for _, places := range s {
		n += len(places)
	}
	return n
}

func sortedKeys(s statements) []key {
	return slices.SortedFunc(maps.Keys(s), func(a, b key) int { return strings.Compare(a.line(1), b.line(1)) })
}

func places(at []token.Position) string {
	var lines []string
	for _, p := range at {
		lines = append(lines, strconv.Itoa(p.Line))
	}
	return strings.Join(lines, ",")
}

// forGuests end the names of files that are built for simulations alone.
const forGuests = "_wasip1.go"

// scan finds the failures of all files of folders but tests and forms for simulations.
func scan(folders []string) (statements, error) {
	found := statements{}
	files := token.NewFileSet()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.HasSuffix(path, forGuests) || forTests.MatchString(path) {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			scanFile(files, filepath.ToSlash(path), file, found)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func scanFile(files *token.FileSet, path string, file *ast.File, found statements) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		w := walk{files: files, path: path, function: f.Name.Name, found: found}
		w.body(f.Type, f.Body)
	}
}

// walk goes through one function and those in it.
type walk struct {
	files          *token.FileSet
	path, function string
	found          statements
}

func (w *walk) body(t *ast.FuncType, body *ast.BlockStmt) {
	fails := t.Results != nil && len(t.Results.List) > 0 &&
		slices.Contains(failing, w.text(t.Results.List[len(t.Results.List)-1].Type))
	var last ast.Stmt
	if n := len(body.List); n > 0 {
		last = body.List[n-1]
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			w.body(n.Type, n.Body)
			return false
		case *ast.ReturnStmt:
			if fails && len(n.Results) > 0 && isFailure(n.Results[len(n.Results)-1], n == last) {
				w.add(n)
			}
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok && refusing.MatchString(called(call)) {
				w.add(n)
			}
		}
		return true
	})
}

func (w *walk) add(n ast.Stmt) {
	k := key{w.path, w.function, w.text(n)}
	w.found[k] = append(w.found[k], w.files.Position(n.Pos()))
}

// text writes code in one line.
func (w *walk) text(n any) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, w.files, n); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// isFailure reports whether a returned value says that something failed. The last return of a function may well return
// a nil error by name.
func isFailure(e ast.Expr, last bool) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name != "nil" && (!last || ofPackage.MatchString(e.Name))
	case *ast.SelectorExpr:
		return e.Sel.Name != "CodeOK"
	case *ast.CallExpr:
		switch f := e.Fun.(type) {
		case *ast.Ident:
			return constructors.MatchString(f.Name)
		case *ast.SelectorExpr:
			if x, ok := f.X.(*ast.Ident); ok {
				return constructors.MatchString(x.Name + "." + f.Sel.Name)
			}
		}
		return false
	case *ast.BasicLit:
		return false
	}
	return true
}

// ofPackage are the names of a package's errors. Another name is a variable's, which may be nil.
var ofPackage = regexp.MustCompile(`^([Ee]rr[A-Z]|Code)`)

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
