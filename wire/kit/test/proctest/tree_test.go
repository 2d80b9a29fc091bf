package proctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's folder.
const root = "../../../.."

// own are files that start programs themselves, with the reason.
var own = map[string]string{
	"deploy/local/internal/proc/proc_test.go": "a child that must end with its group, not with its parent",
}

// findings is what is wrong in the source text of a test file.
func findings(t *testing.T, name string, src any) []string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		var body *ast.BlockStmt
		switch n := n.(type) {
		case *ast.FuncDecl:
			body = n.Body
		case *ast.FuncLit:
			body = n.Body
		case *ast.CallExpr:
			if called(n) == "exec.Command" || called(n) == "exec.CommandContext" {
				found = append(found, set.Position(n.Pos()).String()+": a program is started without proctest")
			}
		}
		if body != nil {
			for _, at := range waitsWithLock(body) {
				found = append(found, set.Position(at).String()+": waits for the bubble while it holds a lock")
			}
		}
		return true
	})
	return found
}

// called is the name of a called function with its qualifier, as written.
func called(c *ast.CallExpr) string {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	return written(s.X) + "." + s.Sel.Name
}

func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return written(e.X) + "." + e.Sel.Name
	}
	return "?"
}

// waitsWithLock lists the waits of one function, in the order of its text, that come between a Lock and the Unlock of
// the same name, or after a Lock whose Unlock is deferred. Who waits for the lock is not durably blocked: the wait, and
// a sleep in simulated time, may last for ever.
func waitsWithLock(body *ast.BlockStmt) (at []token.Pos) {
	held := map[string]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.DeferStmt:
			return false
		case *ast.CallExpr:
			name := called(n)
			lock, method := strings.TrimSuffix(name, "."+last(name)), last(name)
			switch {
			case method == "Lock" || method == "RLock":
				held[lock] = true
			case method == "Unlock" || method == "RUnlock":
				delete(held, lock)
			case len(held) > 0 && (name == "synctest.Wait" || name == "time.Sleep"):
				at = append(at, n.Pos())
			}
		}
		return true
	})
	return at
}

func last(name string) string { return name[strings.LastIndex(name, ".")+1:] }

func TestNoTestLeavesProgramsBehindOrWaitsWithALock(t *testing.T) {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		name, _ := filepath.Rel(root, path)
		if _, ok := own[filepath.ToSlash(name)]; ok {
			return nil
		}
		for _, f := range findings(t, path, nil) {
			t.Error(f)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestTheShapesAreFound(t *testing.T) {
	for src, want := range map[string]int{
		`m.Lock(); defer m.Unlock(); synctest.Wait()`:                      1,
		`a.b.Lock(); time.Sleep(1); a.b.Unlock()`:                          1,
		`m.RLock(); if x { synctest.Wait() }; m.RUnlock()`:                 1,
		`m.Lock(); m.Unlock(); synctest.Wait()`:                            0,
		`m.Lock(); go func() { synctest.Wait() }(); m.Unlock()`:            0,
		`func() { m.Lock(); defer m.Unlock() }(); synctest.Wait()`:         0,
		`f(func() { m.Lock(); defer m.Unlock(); n++; synctest.Wait() })`:   1,
		`_ = exec.Command("x"); _ = exec.CommandContext(t.Context(), "y")`: 2,
		`_ = proctest.Command(t, "x")`:                                     0,
	} {
		if got := findings(t, "x_test.go", "package p; func f() { "+src+" }"); len(got) != want {
			t.Errorf("%s: %q, want %d", src, got, want)
		}
	}
}
