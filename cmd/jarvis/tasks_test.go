package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/tasklog"
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

// TestTasksThroughKills has two servers on one repository, which are killed with -9 at random moments, now and then with
// the task that runs: no task is started twice, and what nobody knows the outcome of is reported.
func TestTasksThroughKills(t *testing.T) {
	kills := number("JARVIS_TASK_KILLS", 50)
	ctx := t.Context()
	bin := buildJarvis(t)
	repo := newTaskRepo(t)
	dir := t.TempDir()
	began, ended := filepath.Join(dir, "began"), filepath.Join(dir, "ended")
	const n = 60
	for i := 0; i < n; {
		text := ""
		for range 1 + rand.IntN(4) {
			text += fmt.Sprintf("- task:\n    name: job %d\n    shell: |\n      echo %d >> %s\n      sleep 0.%d\n      echo %[2]d >> %[5]s\n", i, i, began, rand.IntN(5), ended)
			i++
		}
		repo.add("more", text)
	}
	var servers []*process
	for i := range 2 {
		home := filepath.Join(dir, fmt.Sprint("server", i))
		if err := os.MkdirAll(home, 0o755); err != nil {
			t.Fatal(err)
		}
		conf := filepath.Join(home, "jarvis.yaml")
		if err := os.WriteFile(conf, fmt.Appendf(nil, "data: ./data\nlisten: \"\"\ntasks: [{repo: %s, every: 1s, max_tasks: 100}]\n", repo.bare), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &process{t: t, bin: bin, conf: conf, log: must[*os.File](t)(os.Create(filepath.Join(home, "log")))}
		p.start()
		t.Cleanup(p.kill)
		servers = append(servers, p)
	}
	status := func(p *process) (s tasklog.Status, ok bool) {
		out, err := p.cli(ctx, "task", "list", "--json")
		var a struct{ Data []tasklog.Status }
		if err != nil || json.Unmarshal(out, &a) != nil || len(a.Data) != 1 {
			return s, false
		}
		return a.Data[0], true
	}
	unknown := 0
	decide := func() (done bool) {
		done = true
		for _, p := range servers {
			s, ok := status(p)
			if !ok {
				return false
			}
			done = done && len(s.Pending) == 0 && !s.Looked.IsZero() && (s.Run == nil || !s.Run.State.Live())
			if s.Run != nil && s.Run.State == "asking" {
				if !strings.Contains(s.Run.Error, "left no exit code: it may have half happened") {
					t.Fatalf("it asks: %s", s.Run.Error)
				}
				if out, err := p.cli(ctx, "task", "done"); err == nil {
					unknown++
				} else {
					t.Logf("task done: %v %s", err, out)
				}
			} else if s.Run != nil && s.Run.State == "failed" {
				t.Fatalf("it failed: %s", s.Run.Error)
			}
		}
		return done
	}
	for k := range kills {
		time.Sleep(time.Duration(rand.IntN(1200)) * time.Millisecond)
		p := servers[rand.IntN(2)]
		if k%5 == 4 {
			decide()
		}
		p.kill()
		if k%2 == 1 { // as a power cut does
			pids, _ := filepath.Glob(filepath.Join(filepath.Dir(p.conf), "data/tasks/infra/runs/*/pid"))
			for _, f := range pids {
				b, _ := os.ReadFile(f)
				var pid int
				_, _ = fmt.Sscan(string(b), &pid)
				if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); pid > 1 && strings.Contains(string(cmdline), filepath.Dir(f)) {
					_ = syscall.Kill(-pid, syscall.SIGKILL)
				}
			}
		}
		p.start()
	}
	deadline := time.Now().Add(4 * time.Minute)
	for !decide() {
		if time.Now().After(deadline) {
			for _, p := range servers {
				out, _ := p.cli(ctx, "task", "list")
				log, _ := os.ReadFile(p.log.Name())
				t.Logf("%s\n%s", out, log[max(0, len(log)-1500):])
			}
			t.Fatal("the tasks do not come to an end")
		}
		time.Sleep(300 * time.Millisecond)
	}
	count := func(file string) map[string]int {
		b, _ := os.ReadFile(file)
		m := map[string]int{}
		for _, l := range strings.Fields(string(b)) {
			m[l]++
		}
		return m
	}
	b, e := count(began), count(ended)
	truth := repo.sh(repo.bare, "git log --first-parent --format='%s|%(trailers:key=Jarvis-Outcome,valueonly,separator=%x2c)' done")
	declared := strings.Count(truth, "|said to be done by a person")
	for i := range n {
		id := fmt.Sprint(i)
		if b[id] > 1 || e[id] > 1 {
			t.Errorf("job %d began %d times and ended %d times", i, b[id], e[id])
		}
		said := regexp.MustCompile(fmt.Sprintf(`(?m): job %d\|(.*)$`, i)).FindAllStringSubmatch(truth, -1)
		if len(said) != 1 {
			t.Errorf("job %d stands %d times in git", i, len(said))
		} else if said[0][1] == "exit 0" && e[id] != 1 {
			t.Errorf("git says that job %d ended, and it ended %d times", i, e[id])
		}
	}
	if declared != unknown {
		t.Errorf("%d tasks had no known outcome, and %d stand so in git", unknown, declared)
	}
	if left := repo.sh(repo.bare, "git diff master done; git for-each-ref refs/jarvis"); left != "" {
		t.Errorf("left: %s", left)
	}
	t.Logf("%d kills, %d tasks began, %d ended, %d of unknown outcome were reported", kills, len(b), len(e), unknown)
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
		hear(t, `infra \(default\): 2 tasks wait`)
		hear(t, `good, by alice, .* ago: waits`)
		bob.Say("#ops", "jarvis: task retry infra")
		hear(t, `infra goes on at stage 2/3 task:run`)
		hear(t, `infra: the task failed after .*oh no`)
		bob.Say("#ops", "jarvis: task done infra")
		hear(t, `the task “bad” by alice .* is done`)
		hear(t, `the task “good” by alice .* is done`)
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
