package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// taskRepo is a repository laid out as Finglonger's, and somebody's clone of it.
type taskRepo struct {
	t          *testing.T
	bare, work string
	list       string
}

func newTaskRepo(t *testing.T) *taskRepo {
	t.Helper()
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "alice")
		t.Setenv("GIT_"+who+"_EMAIL", "alice@example.org")
	}
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	dir := t.TempDir()
	r := &taskRepo{t: t, bare: filepath.Join(dir, "infra.git"), work: filepath.Join(dir, "work"), list: "---\n"}
	r.sh(dir, "git init -q --bare -b master infra.git; git clone -q infra.git work 2>/dev/null; cd work; git checkout -q -b master 2>/dev/null || true; mkdir -p envs/default files scripts; echo --- > envs/default/tasks.yaml; git add -A; git commit -qm start; git push -q origin master master:done")
	return r
}

func (r *taskRepo) sh(dir, script string) string {
	r.t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// add commits entries of the list.
func (r *taskRepo) add(message, text string) {
	r.t.Helper()
	r.list += text
	if err := os.WriteFile(filepath.Join(r.work, "envs/default/tasks.yaml"), []byte(r.list), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.sh(r.work, "git add -A; git commit -qm '"+message+"'; git push -q origin master")
}

// TestTasksAsFinglongerHasThem takes the task list of its README, over a real host, and talks about it on IRC.
func TestTasksAsFinglongerHasThem(t *testing.T) {
	r := newRow(t, 2, 95)
	repo := newTaskRepo(t)
	ircd := must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(ircd.Stop)
	dir := t.TempDir()
	// The tasks' own ssh finds its way by root's home, which is another here.
	sshHome := "HOME=" + r.home
	conf := filepath.Join(dir, "jarvis.yaml")
	port := must[int](t)(freePort())
	if err := os.WriteFile(conf, fmt.Appendf(nil, `data: ./data
listen: 127.0.0.1:%d
chat: [{irc: {server: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 200, interval: 5ms}}}]
people:
  - {name: bob, irc: "nick:bob", roles: [deploy, run, view]}
  - {name: carol, irc: "nick:carol", roles: [deploy, view]}
  - {name: dora, irc: "nick:dora", roles: [admin]}
workers: {ssh: {key: %s}}
tasks: [{repo: %s, every: 1h, hook_secret: "a long secret"}]
`, port, ircd.Addr, filepath.Join(r.home, ".ssh", "id"), repo.bare), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, conf)
	defer stop()
	bob := must[*real.IRCClient](t)(real.DialIRC(t.Context(), ircd.Addr, "bob", "#ops"))
	t.Cleanup(bob.Close)
	hear := func(t *testing.T, pattern string) {
		t.Helper()
		if _, err := bob.Next(pattern, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	hook := func() {
		t.Helper()
		body := `{"ref":"refs/heads/master"}`
		mac := hmac.New(sha256.New, []byte("a long secret"))
		_, _ = mac.Write([]byte(body))
		for sig, want := range map[string]int{"sha256=" + hex.EncodeToString(mac.Sum(nil)): 200, "sha256=00": 403, "": 403} {
			q := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/hooks/git", port), strings.NewReader(body)))
			q.Header.Set("X-Hub-Signature-256", sig)
			res := must[*http.Response](t)(http.DefaultClient.Do(q))
			_ = res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("the webhook signed %q answers %s", sig, res.Status)
			}
		}
	}

	if err := os.WriteFile(filepath.Join(repo.work, "files/config.js"), []byte("config\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	options := "-o UserKnownHostsFile=" + r.home + "/.ssh/known_hosts -i " + r.home + "/.ssh/id"
	r.inside(t, 1, "mkdir -p /var/www/html/myapp")
	log := filepath.Join(dir, "rsync_log1.txt")
	repo.add("finglonger", `- task:
    name: Hello world job
    shell: echo 'Hello, World!'
- task:
    name: Copy config.js to /var/www/html/myapp on app-server1.example.com
    shell: scp `+options+` files/config.js root@127.95.0.1:/var/www/html/myapp/config.js
- task:
    name: Restart nova-api on compute1
    shell: ssh `+options+` root@127.95.0.1 'echo restarted > /root/nova-api'
- task:
    name: Some task that takes a while
    shell: |
      echo "starting the big script woo"
      dd if=/dev/zero of=`+dir+`/bigfile bs=1k count=1000
- task:
    name: Something we care about the status of
    shell: |
      echo "starting the big rsync woo"
      echo `+sshHome+` | tee `+log+`
`)
	hook()
	for _, name := range []string{"Hello world job", "Copy config.js to .*", "Restart nova-api on compute1", "Some task that takes a while", "Something we care about the status of"} {
		hear(t, `PRIVMSG #ops :infra: the task “`+name+`” by alice \([0-9a-f]{8}-[1-5]\) is done, in `)
	}
	if got := r.read(1, "var/www/html/myapp/config.js") + r.read(1, "root/nova-api"); got != "config\nrestarted\n" {
		t.Errorf("on the host is %q", got)
	}
	if b, _ := os.ReadFile(log); string(b) != sshHome+"\n" {
		t.Errorf("tee wrote %q", b)
	}
	if code, out, _ := jarvis(t, "", "--config", conf, "log", "infra.task"); code != 0 || !strings.Contains(out, "starting the big rsync woo") {
		t.Errorf("log: %s", out)
	}

	t.Run("on hosts, over the SSH core", func(t *testing.T) {
		repo.add("hosts", "- task:\n    name: everywhere\n    hosts: ['web[1-2]']\n    env: {WHAT: it is}\n    shell: echo \"$WHAT\" here > /root/everywhere; hostname\n")
		hook()
		hear(t, `infra: the task “everywhere” by alice .* is done`)
		if got := r.read(1, "root/everywhere") + r.read(2, "root/everywhere"); got != "it is here\nit is here\n" {
			t.Errorf("on the hosts is %q", got)
		}
	})
	t.Run("a failure holds what is behind it", func(t *testing.T) {
		repo.add("fails", "- task: {name: bad, shell: echo oh no; exit 4}\n- task: {name: good, shell: 'true'}\n")
		hook()
		hear(t, `PRIVMSG #ops :infra: the task failed after .*: “bad” by alice ended with exit code 4: oh no\. `+"`task retry infra` runs it again")
		bob.Say("#ops", "jarvis: task")
		hear(t, `infra \(default\): 1 task waits`)
		hear(t, `good, by alice, .* ago: waits`)
		bob.Say("#ops", "jarvis: task retry infra")
		hear(t, `infra goes on at stage 2/3 task:run`)
		hear(t, `infra: the task failed after .*oh no`)
		bob.Say("#ops", "jarvis: task done infra")
		hear(t, `the task “bad” by alice .* counts as done: exit 4; said to be done by a person`)
		hear(t, `the task “good” by alice .* is done`)
	})
	t.Run("an edit of what has run waits for a person", func(t *testing.T) {
		before := repo.list
		edit := func(text string) {
			t.Helper()
			repo.list = before
			repo.add("edit", text)
			hook()
		}
		const head = "- task:\n    name: twice\n    hosts: ['web[1-2]']\n    shell: "
		r.inside(t, 2, "touch /root/bad")
		edit(head + "echo x >> /root/twice; [ ! -e /root/bad ]\n")
		hear(t, `infra: the task failed after .*on web2 it ended with exit code 1`)
		bob.Say("#ops", "jarvis: cancel infra.task")
		hear(t, `infra: the task “twice” by alice .* it went well on web1; it failed on web2 .exit code 1.`)
		edit("# moved\n" + head + "echo x >> /root/twice; [ ! -e /root/bad ]\n    timeout: 5m\n")
		hear(t, `infra: no task runs: the task "twice" .* was edited after it ran: it went well on web1; it failed on web2 .exit code 1. .*`+"`task retry infra` runs it as it is now, and not where it went well with the same text")
		if got := r.read(1, "root/twice") + r.read(2, "root/twice"); got != "x\nx\n" {
			t.Errorf("it ran with nobody deciding: %q", got)
		}
		head7 := repo.sh(repo.work, "git rev-parse --short=7 HEAD")
		bob.Say("#ops", "jarvis: task show "+strings.TrimSpace(head7)) // as git says it
		hear(t, `twice \([0-9a-f]{8}-[0-9]+\), by alice, .* of infra \(default\):`)
		hear(t, `on web\[1-2\], as whoever logs in, for at most 5m.*; no approval is needed`)
		r.inside(t, 2, "rm /root/bad")
		bob.Say("#ops", "jarvis: task retry infra")
		hear(t, `infra: the repository of tasks is in order again`)
		hear(t, `the task “twice” by alice .* is done`)
		if got := r.read(1, "root/twice") + "|" + r.read(2, "root/twice"); got != "x\n|x\nx\n" {
			t.Errorf("it ran again where it had gone well: %q", got)
		}
	})
	t.Run("a second person", func(t *testing.T) {
		repo.add("careful", "- task: {name: careful, needs_approval: true, shell: echo done carefully}\n")
		hook()
		line, err := bob.Next("infra: run [0-9]+, .* waits for a second person: `approve [0-9]+`", 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		approve := "jarvis: " + regexp.MustCompile(`approve [0-9]+`).FindString(line)
		// bob may be who wrote it, under another name in git.
		bob.Say("#ops", approve)
		hear(t, "bob: nothing proves that it was not you who wrote the task of run [0-9]+: nobody of `people` signed its commit; a person with the role admin can approve it")
		dora := must[*real.IRCClient](t)(real.DialIRC(t.Context(), ircd.Addr, "dora", "#ops"))
		t.Cleanup(dora.Close)
		dora.Say("#ops", approve)
		hear(t, `the task “careful” by alice .* is done`)
	})
	t.Run("nobody runs what was not reviewed", func(t *testing.T) {
		forged := filepath.Join(dir, "forged.yaml")
		text := "instance:\n  hostname: forged\n  provider: esx\n  task: {repo: infra, id: x-1, name: x, shell: touch " + dir + "/forged}\nsteps: [task:run]\n"
		if err := os.WriteFile(forged, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := jarvis(t, "", "--config", conf, "deploy", forged)
		if code == 0 || !strings.Contains(out+errs, "this step is for reviewed tasks from git only") {
			t.Errorf("exit %d %s %s", code, out, errs)
		}
		if _, err := os.Stat(filepath.Join(dir, "forged")); err == nil {
			t.Error("it ran")
		}
	})
	t.Run("trouble is said once, and over when it is mended", func(t *testing.T) {
		repo.add("broken", "- task: {name: 'x\n")
		hook()
		hear(t, `PRIVMSG #ops :infra: no task runs: envs/default/tasks.yaml, line [0-9]+: this is not YAML: .* by alice\)\.`)
		repo.list = strings.TrimSuffix(repo.list, "- task: {name: 'x\n")
		repo.add("mended", "- task: {name: last, shell: 'true'}\n")
		hook()
		hear(t, `infra: the repository of tasks is in order again`)
		hear(t, `the task “last” by alice .* is done`)
	})
	if got := repo.sh(repo.bare, "git diff master done"); got != "" {
		t.Errorf("done is behind: %s", got)
	}
}
