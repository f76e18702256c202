package floors

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dialect are words that readers from elsewhere stumble over, with what to write instead (CONTRIBUTING.md has the list).
var dialect = map[*regexp.Regexp]string{
	regexp.MustCompile(`(?i)(\b|%s|\\n)can` + ` not\b`): "cannot",
	regexp.MustCompile(`(?i)\ban` + `ew\b`):    "again",
}

// Comments, messages and docs keep to the words of CONTRIBUTING.md.
func TestWordsForEveryEngineer(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "../.." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "site" || name == "dist" || name == "bin") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(name); d.IsDir() || ext != ".go" && ext != ".md" && ext != ".html" || name == "CONTRIBUTING.md" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, l := range strings.Split(string(b), "\n") {
			for bad, good := range dialect {
				if bad.MatchString(l) {
					t.Errorf("%s:%d: %q; write %q: %s", path, n+1, bad.FindString(l), good, strings.TrimSpace(l))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
