package tasklog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// The reader is this test's own program with this in its environment: a folder for its data, and the repository.
const readerDir, readerRepo = "JARVIS_TEST_READER", "JARVIS_TEST_READER_REPO"

var twoEnvs = []string{"prod", "stage"}

// stands is what the reader says of one environment.
type stands struct {
	Env     string
	Wanted  string // the commit that it saw last
	Caught  bool   // done has all of it
	Waits   int
	Trouble string
	State   pipeline.State
	Error   string
}

// readTasks is the reader: a whole one, with a record on disk and an engine, until it is killed.
func readTasks(dir, repo string) error {
	ctx := context.Background()
	var conf []Config
	for _, env := range twoEnvs {
		conf = append(conf, Config{Name: env, Repo: repo, Env: env, Every: "250ms", MaxTasks: 1000})
	}
	l, err := New(conf, dir)
	if err != nil {
		return err
	}
	e, err := withEngine(ctx, l, dir)
	if err != nil {
		return err
	}
	guard.Go(guard.Count, func() { _ = e.Run(ctx) })
	guard.Go(guard.Count, func() { _ = l.Run(ctx) })
	guard.Go(guard.Count, func() { // what the parent says
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			what, env, _ := strings.Cut(in.Text(), " ")
			r := l.find(env)
			do := r.Done
			if what == "retry" {
				do = r.Retry
			}
			if _, err := do(ctx, "bob", ""); err != nil {
				fmt.Fprintln(os.Stderr, in.Text(), err)
			}
		}
		os.Exit(0)
	})
	for out := json.NewEncoder(os.Stdout); ; time.Sleep(20 * time.Millisecond) {
		var all []stands
		for _, r := range l.repos {
			s := stands{Env: r.cfg.Env}
			r.mu.Lock()
			if r.last != nil {
				s.Wanted, s.Waits, s.Caught = r.last.wanted, len(r.last.pending), len(r.last.merge) == 0
			}
			if r.trouble != nil {
				s.Trouble = r.trouble.Error()
			}
			r.mu.Unlock()
			if run, err := r.newest(ctx); err == nil {
				s.State, s.Error = run.State, run.Error
			}
			all = append(all, s)
		}
		if err := out.Encode(all); err != nil {
			return err
		}
	}
}

// withEngine gives a log a record of its own and an engine.
func withEngine(ctx context.Context, l *Log, dir string) (*pipeline.Engine, error) {
	db, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	key, err := clipboard.NewKey()
	if err != nil {
		return nil, err
	}
	reg := pipeline.NewRegistry()
	reg.Add(l.Steps()...)
	e, err := pipeline.New(ctx, pipeline.Config{DB: db, Registry: reg, Key: key, Workers: 4, Retry: []time.Duration{time.Millisecond}})
	if err != nil {
		return nil, err
	}
	return e, l.Open(ctx, World{DB: db, Engine: e})
}

// history is a repository, what people do to it, and the reader of it.
type history struct {
	*world
	rnd     *rand.Rand
	dir     string
	journal string
	said    []string

	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	kills int

	names     int
	intro     map[string]int    // by environment and name: how often a commit brought it
	rewritten map[string]string // what a forced push put in the place of a commit
	reported  map[string]int    // what was said
	log       *os.File
}

func (h *history) note(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

func (h *history) start() {
	h.t.Helper()
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(os.Environ(), readerDir+"="+h.dir, readerRepo+"="+h.bare)
	h.cmd.Stderr = h.log
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	h.out = bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
	h.kills++
}

// hear gives what the reader says next.
func (h *history) hear() map[string]stands {
	h.t.Helper()
	var all []stands
	line, err := h.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &all)
	}
	if err != nil {
		b, _ := os.ReadFile(h.log.Name())
		h.t.Fatalf("the reader ended: %v\n%s", err, b)
	}
	m := map[string]stands{}
	for _, s := range all {
		m[s.Env] = s
	}
	return m
}

// now gives what the reader says from now on: what stands in the pipe is older.
func (h *history) now() map[string]stands {
	for h.out.Buffered() > 0 {
		h.hear()
	}
	h.hear()
	return h.hear()
}

func (h *history) file(env string) string { return filepath.Join(h.work, "envs", env, "tasks.yaml") }

// good gives the names of the newest list up to a commit that can be read.
func (h *history) good(commit, env string) []string {
	h.t.Helper()
	for {
		if text, err := exec.Command("git", "-C", h.work, "cat-file", "blob", commit+":envs/"+env+"/tasks.yaml").Output(); err == nil {
			if list, err := parseList("tasks.yaml", text); err == nil {
				var names []string
				for _, e := range list {
					names = append(names, e.task.Name)
				}
				return names
			}
		}
		commit += "^1"
	}
}

func (h *history) text(names []string) string {
	s := "---\n"
	for _, n := range names {
		s += fmt.Sprintf("- task:\n    name: %[1]s\n    shell: |\n      echo $JARVIS_REPO %[1]s $JARVIS_TASK >> %[2]s\n", n, h.journal)
	}
	return s
}

