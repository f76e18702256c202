package tasklog

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var errStop = errors.New("stop")

func newJob(t *testing.T, shell string) *job {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "checkout"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &job{dir: filepath.Join(dir, "job"), cwd: filepath.Join(dir, "checkout"), shell: shell, env: []string{"PATH=" + os.Getenv("PATH"), "ONLY=this"}}
}

func always(v bool) func(error) bool { return func(error) bool { return v } }

func TestALocalJob(t *testing.T) {
	j := newJob(t, "pwd; env | grep -c .; echo \"$ONLY\"; echo begin >> began; printf 'no newline'; exit 7")
	var lines []string
	line := func(l string) { lines = append(lines, l) }
	for range 3 { // however often it is asked for
		exit, err := j.run(t.Context(), line, always(true))
		if exit != 7 || err != nil {
			t.Fatalf("run = %d, %v, %q", exit, err, lines)
		}
	}
	if got := strings.Join(lines, "|"); !strings.HasPrefix(got, j.cwd+"|") || !strings.HasSuffix(got, "|this|no newline") || len(lines) != 4 {
		t.Errorf("it says %q", lines)
	}
	if b, _ := os.ReadFile(filepath.Join(j.cwd, "began")); string(b) != "begin\n" {
		t.Errorf("it began %q", b)
	}
}

// TestWhatALocalJobSaysIsPlain: what a task printed drove the terminal of whoever asked for it.
func TestWhatALocalJobSaysIsPlain(t *testing.T) {
	j := newJob(t, `printf 'a\033]52;c;eA==\007b\302\2332Jc\342\200\256d\rM\374nchen\r\n'`)
	var lines []string
	if exit, err := j.run(t.Context(), func(l string) { lines = append(lines, l) }, always(true)); exit != 0 || err != nil || strings.Join(lines, "|") != "abcd München" {
		t.Errorf("run = %d, %v; it says %q", exit, err, lines)
	}
	if list, err := parseList("tasks.yaml", []byte("- task: {name: \"re\\e[2Jstart\\u202e it\", shell: \"true\"}\n")); err != nil || len(list) != 1 || list[0].task.Name != "restart it" {
		t.Errorf("parseList = %v, %v", list, err)
	}
	if e := (&Trouble{"by \x1b[31mmallory\u202e"}).Error(); e != "by mallory" {
		t.Errorf("Trouble = %q", e)
	}
}

func TestALocalJobOutlivesUs(t *testing.T) {
	j := newJob(t, "echo one; sleep 1; echo two; echo begin >> began")
	var lines []string
	line := func(l string) { lines = append(lines, l) }
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(500*time.Millisecond, func() { cancel(errStop) })
	if _, err := j.run(ctx, line, always(false)); !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	exit, err := j.run(t.Context(), line, always(false))
	if exit != 0 || err != nil || strings.Join(lines, "|") != "one|two" {
		t.Errorf("taken up again: %d, %v, %q", exit, err, lines)
	}
	if b, _ := os.ReadFile(filepath.Join(j.cwd, "began")); string(b) != "begin\n" {
		t.Errorf("it began %q", b)
	}
}

