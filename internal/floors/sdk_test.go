package floors

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyItsWorkerImportsTheSDKOfEC2: the SDK takes a minute and gigabytes to compile, so nothing but workers/ec2
// names it, and nothing but what puts all workers together is built with that worker.
func TestOnlyItsWorkerImportsTheSDKOfEC2(t *testing.T) {
	root := filepath.Join("..", "..")
	together := map[string]bool{"workers/all": true, "internal/gendocs": true}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, file)
		pkg := filepath.ToSlash(filepath.Dir(rel))
		for _, spec := range f.Imports {
			imp := strings.Trim(spec.Path.Value, `"`)
			if strings.HasPrefix(imp, "github.com/aws/") && pkg != "workers/ec2" {
				t.Errorf("%s imports %s", rel, imp)
			}
			if imp == Module+"/workers/ec2" && !together[pkg] {
				t.Errorf("%s imports workers/ec2; only %v may", rel, together)
			}
			if imp == Module+"/workers/all" && pkg != "config" && pkg != "cmd/jarvis" && pkg != "internal/gendocs" {
				t.Errorf("%s imports workers/all, and so all workers", rel)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
