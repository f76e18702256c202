package remote_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// TestACommandCutShortIsNotStarted tells a failure that the crash test found: the connection broke while the command
// travelled, the host got an empty one, ran it, and its exit code 0 passed for the real one's.
func TestACommandCutShortIsNotStarted(t *testing.T) {
	host, cl := dialSandbox(t)
	res, err := startCut(t.Context(), cl, "job1", "puppet agent --test", "puppet")
	if err != nil || res != 92 {
		t.Fatalf("start of a cut command = %d, %v; want 92", res, err)
	}
	var lines []string
	exit, err := cl.Job(t.Context(), remote.Job{ID: "job1", Command: "puppet agent --test", Line: func(l string) { lines = append(lines, l) }})
	if err != nil || exit != 0 || !strings.Contains(strings.Join(lines, "\n"), "Applied catalog") {
		t.Errorf("Job = %d, %v, %q", exit, err, lines)
	}
	if n := host.Ran()["puppet agent --test"]; n != 1 {
		t.Errorf("puppet ran %d times", n)
	}
}

func TestAJobRunsOnceHoweverOftenItIsAskedFor(t *testing.T) {
	host, cl := dialSandbox(t)
	done := make(chan error, 10)
	for range 10 {
		go func() {
			exit, err := cl.Job(context.Background(), remote.Job{ID: "job2", Command: "apt-get update; exit 7"})
			if err == nil && exit != 7 {
				t.Errorf("exit = %d", exit)
			}
			done <- err
		}()
	}
	for range 10 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := host.Ran()["apt-get update"]; n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

// TestAStrangersSessionIsNotTheJobs: a job's leader was killed, and the host has given its number to a daemon whose own
// leader is gone, as of everything that forks twice. It is neither waited for as the job, nor killed with it.
func TestAStrangersSessionIsNotTheJobs(t *testing.T) {
	_, target := openssh(t, "127.82.0.21:22")
	c := connect(t, target)
	run := func(script string) string {
		t.Helper()
		res, err := c.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", script}})
		if err != nil || res.Exit != 0 {
			t.Fatalf("%s: %v %+v", script, err, res)
		}
		return strings.TrimSpace(res.Stdout)
	}
	stranger := run(`setsid sh -c 'sleep 77 > /dev/null 2>&1 & echo $$' < /dev/null`)
	run(`d=/var/lib/jarvis/jobs/gone; mkdir -p $d; echo ` + stranger + ` > $d/pid; echo 1 > $d/since; cat /proc/sys/kernel/random/boot_id > $d/boot; : > $d/log`)
	a, err := c.AskJob(t.Context(), "gone", nil)
	if err != nil || a.State != remote.JobUnseen || !strings.Contains(a.Unseen, "(sleep)") {
		t.Errorf("the job is %+v, %v: nobody can know whose the sleep is", a, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Job(ctx, remote.Job{ID: "gone", Command: "true", Kill: func(error) bool { return true }}); err == nil {
		t.Error("the job came to an end")
	}
	run(`kill -0 -` + stranger)
	run(`echo other > /var/lib/jarvis/jobs/gone/boot`)
	if a, err := c.AskJob(t.Context(), "gone", nil); err != nil || a.State != remote.JobLost {
		t.Errorf("after a boot of the host the job is %+v, %v", a, err)
	}
	run(`kill -9 -` + stranger)
}

// TestAJobBehindAGreeting: what a login shell says at every login is no word of the job's.
func TestAJobBehindAGreeting(t *testing.T) {
	h, target := openssh(t, "127.82.0.22:22")
	if err := os.WriteFile(filepath.Join(h.Root, "root/.bashrc"), []byte("echo Welcome to h1\necho warn >&2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := connect(t, target)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var lines []string
	exit, err := c.Job(ctx, remote.Job{ID: "greeted", Command: "echo one; exit 3", Line: func(l string) { lines = append(lines, l) }})
	if err != nil || exit != 3 || strings.Join(lines, "|") != "one" {
		t.Errorf("the job ended with %d, %v, and said %q", exit, err, lines)
	}
	if a, err := c.AskJob(ctx, "greeted", nil); err != nil || a.State != remote.JobEnded || a.Exit != 3 {
		t.Errorf("it is %+v, %v", a, err)
	}
}

// TestAJobThatPrintsMuch: each look at the job took the rest of its log, of which a mebibyte was kept: a log of 16 MiB
// was sent sixteen times, and one of some GiB took hours, in which the job counted as running. What had no newline was
// kept whole, and told as one line.
func TestAJobThatPrintsMuch(t *testing.T) {
	_, target := openssh(t, "127.82.0.23:22")
	c := connect(t, target)
	ctx, cancel := context.WithTimeout(t.Context(), real.Patience(time.Minute))
	defer cancel()
	bytes, longest, n := 0, 0, 0
	last := ""
	job := func(id, command string) {
		t.Helper()
		bytes, longest, n = 0, 0, 0
		exit, err := c.Job(ctx, remote.Job{ID: id, Command: command, Line: func(l string) {
			if bytes += len(l); len(l) > longest {
				longest = len(l)
			}
			n++
			last = l
		}})
		if err != nil || exit != 3 {
			t.Fatalf("%s: %d, %v", id, exit, err)
		}
	}
	job("lines", `i=1; while [ $i -le 4000 ]; do printf '%04d %06000d\n' $i 0; i=$((i + 1)); done; exit 3`)
	if n != 4000 || bytes != 4000*6005 || !strings.HasPrefix(last, "4000 ") {
		t.Errorf("%d lines of %d bytes, the last begins with %.10q", n, bytes, last)
	}
	res, err := c.Run(ctx, remote.Command{Args: []string{"sh", "-c", remote.PollScript, "jarvis", "lines", "1", "1000"}})
	if err != nil || res.Stdout != "exit 3\n0001 "+strings.Repeat("0", 995) {
		t.Errorf("a poll gives %d bytes, %v", len(res.Stdout), err)
	}
	job("zeros", `head -c 3000000 /dev/zero | tr '\0' x; exit 3`)
	if bytes != 3_000_000 || longest > 64<<10 {
		t.Errorf("%d bytes in lines of up to %d", bytes, longest)
	}
}

// TestAHostDoesNotFillOurMemory: what a script printed was kept whole, however much it was.
func TestAHostDoesNotFillOurMemory(t *testing.T) {
	_, target := openssh(t, "127.82.0.24:22")
	s := remote.Shell{Client: connect(t, target)}
	ctx, cancel := context.WithTimeout(t.Context(), real.Patience(time.Minute))
	defer cancel()
	out, _, _, err := s.Sh(ctx, "head -c 80000000 /dev/zero; echo > /root/whole")
	if err == nil || err.Error() != "the host says more than 64 MiB, and no more is taken" || len(out) > 64<<20 {
		t.Errorf("it says %d bytes, %v", len(out), err)
	}
	if out, _, exit, err := s.Sh(ctx, "head -c 3000000 /dev/zero; exit 4"); len(out) != 3_000_000 || exit != 4 || err != nil {
		t.Errorf("it says %d bytes, %d, %v", len(out), exit, err)
	}
}

func TestKeptIsBounded(t *testing.T) {
	k := remote.Kept{Most: 5}
	for _, c := range []struct{ in, out string }{{"abc", "abc"}, {"de", "abcde"}, {"f", "abcde"}, {"", "abcde"}} {
		n, err := fmt.Fprint(&k, c.in)
		if k.String() != c.out || err != k.Err() || (err == nil) != (n == len(c.in) && c.in != "") {
			t.Errorf("after %q: %q, %d, %v", c.in, k.String(), n, err)
		}
	}
}