func TestALocalJobIsEnded(t *testing.T) {
	j := newJob(t, "sleep 300 & echo $! > child; sleep 300")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errTooLong)
	defer cancel()
	if _, err := j.run(ctx, func(string) {}, always(true)); !errors.Is(err, errTooLong) {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(j.cwd, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	for range 100 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("what it started runs on")
}

// What dies with its wrapper has no known outcome, and is not started again.
func TestALocalJobWhoseOutcomeNobodyKnows(t *testing.T) {
	j := newJob(t, "echo begin >> began; sleep 300")
	go func() {
		for {
			if b, err := os.ReadFile(filepath.Join(j.cwd, "began")); err == nil && len(b) > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		b, _ := os.ReadFile(filepath.Join(j.dir, "pid"))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}()
	for range 3 {
		if _, err := j.run(t.Context(), func(string) {}, always(true)); !errors.Is(err, errUnknown) {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(j.cwd, "began")); string(b) != "begin\n" {
		t.Errorf("it began %q", b)
	}
}

func TestALocalJobOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("only root can run as another user; run the tests as root")
	}
	j := newJob(t, "id -un; id -u; touch mine")
	j.user = "nobody"
	for d := filepath.Dir(j.cwd); d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := own("nobody", j.cwd); err != nil {
		t.Fatal(err)
	}
	var lines []string
	exit, err := j.run(t.Context(), func(l string) { lines = append(lines, l) }, always(true))
	if exit != 0 || err != nil || len(lines) < 2 || lines[0] != "nobody" || lines[1] != "65534" {
		t.Errorf("run = %d, %v, %q", exit, err, lines)
	}
}

// TestALocalJobOfAnotherUserLeadsUsNowhere is the attack: the task puts links and a pid of its own choice where root
// reads, writes and kills.
func TestALocalJobOfAnotherUserLeadsUsNowhere(t *testing.T) {
	j := newJob(t, `echo $$ > me; cd "$JOB"
rm -f log; ln -s "$SECRET" log
rm -f seen seen.new; ln -s "$VICTIM" seen; ln -s "$VICTIM" seen.new
echo "$MINE" > pid
rm -f lock exit.new; ln -s "$VICTIM" exit.new
echo over > /dev/stderr
sleep 300`)
	j.user = "nobody"
	outside := t.TempDir()
	secret, victim := filepath.Join(outside, "secret"), filepath.Join(outside, "victim")
	for name, text := range map[string]string{secret: "root's secret\n", victim: "root's own\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bystander := exec.Command("sleep", "300")
	bystander.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- bystander.Wait() }()
	defer func() { _ = bystander.Process.Kill(); <-ended }()
	j.env = append(j.env, "JOB="+j.dir, "SECRET="+secret, "VICTIM="+victim, "MINE="+strconv.Itoa(bystander.Process.Pid))
	for d := filepath.Dir(j.cwd); d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := own("nobody", j.cwd); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var said []string
	_, err := j.run(ctx, func(l string) {
		said = append(said, l)
		if l == "over" {
			time.AfterFunc(300*time.Millisecond, func() { cancel(errTooLong) })
		}
	}, always(true))
	if !errors.Is(err, errTooLong) {
		t.Errorf("run = %v", err)
	}
	if got := strings.Join(said, "|"); strings.Contains(got, "root's secret") || !strings.Contains(got, "over") {
		t.Errorf("it says %q", got)
	}
	if b, _ := os.ReadFile(victim); string(b) != "root's own\n" {
		t.Errorf("the victim holds %q", b)
	}
	select {
	case <-ended:
		t.Error("somebody else's process was killed")
	case <-time.After(300 * time.Millisecond):
	}
	me, _ := os.ReadFile(filepath.Join(j.cwd, "me"))
	for range 100 {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(me)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("what it started runs on, as %s", me)
}

// Nobody takes a job for ended while what it started lives, though its wrapper was killed.
func TestALocalJobWhoseWrapperWasKilled(t *testing.T) {
	j := newJob(t, "kill -9 $PPID; sleep 2; echo end >> ended")
	if _, err := j.run(t.Context(), func(string) {}, always(true)); !errors.Is(err, errUnknown) {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(j.cwd, "ended")); string(b) != "end\n" {
		t.Errorf("when it is said that nothing of it runs, it holds %q", b)
	}
}

// TestAStrangerOfAnotherBoot: the machine was booted while a task ran, and a daemon got the number of its session. The
// task counted as running, and its cancel or timeout killed the daemon, as root.
func TestAStrangerOfAnotherBoot(t *testing.T) {
	stranger := exec.Command("sleep", "300")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	dead := make(chan error, 1)
	go func() { dead <- stranger.Wait() }()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(stranger.Process.Pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-20 * 365 * 24 * time.Hour)
	for name, c := range map[string]struct {
		boot string
		at   time.Time
		ours bool
	}{
		"another boot":                         {"2b0b4a05-0000-4000-8000-c0a1e0d3f7a1\n", time.Now(), false},
		"this boot":                            {string(boot), time.Now(), true},
		"an earlier version, before this boot": {"", long, false},
		"an earlier version, since this boot":  {"", time.Now(), true},
	} {
		j := newJob(t, "true")
		if err := os.Mkdir(j.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"lock": "", "running": "true", "since": string(stat), "pid": strconv.Itoa(stranger.Process.Pid), "boot": c.boot} {
			if text == "" && file == "boot" {
				continue
			}
			place := filepath.Join(j.dir, file)
			if err := errors.Join(os.WriteFile(place, []byte(text), 0o600), os.Chtimes(place, c.at, c.at)); err != nil {
				t.Fatal(err)
			}
		}
		if j.over() == c.ours {
			t.Errorf("%s: over() = %v", name, j.over())
		}
		if !c.ours {
			if left := j.kill(); left != "" {
				t.Errorf("%s: kill() = %q", name, left)
			}
		}
	}
	select {
	case err := <-dead:
		t.Errorf("the stranger was killed: %v", err)
	default:
		_ = stranger.Process.Kill()
		<-dead
	}
	j := newJob(t, "true")
	if exit, err := j.run(t.Context(), func(string) {}, always(true)); exit != 0 || err != nil {
		t.Fatal(exit, err)
	}
	if was, err := os.ReadFile(filepath.Join(j.dir, "boot")); string(was) != string(boot) {
		t.Errorf("a job keeps the boot %q, %v", was, err)
	}
}
