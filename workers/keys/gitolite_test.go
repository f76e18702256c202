package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// The git host is known as every host is: a bad line about another one closes nothing, a revoked key opens nothing.
func TestTheGitHostIsKnownAsEveryHostIs(t *testing.T) {
	g, err := real.StartGitolite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	known, err := os.ReadFile(g.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Join(strings.Fields(string(known))[1:3], " ")
	file := filepath.Join(t.TempDir(), "known_hosts")
	w, err := New(Config{Gitolite: Gitolite{Admin: g.Admin, Key: g.AdminKey, KnownHosts: file}})
	if err != nil {
		t.Fatal(err)
	}
	clone := func(text string) error {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := w.gitolite(t.Context(), clipboard.Instance{Hostname: "loki", FQDN: "loki"}, func(before string) (string, error) { return before, nil })
		return err
	}
	if err := clone("elsewhere ssh-ed25519 bad!\n" + string(known)); err != nil {
		t.Errorf("after a bad line: %v", err)
	}
	if err := clone(string(known) + "\n@revoked * " + key + "\n"); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("a revoked key: %v", err)
	}
	if err := clone("elsewhere " + key + "\n"); err == nil || !strings.Contains(err.Error(), "is not known; add it to") {
		t.Errorf("a stranger: %v", err)
	}
}
