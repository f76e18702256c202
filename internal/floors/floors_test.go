package floors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheHouseKeepsItsFloors(t *testing.T) {
	bad, err := Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bad {
		t.Error(b)
	}
}

func TestGuardSeesBadImports(t *testing.T) {
	for _, c := range []struct{ file, imports, want string }{
		{"clipboard/x.go", "pipeline", "climbs from floor 0 to floor 1"},
		{"pipeline/x.go", "bot", "climbs from floor 1 to floor 4"},
		{"workers/dns/x.go", "workers/ldap", "workers never import each other"},
		{"workers/dns/x.go", "store", "keeps nothing in the database"},
		{"command/x.go", "workers/all", "sideways"},
		{"bot/x.go", "bot/irc", "climbs"},
		{"bot/irc/x.go", "bot/console", "sideways"},
		{"newroom/x.go", "clipboard", "has no floor"},
		{"converge/x.go", "remote", "imports nothing of ours"},
		{"clipboard/x_test.go", "command", "climbs"},
		{"internal/proc/x.go", "clipboard", "climbs from floor -1 to floor 0"},
		{"checks/model/x.go", "store", "does not know where they are kept"},
		{"checks/model/x.go", "remote", "does not know how they are run"},
		{"checks/model/x.go", "pipeline", "does not know the engine"},
		{"checks/model/x.go", "checks", "climbs from floor 1.5 to floor 2"},
		{"checks/model/x.go", "fleet", ""},
		{"checks/x.go", "checks/model", ""},
		{"workers/dns/x.go", "internal/proc", ""},
		{"remote/x.go", "internal/proc", ""},
		{"workers/dns/x.go", "pipeline", ""},
		{"workers/dns/x_test.go", "lab", ""},
		{"cmd/jarvis/x.go", "config", ""},
		{"store/x.go", "internal/guard", ""},
		{"workers/dns/x.go", "internal/plain", ""},
		{"internal/guard/x.go", "internal/plain", "imports nothing of ours"},
		{"store/x.go", "internal/floors", "climbs"},
	} {
		t.Run(c.file+" imports "+c.imports, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, c.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			src := "package x\nimport _ \"" + Module + "/" + c.imports + "\"\n"
			if err := os.WriteFile(file, []byte(src), 0o644); err != nil {
				t.Fatal(err)
			}
			bad, err := Check(root)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(bad, "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("Check() = %q, want %q in it", got, c.want)
			}
		})
	}
}
