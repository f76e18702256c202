package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryDecisionIsNamedInTheCode: who asks "why not X?" stands before the code, so each page of adr is named by a Go
// file, a script or the Makefile (a test does not count), and what these name is there.
func TestEveryDecisionIsNamedInTheCode(t *testing.T) {
	pages, err := filepath.Glob("adr/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	named := map[string]bool{} // by the name of the file
	for i, p := range pages {
		name := filepath.Base(p)
		named[name] = false
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(name, fmt.Sprintf("%04d-", i+1)) || !strings.HasPrefix(string(b), fmt.Sprintf("# %d. ", i+1)) {
			t.Errorf("%s is not number %d by its name and its title", p, i+1)
		}
	}
	for file, names := range decisionsNamed(t, "..") {
		for _, name := range names {
			if _, there := named[name]; !there {
				t.Errorf("%s names docs/adr/%s, which is not there", file, name)
			} else if !strings.HasSuffix(file, "_test.go") {
				named[name] = true
			}
		}
	}
	for name, yes := range named {
		if !yes {
			t.Errorf("no Go file and no script names docs/adr/%s; put `Why not X: docs/adr/%s` where a reader asks that", name, name)
		}
	}
}

// decisionsNamed gives, by Go file or script, the pages of adr that it names. A name without its ending counts as one
// that is not there.
func decisionsNamed(t *testing.T, root string) map[string][]string {
	t.Helper()
	link := regexp.MustCompile(`docs/adr/(\d+[-\w]*(?:\.md)?)`)
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (name == ".git" || name == "node_modules" || name == "site" || name == "dist" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		inScripts := filepath.Base(filepath.Dir(path)) == "scripts"
		if ext := filepath.Ext(name); ext != ".go" && ext != ".sh" && name != "Makefile" && !inScripts || !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			out[path] = append(out[path], m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
