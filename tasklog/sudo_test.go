package tasklog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestSudoOfAServerThatIsNotRoot runs the part below on a host that has a real sudo, as somebody who may use it.
func TestSudoOfAServerThatIsNotRoot(t *testing.T) {
	if os.Getenv("JARVIS_TEST_HOME") != "" {
		sudoSurvives(t, os.Getenv("JARVIS_TEST_HOME"))
		return
	}
	key, text := newKey(t)
	h, err := real.StartHost(t.Context(), "127.88.0.2:22", fmt.Sprintf("#cloud-config\nhostname: sudo1\nssh_keys:\n  ed25519_private: %s\n  ed25519_public: %s\n", strconv.Quote(text), publicLine(key)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(filepath.Join(h.Root, "usr/local/bin/tasklog.test"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	const prepare = `mount -t proc proc /proc; useradd -m freya; echo 'freya ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/lab; chmod 440 /etc/sudoers.d/lab
cd /home/freya; export JARVIS_TEST_HOME=/home/freya TMPDIR=/tmp; exec runuser -u freya -- tasklog.test -test.run '^TestSudoOfAServerThatIsNotRoot$' -test.v`
	out, err := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "chroot", h.Root, "sh", "-ec", prepare).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSudoOfAServerThatIsNotRoot") {
		t.Errorf("%v\n%s", err, out)
	}
}

// sudoSurvives tells how a timeout ended the wrapper and not root's part, which counted as over: a retry ran beside it.
func sudoSurvives(t *testing.T, home string) {
	log := filepath.Join(home, "log")
	read := func() string {
		b, _ := os.ReadFile(log)
		return strings.Join(strings.Fields(string(b)), " ")
	}
	sudo, err := program("sudo", "sudo")
	if err != nil {
		t.Fatal(err)
	}
	begin := func(run int64, script string) (*Repo, *job, func(time.Duration, bool) error) {
		r := &Repo{dir: filepath.Join(home, "data")}
		j := &job{dir: filepath.Join(r.dir, "runs", fmt.Sprintf("%d-0", run)), cwd: home, env: r.environment(spec{}), sudo: sudo}
		j.root, j.shell = script, j.byRoot()
		if err := os.MkdirAll(filepath.Dir(j.dir), 0o700); err != nil {
			t.Fatal(err)
		}
		return r, j, func(d time.Duration, end bool) error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), d, errTooLong)
			defer cancel()
			exit, err := j.run(ctx, func(l string) { t.Log(l) }, always(end))
			if err == nil && exit != 0 {
				t.Errorf("exit %d", exit)
			}
			return err
		}
	}
	lives := func(what string) bool { return exec.Command("pgrep", "-fx", what).Run() == nil }

	// The attack: `ps` while it runs. Its environment was an argument of sudo, of sh and of bash, and in sudo's log.
	stop := arguments(t, "s3cret-of-env")
	_, _, run := begin(4, exports([]string{"PASSWORD=s3cret-of-env"})+`[ "$PASSWORD" = "$(printf %s s3cret-of; echo -env)" ] || exit 4; sleep 1`)
	if err := run(20*time.Second, true); err != nil {
		t.Errorf("%v", err)
	}
	if found := stop(); len(found) > 0 {
		t.Errorf("every user reads\n%s", strings.Join(found, "\n"))
	}

	// Root's part is ended with it, whatever it did to get away.
	_, j, run := begin(1, "(setsid sleep 6001 &) ; setsid env -i sleep 6002 & echo $(id -un) >> "+log+"; sleep 6003")
	if err := run(2*time.Second, true); !errors.Is(err, errTooLong) {
		t.Errorf("%v", err)
	}
	if read() != "root" || lives("sleep 6001") || lives("sleep 6003") {
		t.Errorf("%q; %v %v", read(), lives("sleep 6001"), lives("sleep 6003"))
	}
	if lives("sleep 6002") == j.over() {
		t.Errorf("something lives: %v; it is over: %v", lives("sleep 6002"), j.over())
	}
	_ = exec.Command("sudo", "pkill", "-9", "-fx", "sleep 6002").Run()

	// When its wrapper is killed it is not over.
	r, j, run := begin(2, "sleep 3; echo end >> "+log)
	_ = run(time.Second, false)
	_ = exec.Command("pkill", "-9", "-fx", "/bin/sh -c d=.*").Run()
	if j.over() {
		t.Error("root's part runs, and it counts as over")
	}
	next := *j
	next.dir = filepath.Join(r.dir, "runs", "2-1")
	if r.earlierHere(&next, pipeline.Facts{Run: 2, Try: 1}) == nil {
		t.Error("a retry does not find it")
	}
	if err := run(20*time.Second, true); err != nil && !errors.Is(err, errUnknown) || read() != "root end" {
		t.Errorf("%v %q", err, read())
	}

	// What sudo started inside the shell, with no word of ours, is found by its session.
	_, j, run = begin(3, "")
	j.sudo, j.shell = "", "sudo sleep 6004"
	if err := run(time.Second, true); !errors.Is(err, errNotEnded) || !strings.Contains(err.Error(), " (sleep)") {
		t.Errorf("%v", err)
	}
	if !lives("sleep 6004") || j.over() {
		t.Errorf("it lives: %v; it is over: %v", lives("sleep 6004"), j.over())
	}
	_ = exec.Command("sudo", "pkill", "-9", "-fx", "sleep 6004").Run()
}
