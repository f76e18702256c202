package tasklog

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// A repository behind SSH, with a deploy key and a known host key; and what is said when either is wrong.
func TestARepositoryOverSSH(t *testing.T) {
	g, err := real.StartGitolite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	url := strings.TrimSuffix(g.Admin, "gitolite-admin") + "testing"
	w := newWorld(t)
	ssh := "GIT_SSH_COMMAND='ssh -F none -i " + g.AdminKey + " -o UserKnownHostsFile=" + g.KnownHosts + "'"
	w.list(entries("a"))
	w.sh(ssh + " git push -q " + url + " master origin/done:refs/heads/done")
	r := w.repo(func(c *Config) { c.Repo, c.Key, c.KnownHosts = url, g.AdminKey, g.KnownHosts })
	if got := waiting(r); got != "a/1" {
		t.Fatal(got)
	}
	p, err := r.refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := p.pending[0].ID()
	if by, err := r.git.claim(t.Context(), id, "me"); err != nil || by != "me" {
		t.Errorf("claim: %q %v", by, err)
	}
	if err := r.markDone(t.Context(), spec{ID: id, Task: p.pending[0].Task}, "exit 0"); err != nil {
		t.Error(err)
	}
	if got := w.sh(ssh + " git ls-remote " + url + " | cut -f2"); strings.Contains(got, "refs/jarvis") || !strings.Contains(got, "refs/heads/done") {
		t.Error(got)
	}
	for what, change := range map[string]func(*Config){
		"Host key verification failed": func(c *Config) { c.KnownHosts = "/dev/null" },
		"Permission denied":            func(c *Config) { c.Key = "" },
	} {
		r := w.repo(func(c *Config) { c.Repo, c.Key, c.KnownHosts = url, g.AdminKey, g.KnownHosts; change(c) })
		if got := waiting(r); !strings.Contains(got, what) {
			t.Errorf("%s, want %s", got, what)
		}
	}
}
