package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNothingIsCompiledAtAStart: what stands in a package-level variable is done at each start of the program, before main, for
// every command. A regular expression is a pattern.New there (converge, which imports nothing of ours, has sync.OnceValue); and
// since such a one is compiled late, it is compiled here.
func TestNothingIsCompiledAtAStart(t *testing.T) {
	patterns := 0
	eachSource(t, func(file string, f *ast.File) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			ast.Inspect(g, func(n ast.Node) bool {
				if _, ok := n.(*ast.FuncLit); ok {
					return false // done when it is called
				}
				c, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch called(c) {
				case "regexp.MustCompile", "regexp.MustCompilePOSIX", "regexp.Compile":
					t.Errorf("%s: a regular expression is compiled at each start; use pattern.New", file)
				case "pattern.New":
					patterns++
					if _, err := regexp.Compile(written(c.Args[0])); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
				return true
			})
		}
	})
	if patterns < 50 {
		t.Errorf("only %d patterns were found", patterns)
	}
}

// eachSource gives all sources of the program, without its tests and what only they use.
func eachSource(t *testing.T, do func(file string, f *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, file)
		if err == nil && d.IsDir() && (rel == filepath.Join("internal", "bench") || rel == filepath.Join("lab", "real")) {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		do(filepath.ToSlash(rel), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// called gives the name of a function of a package, as in "regexp.MustCompile".
func called(c *ast.CallExpr) string {
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		if p, ok := s.X.(*ast.Ident); ok {
			return p.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// written gives the text of an expression; a constant in it is x.
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return written(e.X) + written(e.Y)
	case *ast.ParenExpr:
		return written(e.X)
	}
	return "x"
}
