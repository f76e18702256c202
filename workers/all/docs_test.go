package all

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestTheTablesAreWhole: drift.md says what each step compares that can tell, redeploy.md has a line for each stage of
// the built-in lists, and ownership.md what each provider is like.
func TestTheTablesAreWhole(t *testing.T) {
	read := func(file string) string { return string(must(os.ReadFile("../../docs/howto/" + file))(t)) }
	drift, redeploy := read("drift.md"), read("redeploy.md")
	dir := t.TempDir()
	set := must(Build(Nobody(dir).Passing(), dir))(t)
	t.Cleanup(set.Close)
	ownership := string(must(os.ReadFile("../../docs/design/ownership.md"))(t))
	for _, p := range set.Providers {
		name := strings.Replace(p.Title, "vCenter", "vSphere", 1) // which is what it manages
		if strings.Count(ownership, "| "+name+" |") < 2 {
			t.Errorf("docs/design/ownership.md does not say of %s what makes a second machine impossible, or what its limits are", name)
		}
	}
	for _, s := range set.Registry.Steps() {
		name := s.Name
		if module, task, _ := strings.Cut(name, ":"); slices.Contains(Providers(), module) {
			name = "PROVIDER:" + task
		}
		if s.Drift != nil && !strings.Contains(drift, "`"+name+"`") {
			t.Errorf("%s has a Drift, and docs/howto/drift.md has no line that says what it compares", s.Name)
		}
	}
	for _, name := range slices.Concat(away, makeOne, equip) {
		if !strings.Contains(redeploy, "`"+name+"`") {
			t.Errorf("%s is a stage of redeploy, and docs/howto/redeploy.md has no line of it", name)
		}
	}
}
