package plain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTimeSaysItsZone(t *testing.T) {
	before := time.Local
	defer func() { time.Local = before }()
	at := time.Date(2026, 3, 29, 0, 30, 5, 999, time.UTC)
	for zone, want := range map[string]string{
		"UTC": "2026-03-29 00:30:05 UTC", "Europe/Berlin": "2026-03-29 01:30:05 +01:00", "Asia/Kolkata": "2026-03-29 06:00:05 +05:30",
		"America/New_York": "2026-03-28 20:30:05 -04:00", "Africa/Accra": "2026-03-29 00:30:05 UTC",
	} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if time.Local = loc; Time(at) != want {
			t.Errorf("in %s it is %s, want %s", zone, Time(at), want)
		}
		time.Local = time.FixedZone("elsewhere", 5400)
		SetZone(loc)
		if Time(at) != want {
			t.Errorf("with the zone %s set it is %s, want %s", zone, Time(at), want)
		}
		SetZone(nil)
	}
}

// TestNoOtherFormOfTime: there were eleven forms, most of them without a zone. A time for people is written by Time;
// what other programs read is RFC 3339, and says UTC itself.
func TestNoOtherFormOfTime(t *testing.T) {
	fset := token.NewFileSet()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if err != nil || d.IsDir() && (rel == "lab" || strings.HasPrefix(d.Name(), ".") && rel != "." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "time.go" && strings.Contains(rel, "plain") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Format" {
				return true
			}
			switch a := call.Args[0].(type) {
			case *ast.BasicLit: // "20060102…" is part of a name
				if s := a.Value; strings.Contains(s, "2006-") || strings.Contains(s, "15:04") || strings.Contains(s, "January") {
					t.Errorf("%s writes a time as %s; plain.Time does", fset.Position(call.Pos()), s)
				}
			case *ast.SelectorExpr:
				if strings.HasPrefix(a.Sel.Name, "Date") || a.Sel.Name == "Kitchen" || a.Sel.Name == "TimeOnly" || a.Sel.Name == "RFC822" || a.Sel.Name == "ANSIC" {
					t.Errorf("%s writes a time as %s; plain.Time does", fset.Position(call.Pos()), a.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
