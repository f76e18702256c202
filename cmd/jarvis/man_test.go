package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestManualHasWhatTheEnvironmentSays: each variable of ours that a part reads is in the manual.
func TestManualHasWhatTheEnvironmentSays(t *testing.T) {
	read := regexp.MustCompile(`(?:Getenv|LookupEnv)\("(JARVIS_[A-Z_]+)"\)`)
	n := 0
	for _, dir := range []string{".", "../../config", "../../web", "../../command", "../../fleet", "../../remote"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") { // what a test reads is for who runs it: `make` lists it
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range read.FindAllStringSubmatch(string(b), -1) {
				n++
				if !slices.ContainsFunc(manEnvironment, func(e manEntry) bool { return e.name == m[1] }) {
					t.Errorf("%s reads %s, and the manual does not know it", f, m[1])
				}
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d places read something", n)
	}
}
