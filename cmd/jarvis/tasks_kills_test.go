//go:build !race

// Not under the race detector: the processes that are built and killed here are not the test's.

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/tasklog"
)

// TestTasksThroughKills has two servers on one repository, which are killed with -9 at random moments, now and then
// with the task that runs: no task is started twice, and what nobody knows the outcome of is reported.
func TestTasksThroughKills(t *testing.T) {
	kills := number("JARVIS_TASK_KILLS", 50)
	ctx := t.Context()
	bin := buildJarvis(t)
	repo := newTaskRepo(t)
	dir := t.TempDir()
	began, ended := filepath.Join(dir, "began"), filepath.Join(dir, "ended")
	const n = 40
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
		if err != nil || contract.Unmarshal(out, &a) != nil || len(a.Data) != 1 {
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
