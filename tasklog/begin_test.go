package tasklog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBeginAsTheDocumentationSays runs the commands of docs/howto/tasks.md as they stand there: they failed at their
// `git push`.
func TestBeginAsTheDocumentationSays(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "docs", "howto", "tasks.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "## Begin\n")
	text, _, _ = strings.Cut(text, "and in `jarvis.yaml`")
	var script []string
	for _, l := range strings.Split(text, "\n") {
		if cmd, ok := strings.CutPrefix(l, "    "); ok {
			script = append(script, cmd)
		}
	}
	w := newWorld(t)
	dir := t.TempDir()
	w.bare = filepath.Join(dir, "infra.git")
	lines := strings.Join(script, "\n")
	const remote = "git@git.example.org:infra.git"
	if !strings.Contains(lines, remote) || len(script) < 5 {
		t.Fatalf("the commands are\n%s", lines)
	}
	w.work = filepath.Join(dir, "infra")
	w.sh("cd " + dir + "; git init -q --bare infra.git; " + strings.ReplaceAll(lines, remote, w.bare))
	r := w.repo(nil)
	if got := waiting(r); got != "" {
		t.Errorf("at the beginning this waits: %s", got)
	}
	if err := os.WriteFile(filepath.Join(w.work, "envs/default/tasks.yaml"), []byte("---\n"+entries("hello")), 0o644); err != nil {
		t.Fatal(err)
	}
	w.sh("git commit -qam hello && git push -q")
	if got := waiting(r); !strings.HasPrefix(got, "hello/") {
		t.Errorf("after the first task this waits: %s", got)
	}
}
