package floors

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheMapHasEveryPackage: the map of CONTRIBUTING.md names each, by its path or, where several stand in one line, by
// its name.
func TestTheMapHasEveryPackage(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	house, _, _ := strings.Cut(string(b), "\n## To add")
	seen := map[string]bool{}
	eachSource(t, func(file string, _ *ast.File) {
		pkg := path.Dir(file)
		if seen[pkg] || pkg == "." || strings.HasPrefix(pkg, "examples/") {
			return
		}
		seen[pkg] = true
		named := func(name string) bool {
			return regexp.MustCompile(`(^|[\s,(])` + regexp.QuoteMeta(name) + `([\s/:,;)]|$)`).MatchString(house)
		}
		if !named(pkg) && !(strings.HasPrefix(pkg, "workers/") && named(path.Base(pkg))) {
			t.Errorf("the map in CONTRIBUTING.md does not have %s", pkg)
		}
	})
	if len(seen) < 30 {
		t.Errorf("only %d packages were found", len(seen))
	}
}
