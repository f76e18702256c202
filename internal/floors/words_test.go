package floors

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dialect are words that readers from elsewhere stumble over, with what to write instead (CONTRIBUTING.md has the
// list).
var dialect = map[*regexp.Regexp]string{
	regexp.MustCompile(`(\b|%s|\\n)[cC]an` + ` not\b`): "cannot",
	regexp.MustCompile(`(\b|%s|\\n)[aA]n` + `ew\b`):    "again",
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
		text := string(b)
		if !strings.Contains(text, "an"+" not") && !strings.Contains(text, "n"+"ew") {
			return nil
		}
		for bad, good := range dialect {
			for _, at := range bad.FindAllStringIndex(text, -1) {
				t.Errorf("%s:%d: %q; write %q", path, strings.Count(text[:at[0]], "\n")+1, text[at[0]:at[1]], good)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
