package tasklog

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFilesOfAConfigurationFoundHere: jarvis.yaml was found as ./jarvis.yaml, so the files it names are relative; git
// and ssh-keygen run in folders of their own.
func TestFilesOfAConfigurationFoundHere(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, f := range []string{"key", "signers", "known_hosts"} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := New([]Config{{Name: "infra", Repo: "git@git.example.org:infra", Key: "key", AllowedSigners: "signers", KnownHosts: "known_hosts"}}, "data")
	if err != nil {
		t.Fatal(err)
	}
	c := l.repos[0].cfg
	for _, f := range []string{c.Key, c.AllowedSigners, c.KnownHosts} {
		if !filepath.IsAbs(f) {
			t.Errorf("%s is found from one folder only", f)
		}
	}
}
