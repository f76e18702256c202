package checks

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestPartsAreAlone reads the sources: what stands in a field of Monitor and is a type of this package is a part. It
// does not know Monitor, and nobody but itself touches its fields, so that what is proved of it alone is true of it in
// Monitor (docs/design/monitor.md). New and Open put it together; its channels are there to wait for.
func TestPartsAreAlone(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	list, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	p := partsOf(files)
	for _, want := range []string{"schedule", "roster", "unwritten", "ownership", "ledger", "claims", "town", "prober", "definitions", "outbox", "doer", "notices", "letters", "downtimes", "deployments"} {
		if p.types[want] == nil {
			t.Errorf("%s is no part of Monitor any more", want)
		}
	}
	for _, s := range p.strangers(fset, files) {
		t.Error(s)
	}
}

func TestWhatIsNotAloneIsSeen(t *testing.T) {
	const source = `package checks
type Monitor struct { box *box; part part; n int }
type tools struct { db int }
type box struct { tools; list []int; came chan int }
type part struct { m *Monitor; count int }
func New() { m := &Monitor{}; m.part.count = 1 }
func (b *box) add() { b.list = nil }
func (p *part) see() { _ = p.m.n }
func (p *part) make() *Monitor { return nil }
func (m *Monitor) f() { m.box.add(); <-m.box.came; _ = m.box.db; m.box.list = nil; m.part.see(); m.n++ }
func other(x *Monitor) int { return x.part.count }
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "a.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	files := []*ast.File{f}
	want := []string{"a.go:5: part knows Monitor", "a.go:9: part knows Monitor", "a.go:10: list of box is touched by another", "a.go:11: count of part is touched by another"}
	if got := partsOf(files).strangers(fset, files); !slices.Equal(got, want) {
		t.Errorf("seen:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// monitorParts is the parts of Monitor, as the sources have them.
type monitorParts struct {
	fields map[string]string          // of Monitor: the type of a part
	types  map[string]*ast.StructType // of parts
	open   map[string]bool            // fields that all may read
}

func partsOf(files []*ast.File) monitorParts {
	structs := map[string]*ast.StructType{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok {
				if x, ok := s.Type.(*ast.StructType); ok {
					structs[s.Name.Name] = x
				}
			}
			return true
		})
	}
	p := monitorParts{map[string]string{}, map[string]*ast.StructType{}, map[string]bool{}}
	for _, f := range structs["tools"].Fields.List {
		p.open[f.Names[0].Name] = true
	}
	for _, f := range structs["Monitor"].Fields.List {
		name := typeName(f.Type)
		if part := structs[name]; part != nil && len(f.Names) > 0 {
			p.types[name] = part
			for _, n := range f.Names {
				p.fields[n.Name] = name
			}
		}
	}
	return p
}

// strangers gives what a part knows or others touch of it, and should not.
func (p monitorParts) strangers(fset *token.FileSet, files []*ast.File) (out []string) {
	say := func(n ast.Node, text string, args ...any) {
		at := fset.Position(n.Pos())
		out = append(out, fmt.Sprintf("%s:%d: ", at.Filename, at.Line)+fmt.Sprintf(text, args...))
	}
	knows := func(part string, n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "Monitor" {
				say(id, "%s knows Monitor", part)
			}
			return true
		})
	}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && p.types[s.Name.Name] != nil {
						knows(s.Name.Name, s.Type)
					}
				}
			case *ast.FuncDecl:
				if d.Recv != nil && p.types[typeName(d.Recv.List[0].Type)] != nil {
					knows(typeName(d.Recv.List[0].Type), d)
				}
				if d.Name.Name != "New" && d.Name.Name != "Open" {
					ast.Inspect(d, func(n ast.Node) bool {
						if field, part := p.touches(n); part != "" {
							say(n, "%s of %s is touched by another", field, part)
						}
						return true
					})
				}
			}
		}
	}
	return out
}

// touches gives the field of a part in m.part.field.
func (p monitorParts) touches(n ast.Node) (field, part string) {
	outer, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	inner, ok := outer.X.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if _, ok := inner.X.(*ast.Ident); !ok {
		return "", ""
	}
	part = p.fields[inner.Sel.Name]
	if part == "" || p.open[outer.Sel.Name] {
		return "", ""
	}
	for _, f := range p.types[part].Fields.List {
		if _, waits := f.Type.(*ast.ChanType); waits {
			continue
		}
		if slices.ContainsFunc(f.Names, func(n *ast.Ident) bool { return n.Name == outer.Sel.Name }) {
			return outer.Sel.Name, part
		}
	}
	return "", ""
}

// typeName gives the name of a type, or of what it points to.
func typeName(x ast.Expr) string {
	if s, ok := x.(*ast.StarExpr); ok {
		x = s.X
	}
	if id, ok := x.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
