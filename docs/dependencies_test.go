package docs_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryModuleHasItsReason: design/dependencies.md says why we build on each module that go.mod names, and on no
// other.
func TestEveryModuleHasItsReason(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("design/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]int{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			named[m[1]]++
		}
	}
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		direct[m[1]] = true
		if named[m[1]] != 1 {
			t.Errorf("go.mod names %s, and design/dependencies.md has %d lines of it", m[1], named[m[1]])
		}
	}
	for _, m := range slices.Sorted(maps.Keys(named)) {
		if !direct[m] {
			t.Errorf("design/dependencies.md has a line of %s, which go.mod does not name", m)
		}
	}
}
