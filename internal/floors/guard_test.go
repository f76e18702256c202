package floors

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// unguarded are the places that may recover or start a goroutine themselves, each with its reason.
var unguarded = map[string]string{
	"internal/guard": "is the guard",
	"internal/bench": "is no part of the product",
	"lab":            "is the world of tests and of the demo, and lives no longer than they do",

	"cmd/jarvis/run.go":    "recovers its own exit from the library of the command line, and panics on with anything else",
	"cmd/jarvis/follow.go": "is a person's own command: he sees the panic, and nobody else is harmed",
	"cmd/jarvis/demo.go":   "is a person's own command: he sees the panic, and nobody else is harmed",
}

// TestPanicsAndGoroutinesGoThroughGuard reads the sources: a goroutine that nobody guards ends the whole server when it
// panics, and a recover elsewhere hides a bug from the log and the count.
func TestPanicsAndGoroutinesGoThroughGuard(t *testing.T) {
	used := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, file)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if _, ok := unguarded[rel]; ok {
				used[rel] = true
				return filepath.SkipDir
			}
			if n := d.Name(); file != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		found, err := bare(file, nil)
		if err != nil {
			return err
		}
		if _, ok := unguarded[rel]; ok {
			used[rel] = len(found) > 0
			return nil
		}
		for _, f := range found {
			t.Errorf("%s:%s; use internal/guard", rel, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, why := range unguarded {
		if !used[name] {
			t.Errorf("the exception for %s (it %s) is no longer needed", name, why)
		}
	}
}

func TestBareSeesWhatIsNotGuarded(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"go f()", "a bare go statement"},
		{"go func() {}()", "a bare go statement"},
		{"defer func() { _ = recover() }()", "recover()"},
		{"var wg sync.WaitGroup; wg.Go(f)", "a group that is no guard.Group"},
		{"time.AfterFunc(1, f)", "AfterFunc without guard.Func"},
		{"context.AfterFunc(ctx, func() {})", "AfterFunc without guard.Func"},
		{"guard.Go(guard.Count, f)", ""},
		{"time.AfterFunc(1, guard.Func(guard.Count, f))", ""},
		{"var wg guard.Group; wg.Go(guard.Count, f)", ""},
		{"var wg sync.WaitGroup; wg.Add(1)", ""},
	} {
		got, err := bare("x.go", "package x\nfunc x() {\n"+c.src+"\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(got, "\n"); (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
			t.Errorf("%s: %q, want %q", c.src, all, c.want)
		}
	}
}

// bare finds what is not guarded in a file.
func bare(name string, src any) ([]string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out []string
	found := func(n ast.Node, what string) {
		out = append(out, fmt.Sprintf("%d: %s", fset.Position(n.Pos()).Line, what))
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found(n, "a bare go statement")
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "recover" {
				found(n, "recover()")
			}
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch last := len(n.Args) - 1; {
			case sel.Sel.Name == "Go" && last == 0: // guard's takes two
				found(n, "a group that is no guard.Group")
			case sel.Sel.Name == "AfterFunc" && last >= 0 && !isGuarded(n.Args[last]):
				found(n, "AfterFunc without guard.Func")
			}
		}
		return true
	})
	return out, nil
}

// isGuarded reports whether an argument is guard.Func(…).
func isGuarded(e ast.Expr) bool {
	if call, ok := e.(*ast.CallExpr); ok {
		sel, ok := call.Fun.(*ast.SelectorExpr)
		id, _ := sel.X.(*ast.Ident)
		return ok && id != nil && id.Name == "guard" && sel.Sel.Name == "Func"
	}
	return false
}
