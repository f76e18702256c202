package tasklog

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// reachable lets every user come to a folder below /tmp.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheEnvironmentOfATaskReachesNoRoot is the attack: a task that runs as nobody names a folder of its own in PATH,
// and a file in BASH_ENV, ENV and LD_PRELOAD. The shell around it runs as root, and found its mv there.
func TestTheEnvironmentOfATaskReachesNoRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("only root can run as another user; run the tests as root")
	}
	evil, proof := t.TempDir(), filepath.Join(t.TempDir(), "proof")
	reachable(t, evil)
	for _, name := range []string{"mv", "sh", "bash", "env", "setpriv", "rc"} {
		if err := os.WriteFile(filepath.Join(evil, name), []byte("#!/bin/sh\nid -u >> "+proof+"\n[ \"${0##*/}\" != mv ] || exec /bin/mv \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	j := newJob(t, "id -un; echo \"$WHAT\"; sleep 1")
	j.user = "nobody"
	reachable(t, j.cwd)
	r := &Repo{cfg: Config{User: "nobody"}}
	const quoted = "it's \"$(id)\" `x` \\ two\nlines"
	mean := map[string]string{"PATH": evil + ":/usr/bin:/bin", "LD_PRELOAD": "/nonexistent/evil.so", "LD_LIBRARY_PATH": evil, "BASH_ENV": filepath.Join(evil, "rc"), "ENV": filepath.Join(evil, "rc"), "IFS": "/", "WHAT": quoted}
	j.env = r.environment(spec{Task: Task{Env: mean}})
	var lines []string
	roots := "" // environments of what runs as root
	exit, err := j.run(t.Context(), func(l string) {
		lines = append(lines, l)
		if b, err := os.ReadFile(filepath.Join(j.dir, "pid")); err == nil {
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			env, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
			roots += string(env)
		}
	}, always(true))
	got := strings.Join(lines, "\n")
	if exit != 0 || err != nil || !strings.Contains(got, "nobody\n"+quoted) {
		t.Errorf("run = %d, %v, %q", exit, err, got)
	}
	if b, err := os.ReadFile(proof); err == nil { // only root can write it
		t.Errorf("the task's own programs ran as %q", b)
	}
	if roots == "" || strings.Contains(roots, "evil") || strings.Contains(roots, evil) || strings.Contains(roots, "WHAT=") {
		t.Errorf("root's shell has the environment %q", roots)
	}
}

// TestSudoBesideUser: `user` in jarvis.yaml says as whom tasks run on this machine. A task with `sudo: true` ran as
// root there without any sudo being asked.
func TestSudoBesideUser(t *testing.T) {
	w := newWorld(t)
	r := w.repo(func(c *Config) { c.User = "nobody" })
	proof := filepath.Join(t.TempDir(), "proof")
	commit := w.list("- task: {name: a, sudo: true, shell: id > " + proof + "}\n")
	const want = `"a" asks for sudo, and tasks of infra run as user nobody on this machine; take ` + "`sudo` out of the task, or `user` out of jarvis.yaml"
	if got := waiting(r); got != "trouble: envs/default/tasks.yaml, line 2: "+want {
		t.Error(got)
	}
	err := r.here(t.Context(), spec{ID: commit + "-1", Commit: commit, Repo: "infra", Task: Task{Name: "a", Sudo: true, Shell: "id > " + proof}})
	if err == nil || err.Error() != want {
		t.Errorf("here = %v", err)
	}
	if b, err := os.ReadFile(proof); err == nil {
		t.Errorf("it ran as %s", b)
	}
	w.list("- task: {name: a, sudo: true, hosts: [web1], shell: id}\n") // `user` is of this machine
	if got := waiting(r); got != "a/1" {
		t.Error(got)
	}
}