func (h *history) write(env, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.file(env)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.file(env), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// more appends new tasks to the list of an environment.
func (h *history) more(env string) (names []string) {
	names = h.good("HEAD", env)
	for range 1 + h.rnd.IntN(2) {
		h.names++
		names = append(names, fmt.Sprintf("t%d", h.names))
	}
	return names
}

// brought counts what the newest commit brought.
func (h *history) brought() {
	for _, env := range twoEnvs {
		old := h.good("HEAD^1", env)
		for _, n := range h.good("HEAD", env) {
			if !slices.Contains(old, n) {
				h.intro[env+" "+n]++
			}
		}
	}
}

// fresh reports whether nothing stands behind the beginning.
func (h *history) fresh() bool { return h.sh("git rev-list --count --first-parent HEAD") == "2" }

// act is one thing that somebody does, or that befalls the reader.
func (h *history) act() {
	h.t.Helper()
	env := twoEnvs[h.rnd.IntN(2)]
	const push = "git add -A; git commit -q --allow-empty -m change; git push -q origin HEAD:master"
	switch k := h.rnd.IntN(20); {
	case k < 6: // tasks, for one environment or both
		both := twoEnvs
		if h.rnd.IntN(3) > 0 {
			both = []string{env}
		}
		for _, e := range both {
			h.write(e, h.text(h.more(e)))
		}
		h.sh(push)
		h.brought()
		h.note("more for %v", both)
	case k < 9: // a list that cannot be read, with a task that is lost in it or not
		text := h.text(h.more(env))
		what := []string{"no YAML", "two documents", "no shell", "no file"}[h.rnd.IntN(4)]
		switch what {
		case "no YAML":
			text += "- task: {name: 'x"
		case "two documents":
			text += "---\n" + h.text([]string{"hidden"})
		case "no shell":
			text += "- task: {name: x}\n"
		}
		h.write(env, text)
		if what == "no file" {
			_ = os.Remove(h.file(env))
		}
		h.sh(push)
		h.note("%s for %s", what, env)
	case k < 12: // its repair, or more
		h.write(env, h.text(h.more(env)))
		h.sh(push)
		h.brought()
		h.note("repair of %s", env)
	case k < 14:
		if h.fresh() || h.sh("git rev-list --count --no-merges HEAD^!") == "0" || h.sh("git diff --quiet HEAD~1 HEAD && echo same || true") == "same" {
			return
		}
		h.sh("git revert --no-edit HEAD > /dev/null; git push -q origin HEAD:master")
		h.brought()
		h.note("revert")
	case k < 16: // a branch from before, merged
		if h.fresh() {
			return
		}
		h.sh("git checkout -q -b side HEAD~1")
		h.names++
		n := fmt.Sprintf("t%d", h.names)
		h.write(env, h.text(append(h.good("HEAD", env), n)))
		h.sh("git add -A; git commit -q --allow-empty -m side; git checkout -q main")
		if h.sh("git merge -q --no-ff -m 'Merge side' side > /dev/null 2>&1 && echo yes || { git merge --abort; echo no; }; git branch -qD side") == "yes" {
			h.sh("git push -q origin HEAD:master")
			h.brought()
			h.note("merge for %s", env)
		}
	case k < 18: // history is rewritten
		old := h.sh("git rev-parse HEAD")
		if h.rnd.IntN(3) > 0 {
			h.sh("git commit -q --amend -m amended" + strconv.Itoa(h.rnd.IntN(1e9)) + "; git push -qf origin HEAD:master")
			h.note("amend")
		} else if !h.fresh() {
			h.sh("git reset -q --hard HEAD~1; git push -qf origin HEAD:master")
			h.note("drop")
		}
		if now := h.sh("git rev-parse HEAD"); now != old {
			h.rewritten[old] = now
		}
	case k < 19: // the git server is restored, or a person slips: done goes back by one of our marks
		h.sh("git fetch -q origin")
		if branch := "origin/done-" + env; h.sh("git log -1 --format=%cn "+branch+" 2> /dev/null || true") == "jarvis" {
			h.sh("git push -qf origin " + branch + "~1:refs/heads/done-" + env + " 2> /dev/null || true") // the reader may push in this moment
			h.note("done-%s goes back", env)
		}
	default:
		h.kill()
		h.start()
		h.note("kill -9")
	}
}

// settle has the reader come to rest on what is wanted. A person does what the reader says.
func (h *history) settle(limit time.Duration, whole bool) {
	h.t.Helper()
	head := h.sh("git rev-parse HEAD")
	var all map[string]stands
	for end := time.Now().Add(limit); time.Now().Before(end); {
		all = h.now()
		rest := true
		for _, env := range twoEnvs {
			s := all[env]
			switch {
			case strings.Contains(s.Trouble, "history was rewritten"):
				h.reported["rewritten"]++
				h.moveDone(env)
				rest = false
			case strings.Contains(s.Trouble, "was edited after it ran"), s.State == pipeline.Asking:
				h.t.Fatalf("%s: %+v", env, s)
			case s.Trouble != "" && !whole && s.Wanted == head && s.State == pipeline.Failed:
				h.reported["trouble"]++
			case s.Wanted != head, s.Trouble != "", s.State.Moving() || s.State == pipeline.Failed, s.Waits > 0, !s.Caught:
				rest = false
			}
		}
		if rest {
			return
		}
	}
	h.fatalf("it does not come to rest on %.8s: %+v", head, all)
}

// moveDone is what a person does after a forced push: done goes to what stands in the place of what has been run.
func (h *history) moveDone(env string) {
	h.t.Helper()
	h.sh("git fetch -q --prune origin")
	done := h.sh("git rev-parse origin/done-" + env)
	for old := range maps.Keys(h.rewritten) {
		if exec.Command("git", "-C", h.work, "merge-base", "--is-ancestor", old, done).Run() != nil {
			continue
		}
		to := old
		for h.rewritten[to] != "" {
			to = h.rewritten[to]
		}
		if exec.Command("git", "-C", h.work, "merge-base", "--is-ancestor", to, "HEAD").Run() == nil {
			h.sh("git push -qf origin " + to + ":done-" + env)
			h.note("done-%s moved to %.8s", env, to)
			return
		}
	}
}

func (h *history) fatalf(format string, args ...any) {
	h.t.Helper()
	b, _ := os.ReadFile(h.log.Name())
	h.t.Fatalf(format+"\nhistory: %s\n%s\n%s", append(args, strings.Join(h.said, ", "), h.sh("git fetch -q; git log --graph --format='%h %s %(trailers:key=Jarvis-Task,valueonly,separator=%x2c)%d' HEAD origin/done-prod origin/done-stage | head -70"), b)...)
}

// check counts what ran.
func (h *history) check() {
	h.t.Helper()
	b, err := os.ReadFile(h.journal)
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	ran, ids := map[string]int{}, map[string]int{}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		ran[f[0]+" "+f[1]]++
		ids[f[0]+" "+f[2]]++
	}
	for n, times := range ran {
		if times > h.intro[n] {
			h.fatalf("%s ran %d times, and was brought %d times:\n%s", n, times, h.intro[n], b)
		}
	}
	for id, times := range ids {
		if times > 1 {
			h.fatalf("%s ran %d times", id, times)
		}
	}
	for _, env := range twoEnvs {
		for _, n := range h.good("HEAD", env) {
			if ran[env+" "+n] == 0 {
				h.fatalf("%s %s never ran", env, n)
			}
		}
	}
}

