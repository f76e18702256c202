package tasklog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(readerDir); dir != "" {
		fmt.Fprintln(os.Stderr, readTasks(dir, os.Getenv(readerRepo)))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// record says where tasks have run, by their names, and which may run all the same.
type record struct {
	ran    map[string]string // by ID
	again  map[string]bool   // by ID
	newest string
}

func (r record) begun(_ context.Context, t *Pending) (string, error) { return r.ran[t.ID()], nil }
func (r record) decided(_ context.Context, t *Pending) (bool, error) { return r.again[t.ID()], nil }
func (r record) newestBegun(context.Context) (string, error)         { return r.newest, nil }

// world is a git server's repository and somebody's clone of it.
type world struct {
	t          *testing.T
	bare, work string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, bare: filepath.Join(t.TempDir(), "tasks.git"), work: filepath.Join(t.TempDir(), "work")}
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	for k, v := range map[string]string{"AUTHOR": "Alice", "COMMITTER": "Alice"} {
		t.Setenv("GIT_"+k+"_NAME", v)
		t.Setenv("GIT_"+k+"_EMAIL", "alice@example.org")
	}
	w.sh("git init -q --bare -b master " + w.bare + " && git clone -q " + w.bare + " " + w.work + " 2>&1 && cd " + w.work + " && git checkout -q -b master 2>&1; cd " + w.work + ` && mkdir -p envs/default && printf -- '---\n' > envs/default/tasks.yaml && git add -A && git commit -qm start && git push -q origin master master:done`)
	return w
}

