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

// TestNothingIsCompiledAtAStart: what stands in a package-level variable is done at each start of the program, before
// main, for every command. A regular expression is a pattern.New there (converge, which imports nothing of ours, has
// sync.OnceValue); and since such a one is compiled late, it is compiled here.
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

// TestWhatIsPlayedStaysOutOfTheWay: simulators are in the program for `jarvis demo` alone. Their tables are made at
// each start, of every command, so nothing else may bring more of them in.
func TestWhatIsPlayedStaysOutOfTheWay(t *testing.T) {
	eachSource(t, func(file string, f *ast.File) {
		played := strings.HasPrefix(file, "lab/")
		for _, imp := range imports(f) {
			switch {
			case strings.HasPrefix(imp, "github.com/vmware/govmomi/simulator") && !played:
				t.Errorf("%s imports %s; only lab may", file, imp)
			case (imp == Module+"/lab" || strings.HasPrefix(imp, Module+"/lab/")) && !played && file != "cmd/jarvis/demo.go":
				t.Errorf("%s imports %s; only cmd/jarvis/demo.go may", file, imp)
			}
		}
	})
}

// TestAClientNeedsNoSDK: what a client needs, commands on many hosts and the verbs of a server, stays free of the
// workers and chat networks, whose SDKs are most of a start (docs/adr/0007-one-program.md).
func TestAClientNeedsNoSDK(t *testing.T) {
	of := map[string]map[string]bool{} // package of ours: what it imports of ours
	eachSource(t, func(file string, f *ast.File) {
		pkg := filepath.ToSlash(filepath.Dir(file))
		if of[pkg] == nil {
			of[pkg] = map[string]bool{}
		}
		for _, imp := range imports(f) {
			if ours, ok := strings.CutPrefix(imp, Module+"/"); ok {
				of[pkg][ours] = true
			}
		}
	})
	for _, from := range []string{"remote", "fleet", "inventory", "keyring", "command", "web"} {
		if of[from] == nil {
			t.Fatalf("there is no package %s", from)
		}
		seen := map[string]bool{from: true}
		var walk func(pkg, way string)
		walk = func(pkg, way string) {
			for to := range of[pkg] {
				first, _, _ := strings.Cut(to, "/")
				if first == "workers" || first == "bot" || first == "lab" || to == "config" || to == "pages" {
					t.Errorf("%s → %s", way, to)
				}
				if !seen[to] {
					seen[to] = true
					walk(to, way+" → "+to)
				}
			}
		}
		walk(from, from)
	}
}

func imports(f *ast.File) (out []string) {
	for _, s := range f.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}