// TestEveryTaskRunsOnce: whatever people do to a repository and whenever the reader dies, each task of each environment
// runs exactly once, or somebody is told. JARVIS_TASK_HISTORIES=100 JARVIS_TASK_ACTS=40 is the
// long form; JARVIS_TASK_SEED=N gives the same acts again.
func TestEveryTaskRunsOnce(t *testing.T) {
	number := func(name string, usual uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return usual
	}
	seed := number("JARVIS_TASK_SEED", rand.Uint64N(1e9))
	for i := range number("JARVIS_TASK_HISTORIES", 1) {
		oneHistory(t, seed+i, int(number("JARVIS_TASK_ACTS", 12)))
	}
}

func oneHistory(t *testing.T, seed uint64, acts int) {
	t.Logf("JARVIS_TASK_SEED=%d", seed)
	began := time.Now()
	h := &history{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), journal: filepath.Join(t.TempDir(), "journal"), intro: map[string]int{}, rewritten: map[string]string{}, reported: map[string]int{}}
	var err error
	if h.log, err = os.Create(filepath.Join(t.TempDir(), "log")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.log.Close() }()
	h.sh("git checkout -q -b main")
	for _, env := range twoEnvs {
		h.write(env, "---\n")
	}
	h.sh("git add -A; git commit -qm start; git push -q origin HEAD:master HEAD:done")
	h.start()
	defer func() { h.kill() }()
	for range acts {
		h.act()
		if h.rnd.IntN(4) == 0 {
			h.settle(real.Patience(2*time.Minute), false)
		} else {
			time.Sleep(time.Duration(h.rnd.IntN(200)) * time.Millisecond) // so that kills fall anywhere; nothing hangs on it
		}
	}
	for _, env := range twoEnvs { // what was left broken is mended at last
		h.write(env, h.text(h.good("HEAD", env)))
	}
	h.sh("git add -A; git commit -q --allow-empty -m mended; git push -q origin HEAD:master")
	h.settle(real.Patience(5*time.Minute), true)
	h.check()
	t.Logf("%d tasks, %d kills, %v, in %s: %s", h.names, h.kills, h.reported, time.Since(began).Round(time.Millisecond), strings.Join(h.said, ", "))
}
