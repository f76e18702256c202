package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/jarvisops/jarvis/config"
)

// TestTheExampleConfigurationIsRight: what the documentation begins with must be taken as it is, once its credentials
// are there.
func TestTheExampleConfigurationIsRight(t *testing.T) {
	b, err := os.ReadFile("../../examples/jarvis.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "jarvis.yaml")
	b = regexp.MustCompile(`(?m)^data: .*`).ReplaceAll(b, []byte("data: "+filepath.Join(dir, "data")))
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, config.Credentials), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\$\{credential:([^}]+)\}`).FindAllSubmatch(b, -1) {
		if err := os.WriteFile(filepath.Join(dir, config.Credentials, string(m[1])), []byte("c2VjcmV0c2VjcmV0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Verify(file)
	if err != nil {
		t.Fatal(err)
	}
	if open := c.Exposed(); len(open) > 0 {
		t.Error(open)
	}
}