func (w *world) sh(script string) string {
	w.t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	if _, err := os.Stat(w.work); err == nil {
		cmd.Dir = w.work
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// entries writes tasks as YAML.
func entries(names ...string) string {
	s := ""
	for _, n := range names {
		s += fmt.Sprintf("- task:\n    name: %s\n    shell: echo %s\n", n, n)
	}
	return s
}

func (w *world) list(text string) string {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.work, "envs/default/tasks.yaml"), []byte("---\n"+text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return w.sh("git add -A; git commit -qm change; git push -q origin HEAD:master; git rev-parse HEAD")
}

func (w *world) repo(change func(*Config)) *Repo {
	w.t.Helper()
	c := Config{Repo: w.bare, Name: "infra"}
	if change != nil {
		change(&c)
	}
	l, err := New([]Config{c}, w.t.TempDir())
	if err != nil {
		w.t.Fatal(err)
	}
	l.repos[0].running, l.repos[0].past = func(context.Context) string { return "" }, record{}
	return l.repos[0]
}

// waiting gives the names of what waits, or what is wrong.
func waiting(r *Repo) string {
	p, err := r.refresh(context.Background())
	if err != nil {
		var trouble *Trouble
		if errors.As(err, &trouble) {
			return "trouble: " + err.Error()
		}
		return "! " + err.Error()
	}
	var names []string
	for _, t := range p.pending {
		names = append(names, fmt.Sprintf("%s/%d", t.Task.Name, t.Position))
	}
	return strings.Join(names, " ")
}

func (r *Repo) finishAll(t *testing.T) {
	t.Helper()
	for {
		p, err := r.refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(p.pending) == 0 {
			return
		}
		if err := r.markDone(t.Context(), spec{ID: p.pending[0].ID(), Task: p.pending[0].Task}, "exit 0"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatWaits has every way in which people change a list.
func TestWhatWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  func(*Config)
		do   func(w *world, r *Repo)
		want string // a regular expression
	}{
		{"nothing new", nil, func(*world, *Repo) {}, "^$"},
		{"one", nil, func(w *world, _ *Repo) { w.list(entries("a")) }, "^a/1$"},
		{"several in one commit, and more in the next", nil, func(w *world, _ *Repo) { w.list(entries("a", "b")); w.list(entries("a", "b", "c")) }, "^a/1 b/2 c/3$"},
		{"two that are equal", nil, func(w *world, _ *Repo) { w.list(entries("a")); w.list(entries("a", "a")) }, "^a/1 a/2$"},
		{"an equal one later", nil, func(w *world, r *Repo) { w.list(entries("a", "b")); r.finishAll(w.t); w.list(entries("a", "b", "a")) }, "^a/3$"},
		{"the first of two is done", nil, func(w *world, r *Repo) {
			w.list(entries("a", "b"))
			p, _ := r.refresh(context.Background())
			if err := r.markDone(context.Background(), spec{ID: p.pending[0].ID()}, "exit 0"); err != nil {
				w.t.Error(err)
			}
		}, "^b/2$"},
		{"old ones are cleared away", nil, func(w *world, r *Repo) { w.list(entries("a", "b")); r.finishAll(w.t); w.list(""); w.list(entries("c")) }, "^c/1$"},
		{"at the top of the list", nil, func(w *world, r *Repo) { w.list(entries("a")); r.finishAll(w.t); w.list(entries("b", "a")) }, "^b/1$"},
		{"taken back before it ran", nil, func(w *world, _ *Repo) { w.list(entries("a", "b")); w.list(entries("b")) }, "^b/2$"},
		{"mended before it ran", nil, func(w *world, _ *Repo) { w.list(entries("a")); w.list(entries("a2")) }, "^a2/1$"},
		{"edited after it ran", nil, func(w *world, r *Repo) { w.list(entries("a", "b")); r.finishAll(w.t); w.list(entries("a2", "b")) }, "^trouble: the task \"a\" was edited after it ran .*by Alice.; put the old text back"},
		{"a pull request, merged", nil, func(w *world, _ *Repo) {
			w.sh("git checkout -q -b pr")
			w.sh("printf -- '---\n" + strings.ReplaceAll(entries("a"), "\n", "\\n") + "' > envs/default/tasks.yaml; git commit -qam a --author 'Bob <b@x>'")
			w.sh("git checkout -q master; git merge -q --no-ff -m 'Merge pull request' pr; git push -q origin master")
		}, "^a/1$"},
		{"done is moved by Finglonger", nil, func(w *world, _ *Repo) {
			w.list(entries("a"))
			w.sh("git fetch -q; git checkout -q -b done origin/done; git merge -q --no-ff -m m master; git push -q origin done; git checkout -q master")
			w.list(entries("a", "b"))
		}, "^b/2$"},
		{"done is moved by hand, forward", nil, func(w *world, _ *Repo) {
			w.list(entries("a"))
			w.sh("git push -q origin master:done")
			w.list(entries("a", "b"))
		}, "^b/2$"},
		{"too many", nil, func(w *world, _ *Repo) { w.list(entries("a", "b", "c", "d", "e", "f")) }, "^trouble: 6 tasks are new, and max_tasks is 5: none of them runs"},
		{"not too many", func(c *Config) { c.MaxTasks = 6 }, func(w *world, _ *Repo) { w.list(entries("a", "b", "c", "d", "e", "f")) }, "^a/1 b/2 c/3 d/4 e/5 f/6$"},
		{"an environment that is not there", func(c *Config) { c.Env = "prod" }, func(w *world, _ *Repo) { w.list(entries("a")) }, "^trouble: envs/prod/tasks.yaml: it is not there, and no tasks.yaml at the top either"},
		{"another environment", func(c *Config) { c.Env = "prod" }, func(w *world, _ *Repo) {
			w.sh("mkdir envs/prod; echo --- > envs/prod/tasks.yaml")
			w.list(entries("a"))
		}, "^$"},
		{"the list is away for a while", nil, func(w *world, r *Repo) {
			w.list(entries("a"))
			r.finishAll(w.t)
			w.sh("git rm -q envs/default/tasks.yaml; git commit -qm gone; mkdir -p envs/default")
			w.list(entries("a", "b"))
		}, "^b/2$"},
		{"unreadable, and mended, after one ran", nil, func(w *world, r *Repo) {
			w.list(entries("a"))
			r.finishAll(w.t)
			w.list(entries("a") + "- task: {name: 'x")
			w.list(entries("a", "b"))
		}, "^b/2$"},
		// done goes on to the unreadable commit while b waits in the next one: that is then what the walk begins at.
		{"unreadable, and done stands on it", nil, func(w *world, r *Repo) {
			w.list(entries("a"))
			r.finishAll(w.t)
			w.list(entries("a") + "- task: {name: 'x")
			w.list(entries("a", "b", "c"))
			p, err := r.refresh(context.Background())
			if err != nil || len(p.pending) == 0 {
				w.t.Fatal(p, err)
			}
			if err := r.markDone(context.Background(), spec{ID: p.pending[0].ID(), Task: p.pending[0].Task}, "exit 0"); err != nil {
				w.t.Error(err)
			}
		}, "^c/3$"},
		{"unreadable twice, and done moved onto it by hand", nil, func(w *world, r *Repo) {
			w.list(entries("a"))
			r.finishAll(w.t)
			w.list(entries("a") + "- task: {name: 'x")
			w.list(entries("a") + "- task: {name: 'y")
			w.sh("git push -q -f origin master:done")
			w.list(entries("a", "b"))
		}, "^b/2$"},
		{"a stray --- hides nothing", nil, func(w *world, _ *Repo) { w.list(entries("a") + "---\n" + entries("b")) }, `^trouble: envs/default/tasks.yaml, line [45]: a second YAML document begins here, and nothing after that .---. would run; take the line out .commit`},
		{"an empty first document", nil, func(w *world, _ *Repo) { w.list("---\n" + entries("b")) }, `^trouble: .*a second YAML document`},
		{"a stray ---, and its repair", nil, func(w *world, r *Repo) {
			w.list(entries("a", "b", "c"))
			r.finishAll(w.t)
			w.list(entries("a") + "---\n" + entries("b", "c", "d"))
			p, err := r.refresh(context.Background())
			if err == nil || p.passed() != "" {
				w.t.Error(p, err)
			}
			w.list(entries("a", "b", "c", "d"))
		}, "^d/4$"},
		// An earlier version read the first document, ran what was new in it, and went on.
		{"a stray ---, the repair after an earlier version ran it", nil, func(w *world, r *Repo) {
			w.list(entries("a", "b"))
			r.finishAll(w.t)
			w.list(entries("a", "x") + "---\n" + entries("b"))
			w.sh("git push -q -f origin master:done")
			w.list(entries("a", "x", "b", "d"))
		}, "^d/4$"},
		{"a stray ---, and an earlier version stopped in its middle", nil, func(w *world, r *Repo) {
			c := w.list(entries("x", "y") + "---\n" + entries("b"))
			w.sh("git fetch -q; git push -q origin $(git commit-tree -p origin/done -m 'Done: x\n' -m 'Jarvis-Task: " + c + "-1' origin/done^{tree}):done")
			w.list(entries("x", "y", "b"))
		}, "^y/2 b/3$"},
		{"no hosts in hosts", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, hosts: }") }, `^trouble: envs/default/tasks.yaml, line 2: hosts is empty; leave it out for the server itself`},
		{"no hosts in hosts, as ~", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, hosts: ~}") }, `: hosts is empty`},
		{"no hosts in hosts, as a list", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, hosts: []}") }, `: hosts is empty`},
		{"no hosts in hosts, the repair after an earlier version ran it", nil, func(w *world, r *Repo) {
			w.list(entries("a"))
			r.finishAll(w.t)
			w.list(entries("a") + "- task: {name: e, shell: f, hosts: }\n" + entries("z"))
			w.sh("git push -q -f origin master:done")
			w.list(entries("a") + "- task: {name: e, shell: f}\n" + entries("z", "new"))
		}, "^new/4$"},
		{"a list at the top", func(c *Config) { c.Env = "prod" }, func(w *world, _ *Repo) {
			w.sh("printf -- '" + strings.ReplaceAll(entries("t"), "\n", "\\n") + "' > tasks.yaml; git add -A; git commit -qm t; git push -q origin master")
		}, "^t/1$"},
		{"not YAML", nil, func(w *world, _ *Repo) { w.list("- task: {name: 'a") }, `^trouble: envs/default/tasks.yaml, line 2: this is not YAML: .* \(commit [0-9a-f]{8} by Alice\)$`},
		{"not YAML for a while", nil, func(w *world, _ *Repo) { w.list(entries("a")); w.list("- task: {name: 'a"); w.list(entries("a", "b")) }, "^a/1 b/2$"},
		{"a key that is none", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shel: b}") }, `line 2: a task has no key "shel"; shell is meant, it seems .there is name, shell`},
		{"a key that is none, near one", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, needs-aproval: true}") }, `a task has no key "needs-aproval"; needs_approval is meant`},
		{"as whom", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, user: nobody}") }, `a task has no key "user": as whom tasks run is .user. of the repository's entry in jarvis.yaml`},
		{"one host", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, host: web1}") }, `a task has no key "host"; hosts is meant`},
		{"an extra key", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, ticket: OPS-12}\n" + entries("c")) }, `^a/1 c/2$`},
		{"no shell", nil, func(w *world, _ *Repo) { w.list("- task: {name: a}") }, `"a" has no shell`},
		{"a timeout that is none", nil, func(w *world, _ *Repo) { w.list("- task: {name: a, shell: b, timeout: soon}") }, `the timeout of "a" is "soon"; write it as 30s`},
		{"history is rewritten", nil, func(w *world, r *Repo) {
			w.list(entries("a"))
			r.finishAll(w.t)
			w.sh("git commit -q --amend -m other; git push -qf origin master")
		}, "^trouble: the branch done holds the commit [0-9a-f]{8} by Alice .change., which the wanted branch does not: its history was rewritten"},
		{"edited after it ran, and put back", nil, func(w *world, r *Repo) {
			w.list(entries("a", "b"))
			r.finishAll(w.t)
			w.list(entries("a2", "b"))
			w.list(entries("a", "b"))
		}, "^$"},
		{"edited after it ran, put back, and more", nil, func(w *world, r *Repo) {
			w.list(entries("a", "b"))
			r.finishAll(w.t)
			w.list(entries("a2", "b", "c"))
			w.list(entries("a3", "b", "c"))
			w.list(entries("a", "b", "c"))
			w.list(entries("a", "b", "c", "d"))
		}, "^c/3 d/4$"},
		{"edited after it ran, and another after that", nil, func(w *world, r *Repo) {
			w.list(entries("a", "b"))
			r.finishAll(w.t)
			w.list(entries("a2", "b"))
			w.sh("git config user.name Bob")
			w.list(entries("a2", "b", "c"))
		}, "^trouble: the task \"a\" was edited after it ran .*by Alice.; put the old text back"},
		{"a merge of a pull request is rewritten", nil, func(w *world, r *Repo) {
			w.sh("git checkout -q -b pr; git commit -q --allow-empty -m pr; git checkout -q master; git commit -q --allow-empty -m more; git push -q origin master")
			r.finishAll(w.t)
			w.sh("git merge -q --no-ff --no-commit pr; printf -- '---\n" + strings.ReplaceAll(entries("a"), "\n", "\\n") + "' > envs/default/tasks.yaml; git add -A; git commit -qm 'Merge pull request'; git push -q origin master")
			r.finishAll(w.t)
			w.sh("git commit -q --amend -m other; git push -qf origin master")
		}, "^trouble: the branch done holds the commit [0-9a-f]{8} by Alice .Merge pull request.,"},
		{"a merge at the beginning of done is rewritten", nil, func(w *world, r *Repo) {
			w.sh("git checkout -q -b pr; git commit -q --allow-empty -m pr; git checkout -q master; git commit -q --allow-empty -m more; git merge -q --no-ff -m 'Merge pull request' pr; git push -q origin master master:done")
			w.sh("git commit -q --amend -m other; git push -qf origin master")
		}, "^trouble: the branch done holds the commit [0-9a-f]{8} by Alice .Merge pull request.,"},
		{"a merge of no tasks, and then some", nil, func(w *world, r *Repo) {
			w.sh("git commit -q --allow-empty -m none; git push -q origin master")
			r.finishAll(w.t)
			w.list(entries("a"))
		}, "^a/1$"},
		{"somebody commits to done", nil, func(w *world, _ *Repo) {
			w.sh("git checkout -q -b done; echo x > x; git add x; git commit -qm 'by hand'; git push -q origin done; git checkout -q master")
			w.list(entries("a"))
		}, "^trouble: the branch done holds the commit [0-9a-f]{8} by Alice .by hand.,"},
		{"another history altogether", nil, func(w *world, _ *Repo) {
			w.sh("git checkout -q --orphan new; git commit -qm new; git push -qf origin new:master")
		}, "^trouble: the branch done holds the commit"},
		{"no done", nil, func(w *world, _ *Repo) { w.sh("git push -q origin :done") }, "^trouble: there is no branch done .* `git push origin COMMIT:refs/heads/done`"},
		{"no main", func(c *Config) { c.Branch = "wanted" }, func(*world, *Repo) {}, "^trouble: there is no branch wanted"},
		{"hosts only", func(c *Config) { c.Where = SSH }, func(w *world, _ *Repo) { w.list(entries("a")) }, `^trouble: "a" .* names no hosts`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			r := w.repo(c.cfg)
			c.do(w, r)
			if got := waiting(r); !regexp.MustCompile(c.want).MatchString(got) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// What a repository holds when all is done, Finglonger would find done as well.
func TestDoneTellsTheTruth(t *testing.T) {
	w := newWorld(t)
	r := w.repo(nil)
	w.list(entries("a", "b"))
	w.list(entries("a", "b", "c"))
	r.finishAll(t)
	w.sh("git fetch -q --prune")
	if got := w.sh("git diff origin/master origin/done; git rev-list origin/done..origin/master; git ls-remote origin 'refs/jarvis/*'"); got != "" {
		t.Errorf("left: %s", got)
	}
	if got := w.sh("git log --first-parent --reverse --format='%s|%(trailers:key=Jarvis-Outcome,valueonly,separator=%x2c)|%p' origin/done | sed -E 's/[0-9a-f]{7,}/X/g'"); got != "start||\nDone: a|exit 0|X\nMerge X: b|exit 0|X X\nMerge X: c|exit 0|X X" {
		t.Error(got)
	}
}

// What somebody pushes while a task runs cannot keep it from being marked as done, and nothing behind it starts.
func TestTroubleBehindATaskThatRan(t *testing.T) {
	for name, push := range map[string]func(w *world){
		"too many": func(w *world) { w.list(entries("a", "b", "c", "d", "e", "f", "g")) },
		"no YAML":  func(w *world) { w.list(entries("a") + "- task: {name: 'x") },
		"an edit":  func(w *world) { w.list(entries("a", "b")); w.list(entries("a2", "b")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.repo(nil)
			w.list(entries("a"))
			p, err := r.refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ran := spec{ID: p.pending[0].ID(), Task: p.pending[0].Task}
			r.running = func(context.Context) string { return ran.ID }
			push(w)
			if err := r.markDone(t.Context(), ran, "exit 0"); err != nil {
				t.Fatal(err)
			}
			if got := w.sh("git fetch -q; git log -1 --format='%(trailers:key=Jarvis-Task,valueonly)' origin/done"); got != ran.ID {
				t.Errorf("done says %q", got)
			}
			if got := waiting(r); !strings.HasPrefix(got, "trouble: ") && name != "taken back" {
				t.Error(got)
			}
		})
	}
}

// Two servers ask for one task; the git server gives it to one.
func TestAClaimIsForOne(t *testing.T) {
	w := newWorld(t)
	w.list(entries("a"))
	const n = 6
	got := make(chan string, n)
	var id string
	repos := make([]*Repo, n)
	for i := range repos {
		repos[i] = w.repo(nil)
		p, err := repos[i].refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id = p.pending[0].ID()
	}
	for i, r := range repos {
		go func() {
			by, err := r.git.claim(t.Context(), id, fmt.Sprint("server ", i))
			if err != nil {
				by = err.Error()
			}
			got <- by
		}()
	}
	first := <-got
	for range n - 1 {
		if by := <-got; by != first {
			t.Errorf("%q and %q", first, by)
		}
	}
	if !strings.HasPrefix(first, "server ") {
		t.Error(first)
	}
}

// Only what a key of the list has signed runs.
func TestSignedCommits(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	key, signers := filepath.Join(dir, "key"), filepath.Join(dir, "signers")
	w.sh("ssh-keygen -q -t ed25519 -N '' -f " + key + "; ssh-keygen -q -t ed25519 -N '' -f " + key + "2; printf 'alice@example.org %s\\n' \"$(cut -d' ' -f1,2 " + key + ".pub)\" > " + signers)
	r := w.repo(func(c *Config) { c.RequireSigned, c.AllowedSigners = true, signers })
	w.list(entries("a"))
	if got := waiting(r); !strings.Contains(got, "by Alice is not signed by a key of") {
		t.Error(got)
	}
	w.sh("git config gpg.format ssh; git config user.signingkey " + key + "2; git commit -q --amend -S -m signed; git push -qf origin HEAD:master")
	if got := waiting(r); !strings.Contains(got, "by Alice is not signed by a key of") {
		t.Error("signed by another:", got)
	}
	w.sh("git config user.signingkey " + key + "; git commit -q --amend -S -m signed; git push -qf origin HEAD:master")
	if got := waiting(r); got != "a/1" {
		t.Error("signed:", got)
	}
	// Who approves a task must not be who wrote it: only a signature of one of `people` says who that is.
	signer := func() string { return r.signer(t.Context(), w.sh("git rev-parse HEAD")) }
	if got := signer(); got != "" {
		t.Errorf("signer = %q, who is none of people", got)
	}
	r.log.world.Known = func(name string) bool { return name == "alice@example.org" || name == "Alice" }
	if got := signer(); got != "alice@example.org" {
		t.Errorf("signer = %q", got)
	}
	w.sh("git commit -q --amend --no-gpg-sign -m unsigned; git push -qf origin HEAD:master")
	if got := waiting(r); signer() != "" || !strings.Contains(got, "is not signed") {
		t.Errorf("signer of what is not signed = %q, %s", signer(), got)
	}
}

// TestAnOpenPGPSignature is the attack: mallory's key is in the keyring of the server's user for some other reason, and
// not among the allowed signers.
func TestAnOpenPGPSignature(t *testing.T) {
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "gpg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", dir)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--kill", "all").Run()
		_ = os.RemoveAll(dir)
	})
	signers := filepath.Join(t.TempDir(), "signers")
	w.sh("ssh-keygen -q -t ed25519 -N '' -f " + signers + ".key; printf 'alice@example.org %s\n' \"$(cut -d' ' -f1,2 " + signers + ".key.pub)\" > " + signers)
	w.sh("gpg -q --batch --passphrase '' --quick-generate-key 'Mallory <m@example.org>' 2>&1; git config gpg.format openpgp; git config user.signingkey m@example.org")
	r := w.repo(func(c *Config) { c.RequireSigned, c.AllowedSigners = true, signers })
	w.list(entries("a"))
	w.sh("git commit -q --amend -S -m signed; git push -qf origin HEAD:master; git verify-commit HEAD 2>&1")
	if got := waiting(r); !strings.Contains(got, "by Alice is not signed by a key of") {
		t.Error(got)
	}
}

// TestEnvironmentsOfOneRepository: each runs all of its own tasks, exactly once, from where the shared done stood.
func TestEnvironmentsOfOneRepository(t *testing.T) {
	w := newWorld(t)
	put := func(env, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(w.work, "envs", env), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.work, "envs", env, "tasks.yaml"), []byte("---\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		w.sh("git add -A; git commit -qm change; git push -q origin HEAD:master")
	}
	put("prod", entries("old"))
	put("stage", entries("old"))
	w.sh("git push -q origin master:done")
	l, err := New([]Config{{Repo: w.bare, Name: "prod", Env: "prod"}, {Repo: w.bare, Name: "stage", Env: "stage"}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string][]string{}
	put("prod", entries("old", "p1"))
	put("stage", entries("old", "s1"))
	put("prod", entries("old", "p1", "p2"))
	for range 4 { // in turns, as they go
		for _, r := range l.repos {
			r.running, r.past = func(context.Context) string { return "" }, record{}
			p, err := r.refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(p.pending) == 0 {
				continue
			}
			ran[r.cfg.Env] = append(ran[r.cfg.Env], p.pending[0].Task.Name)
			if err := r.markDone(t.Context(), spec{ID: p.pending[0].ID(), Task: p.pending[0].Task}, "exit 0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := fmt.Sprint(ran); got != "map[prod:[p1 p2] stage:[s1]]" {
		t.Error(got)
	}
	for _, two := range [][2]Config{
		{{Repo: w.bare, Name: "a", Env: "prod", Done: "done"}, {Repo: w.bare + "/", Name: "b", Env: "stage", Done: "done"}},
		{{Repo: w.bare, Name: "a", Env: "prod"}, {Repo: strings.TrimSuffix(w.bare, ".git"), Name: "b", Env: "prod", Done: "other"}},
	} {
		if _, err := New(two[:], t.TempDir()); err == nil || !strings.Contains(err.Error(), "would count as done for the other") {
			t.Errorf("New = %v", err)
		}
	}
}

// TestMarksOfAnotherEnvironment: an id is a commit and a position, so that one commit for two environments has two
// tasks of one id. The branch of prod begins at that of default, with its marks, and prod lost its own first task.
func TestMarksOfAnotherEnvironment(t *testing.T) {
	prod := func(c *Config) { c.Env, c.Name = "prod", "infra-prod" }
	begin := func(t *testing.T, names ...string) (w *world, def *Repo, id string) {
		w = newWorld(t)
		w.sh("mkdir -p envs/prod; printf -- '---\\n' > envs/prod/tasks.yaml; git add -A; git commit -qm prod; git push -q origin HEAD:master HEAD:done")
		if err := os.WriteFile(filepath.Join(w.work, "envs/prod/tasks.yaml"), []byte(entries(names...)), 0o644); err != nil {
			t.Fatal(err)
		}
		id = w.list(entries("a", "b")) + "-1"
		return w, w.repo(nil), id
	}
	t.Run("as they are written", func(t *testing.T) {
		w, def, id := begin(t, "p1", "p2")
		if got := waiting(def); got != "a/1 b/2" {
			t.Fatal(got)
		}
		if err := def.markDone(t.Context(), spec{ID: id, Task: Task{Name: "a"}}, "exit 0"); err != nil {
			t.Fatal(err)
		}
		r := w.repo(prod)
		if got := waiting(def) + "; " + waiting(r); got != "b/2; p1/1 p2/2" {
			t.Error(got)
		}
		r.finishAll(t)
		if got := waiting(def) + "; " + waiting(r); got != "b/2; " {
			t.Error(got)
		}
	})
	for _, c := range []struct{ name, branch, subject, task, want string }{
		{"as an earlier version wrote them, on the branch that it began at", "done", "a", "p1", "p1/1 p2/2"},
		{"as an earlier version wrote them, when all shared one branch", "done", "p1", "p1", "p2/2"},
		{"as an earlier version wrote them, on its own branch", "done-prod", "p1", "p1", "p2/2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _, id := begin(t, c.task, "p2")
			w.sh("git fetch -q; git push -q origin $(git commit-tree -p origin/done -m 'Done: " + c.subject + "' -m 'Jarvis-Task: " + id + "' origin/done^{tree}):refs/heads/" + c.branch)
			if got := waiting(w.repo(prod)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestAnEditOfWhatHasRun: a task ran on web81 and waits for web99; a commit edits its hosts, somebody cancels, and the
// edited one began on web81 again with nobody deciding.
func TestAnEditOfWhatHasRun(t *testing.T) {
	one := func(hosts, shell string) string {
		return "- task: {name: a, hosts: " + hosts + ", shell: " + shell + "}\n"
	}
	w := newWorld(t)
	r := w.repo(nil)
	first := w.list(one("[web81, web99]", "x")) + "-1"
	second := w.list(one("[web81]", "x")+entries("b")) + "-1"
	if got := waiting(r); got != "a/1 b/2" {
		t.Errorf("edited before it ran: %s", got)
	}
	rec := record{ran: map[string]string{first: "it went well on web81"}, again: map[string]bool{}}
	r.past = rec
	want := fmt.Sprintf("trouble: the task \"a\" (%.8s-1) was edited after it ran: it went well on web81 (envs/default/tasks.yaml, commit %.8s by Alice); `task retry infra` runs it as it is now, and not where it went well with the same text; `task done infra` goes on without", second, second)
	if got := waiting(r); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	third := w.list(entries("b")+one("[web81]", "y")) + "-2"
	if got := waiting(r); got != "b/2 a/2" { // moved as well
		t.Errorf("edited twice: %s", got)
	}
	if err := r.markDone(t.Context(), spec{ID: second[:len(second)-1] + "2", Task: Task{Name: "b"}}, "exit 0"); err != nil {
		t.Fatal(err)
	}
	if got := waiting(r); got != strings.ReplaceAll(strings.ReplaceAll(want, second[:8], third[:8]), "-1)", "-2)") {
		t.Errorf("edited twice: %s", got)
	}
	rec.again[third] = true
	if got := waiting(r); got != "a/2" {
		t.Errorf("a person said retry: %s", got)
	}
	rec.again[third] = false
	if err := r.markDone(t.Context(), spec{ID: third, Task: Task{Name: "a"}}, "said to be done by bob"); err != nil {
		t.Fatal(err)
	}
	if got := waiting(r); got != "" {
		t.Errorf("a person said done: %s", got)
	}
	// What has begun and failed, was edited, and has its old text again, is what it was.
	begun := w.list(entries("b")+one("[web81]", "y")+one("[web82]", "z")) + "-3"
	rec.ran[begun] = "it failed on web82"
	w.list(entries("b") + one("[web81]", "y") + one("[web82]", "zz"))
	if got := waiting(r); !strings.Contains(got, "was edited after it ran") {
		t.Errorf("edited after it failed: %s", got)
	}
	w.list(entries("b") + one("[web81]", "y") + one("[web82]", "z"))
	if got := waiting(r); got != "a/3" {
		t.Errorf("put back after it failed: %s", got)
	}
	if p, _ := r.refresh(t.Context()); len(p.pending) != 1 || p.pending[0].ID() != begun {
		t.Errorf("it is %+v, want %s", p.pending, begun)
	}
	w.list(entries("b") + one("[web81]", "y"))
	// Taken back is taken back.
	fourth := w.list(entries("b")+one("[web81]", "y")+entries("c")) + "-3"
	rec.ran[fourth] = "it failed on the server itself"
	w.list(entries("b") + one("[web81]", "y"))
	if got := waiting(r); got != "" {
		t.Errorf("%s", got)
	}
}

func FuzzTaskList(f *testing.F) {
	f.Add("---\n" + entries("a", "b"))
	f.Add("- task: {name: a, shell: b, hosts: [x], env: {A: b}, timeout: 3s, needs_approval: true}")
	f.Add("[]")
	f.Add("- &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseList("tasks.yaml", []byte(text))
		if err != nil && list != nil {
			t.Error("both a list and an error")
		}
		for _, e := range list {
			if e.task.Name == "" || e.task.Shell == "" || e.line < 1 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func FuzzDiff(f *testing.F) {
	f.Add("abc", "abxc")
	f.Add("aa", "a")
	f.Fuzz(func(t *testing.T, old, now string) {
		a, b := strings.Split(old, ""), strings.Split(now, "")
		if len(a) > 200 || len(b) > 200 {
			return
		}
		same, hunks := diff(a, b)
		n, m := len(same), len(same)
		for _, s := range same {
			if a[s[0]] != b[s[1]] {
				t.Fatal("they are not the same")
			}
		}
		for _, h := range hunks {
			if h.A > h.B || h.C > h.D || h.A == h.B && h.C == h.D {
				t.Fatalf("%+v", h)
			}
			n, m = n+h.B-h.A, m+h.D-h.C
		}
		if n != len(a) || m != len(b) {
			t.Fatalf("%d of %d, %d of %d", n, len(a), m, len(b))
		}
	})
}

// The record shortens what is wrong; it is the same trouble all the same, and is not said again every minute.
func TestTheSameTroubleIsSaidOnce(t *testing.T) {
	long := "a  name\twith   spaces, " + strings.Repeat("and much more ", 80)
	kept := strings.Join(strings.Fields(long), " ")
	for _, c := range []struct {
		kept, text string
		want       bool
	}{
		{kept, long, true}, {kept[:600] + "…", long, true}, {kept[:600] + "…", "another " + long, false}, {"a", "b", false}, {"a", "ab", false},
	} {
		if got := sameText(c.kept, c.text); got != c.want {
			t.Errorf("sameText(%.30q, %.30q) = %v", c.kept, c.text, got)
		}
	}
}

// TestARewrittenHistory: somebody amends a commit of which a task has run, or runs. It has another name then, and what
// ran is the same task all the same.
func TestARewrittenHistory(t *testing.T) {
	const amend = "git commit -q --amend -m other; git push -qf origin HEAD:master"
	first := func(r *Repo) Pending {
		p, err := r.refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p.pending[0]
	}
	t.Run("one of two has run", func(t *testing.T) {
		w := newWorld(t)
		r := w.repo(nil)
		w.list(entries("a", "b"))
		a := first(r)
		if err := r.markDone(t.Context(), spec{ID: a.ID(), Task: a.Task}, "exit 0"); err != nil {
			t.Fatal(err)
		}
		w.sh(amend)
		if got := waiting(r); got != "b/2" {
			t.Error(got)
		}
		r.finishAll(t)
		w.list(entries("a", "b", "c"))
		if got := waiting(r); got != "c/3" {
			t.Error(got)
		}
		if got := waiting(w.repo(nil)); got != "c/3" { // another server has nothing but the git server's word
			t.Error(got)
		}
	})
	t.Run("one of two has run, and another server goes on", func(t *testing.T) {
		w := newWorld(t)
		r := w.repo(nil)
		w.list(entries("a", "b"))
		a := first(r)
		if err := r.markDone(t.Context(), spec{ID: a.ID(), Task: a.Task}, "exit 0"); err != nil {
			t.Fatal(err)
		}
		w.sh(amend)
		if got := waiting(w.repo(nil)); got != "b/2" {
			t.Error(got)
		}
	})
	t.Run("one has failed, and another one comes", func(t *testing.T) {
		w := newWorld(t)
		r := w.repo(nil)
		w.list(entries("a"))
		a := first(r)
		r.past = record{newest: a.ID(), ran: map[string]string{a.ID(): "it failed on the server itself"}}
		w.sh(amend)
		if p := first(r); p.ID() != a.ID() {
			t.Errorf("%s is %s now", a.ID(), p.ID())
		}
		w.sh("sed -i 's/echo a/echo A/' envs/default/tasks.yaml; git commit -qam edited --amend; git push -qf origin HEAD:master")
		if got := waiting(r); !strings.Contains(got, `the task "a" (`) || !strings.Contains(got, "was edited after it ran: it failed on the server itself") {
			t.Error(got)
		}
		w.sh("git reset -q --hard HEAD~1; git push -qf origin HEAD:master")
		w.list(entries("b"))
		if got := waiting(r); got != "b/1" {
			t.Error(got)
		}
	})
	for name, c := range map[string]struct{ push, want, then string }{
		"one runs":                           {amend, "a/1 b/2", "b/2"},
		"one runs, and is taken back":        {"git reset -q --hard HEAD~1; git push -qf origin HEAD:master", "", ""},
		"one runs, and others come instead":  {"sed -i 's/echo [ab]/echo x/; s/name: [ab]/name: y/' envs/default/tasks.yaml; git commit -qam edited --amend; git push -qf origin HEAD:master", `trouble: the task "a" was changed or taken back while it ran`, "y/1 y/2"},
		"one runs, and is edited underneath": {"sed -i 's/echo a/echo A/' envs/default/tasks.yaml; git commit -qam edited --amend; git push -qf origin HEAD:master", `trouble: the task "a" was changed or taken back while it ran`, `trouble: the task "a" was edited after it ran`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.repo(nil)
			w.list(entries("a", "b"))
			a := first(r)
			r.running = func(context.Context) string { return a.ID() }
			w.sh(c.push)
			if got := waiting(r); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
			if err := r.markDone(t.Context(), spec{ID: a.ID(), Task: a.Task}, "exit 0"); err != nil {
				t.Fatal(err)
			}
			if got := w.sh("git fetch -q; git log -1 --format='%(trailers:key=Jarvis-Task,valueonly)' origin/done"); got != a.ID() {
				t.Errorf("done says %q", got)
			}
			r.running = func(context.Context) string { return "" }
			if got := waiting(r); !strings.HasPrefix(got, c.then) || c.then == "" && got != "" {
				t.Errorf("%s, want %s", got, c.then)
			}
		})
	}
}

// TestManyCommitsBehind: a look costs as many processes with four hundred commits behind a stuck task as with four, and
// a list that was read is not read again.
func TestManyCommitsBehind(t *testing.T) {
	w := newWorld(t)
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	if err := os.WriteFile(filepath.Join(dir, "git"), fmt.Appendf(nil, "#!/bin/sh\necho >> %s\nexec %s \"$@\"\n", count, real), 0o755); err != nil {
		t.Fatal(err)
	}
	grow := func(from, to int) {
		t.Helper()
		var in, list strings.Builder
		list.WriteString("---\n")
		for i := range to {
			list.WriteString(entries(fmt.Sprint("t", i)))
			if i >= from {
				fmt.Fprintf(&in, "commit refs/heads/master\ncommitter Alice <a@x> %d +0000\ndata 1\nx\n%sM 100644 inline envs/default/tasks.yaml\ndata %d\n%s\n", time.Now().Unix()+int64(i), map[bool]string{true: "from refs/heads/master^0\n"}[i == from], list.Len(), list.String())
			}
		}
		cmd := exec.Command(real, "-C", w.bare, "fast-import", "--quiet")
		cmd.Stdin = strings.NewReader(in.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	r := w.repo(func(c *Config) { c.MaxTasks = 1000 })
	look := func(want int) int {
		t.Helper()
		p, err := r.refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		} else if len(p.pending) != want {
			t.Fatalf("%d wait", len(p.pending))
		}
		b, _ := os.ReadFile(count)
		_ = os.Remove(count)
		return len(b)
	}
	grow(0, 4)
	look(4)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	few := look(4)
	grow(4, 400)
	if many := look(400); few == 0 || many > few {
		t.Errorf("%d processes with 4 commits, and %d with 400", few, many)
	}
	read := r.parsed
	if look(400); len(read) != 401 {
		t.Errorf("%d lists are known", len(read))
	}
	for name, l := range read {
		if r.parsed[name] != l {
			t.Fatal("a list was read again")
		}
	}
	if testing.Verbose() {
		began := time.Now()
		look(400)
		t.Logf("%d processes, %s", few, time.Since(began))
	}
}

// TestAnExtraKeyIsSaid: it keeps nothing, and is told in the list.
func TestAnExtraKeyIsSaid(t *testing.T) {
	w := newWorld(t)
	r := w.repo(nil)
	w.list("- task: {name: a, shell: b, ticket: OPS-12}\n" + entries("c"))
	p, err := r.refresh(t.Context())
	if err != nil || fmt.Sprint(p.notes) != `[envs/default/tasks.yaml, line 2: "a" has keys that mean nothing here: ticket]` {
		t.Errorf("%q, %v", p.notes, err)
	}
	for key, want := range map[string]string{"Shell": "shell", "time-out": "timeout", "user": "", "when": "", "e": "", "nam": "name", "environment": "", "tags": "", "note": ""} {
		if got := near(key); got != want {
			t.Errorf("near(%q) = %q, want %q", key, got, want)
		}
	}
}

// TestACheckoutHasItsSubmodules: also those that are told relative to the repository, and those of submodules.
func TestACheckoutHasItsSubmodules(t *testing.T) {
	w := newWorld(t)
	w.sh(`for name in inner files; do git init -q --bare -b master ` + filepath.Dir(w.bare) + `/$name.git; git clone -q ` + filepath.Dir(w.bare) + `/$name.git ../$name 2>&1; done
cd ../inner; echo deep > deep; git add -A; git commit -qm x; git push -q origin HEAD:master
cd ../files; git -c protocol.file.allow=always submodule --quiet add -b master ../inner.git inner; echo x > x; git add -A; git commit -qm x; git push -q origin HEAD:master
cd ` + w.work + `; git -c protocol.file.allow=always submodule --quiet add -b master ../files.git files; git commit -qm x; git push -q origin HEAD:master`)
	r := w.repo(nil)
	if got := waiting(r); got != "" {
		t.Fatal(got)
	}
	dir := filepath.Join(t.TempDir(), "checkout")
	if err := r.git.checkout(t.Context(), w.sh("git rev-parse HEAD"), dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"files/x": "x\n", "files/inner/deep": "deep\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// TestAnEditOfWhatHasNotRun: done must not pass a list of which a task was edited before it ran, or the old text would
// count as done, and the new one as an edit of it.
func TestAnEditOfWhatHasNotRun(t *testing.T) {
	for name, row := range map[string]struct {
		first string
		edits []string
		want  []string
	}{
		"in the middle":                {entries("a", "b", "c"), []string{entries("a", "b2", "c")}, []string{"a", "c", "b2"}},
		"twice":                        {entries("a", "b", "c"), []string{entries("a", "b2", "c"), entries("a", "b3", "c")}, []string{"a", "c", "b3"}},
		"with one more":                {entries("a", "b", "c"), []string{entries("a", "b2", "x", "c")}, []string{"a", "c", "b2", "x"}},
		"and one more after it":        {entries("a", "b", "c"), []string{entries("a", "b2", "c"), entries("a", "b2", "c", "d")}, []string{"a", "c", "b2", "d"}},
		"taken back beside it":         {entries("a", "b", "c"), []string{entries("a", "c2")}, []string{"a", "c2"}},
		"and back again":               {entries("a", "b", "c"), []string{entries("a", "b2", "c"), entries("a", "b", "c")}, []string{"a", "c", "b"}},
		"taken back, and then another": {entries("a", "b", "c"), []string{entries("a", "c"), entries("a", "x", "c")}, []string{"a", "c", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.repo(nil)
			w.list(row.first)
			p, err := r.refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var ran []string
			running := p.pending[0].ID()
			r.running = func(context.Context) string { return running }
			for i := 0; len(p.pending) > 0; i++ {
				one := p.pending[0]
				running = one.ID()
				if i == 0 { // while the first runs
					for _, list := range row.edits {
						w.list(list)
					}
				}
				if err := r.markDone(t.Context(), spec{ID: one.ID(), Task: one.Task}, "exit 0"); err != nil {
					t.Fatal(err)
				}
				running = ""
				ran = append(ran, one.Task.Name)
				if p, err = r.refresh(t.Context()); err != nil {
					t.Fatalf("after %q: %v", ran, err)
				}
			}
			if !slices.Equal(ran, row.want) {
				t.Errorf("%q ran, want %q", ran, row.want)
			}
			if got := w.sh("git fetch -q; git diff origin/master origin/done; git rev-list origin/done..origin/master"); got != "" {
				t.Errorf("left: %s", got)
			}
		})
	}
}
