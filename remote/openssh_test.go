package remote_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// openssh boots a Debian with its own OpenSSH, and gives a connection to it.
func openssh(t *testing.T, addr string) (*real.Host, remote.Target) {
	t.Helper()
	hostKey, hostPEM := newKey(t)
	user, _ := newKey(t)
	data := "#cloud-config\nhostname: loki\nfqdn: loki.websages.com\nssh_keys:\n  ed25519_private: " + strconv.Quote(hostPEM) + "\n  ed25519_public: " + line(hostKey) + "\nssh_authorized_keys:\n  - " + line(user) +
		"\nchpasswd:\n  users:\n    - {name: root, password: \"*\", type: hash}\n"
	h, err := real.StartHost(t.Context(), addr, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h, remote.Target{Addr: addr, User: "root", Signers: []gossh.Signer{user}, HostKeys: remote.Pinned{hostKey.PublicKey()}}
}

func connect(t *testing.T, target remote.Target) *remote.Client {
	t.Helper()
	cl, err := remote.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// TestJobsOnOpenSSH proves on a real host what crash recovery stands on.
func TestJobsOnOpenSSH(t *testing.T) {
	h, target := openssh(t, "127.82.0.1:22")
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(h.Root, name))
		return string(b)
	}

	t.Run("a job outlives its connection and is adopted", func(t *testing.T) {
		cl := connect(t, target)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for !strings.Contains(read("root/once"), "begin") {
				time.Sleep(10 * time.Millisecond)
			}
			_ = cl.Close() // as if our process died
			cancel()
		}()
		script := "echo begin >> /root/once; echo one; sleep 1.5; echo two; echo end >> /root/once; exit 5"
		if _, err := cl.Job(ctx, remote.Job{ID: "outlives", Command: script}); err == nil {
			t.Fatal("the job ended before its connection")
		}
		var lines []string
		exit, err := connect(t, target).Job(t.Context(), remote.Job{ID: "outlives", Command: script, Line: func(l string) { lines = append(lines, l) }})
		if err != nil || exit != 5 || strings.Join(lines, ",") != "one,two" {
			t.Errorf("adopted: exit %d, %v, %q", exit, err, lines)
		}
		if got := read("root/once"); got != "begin\nend\n" {
			t.Errorf("it ran more than once: %q", got)
		}
		// Asked again it tells the same, and does nothing.
		if exit, err := connect(t, target).Job(t.Context(), remote.Job{ID: "outlives", Command: script}); err != nil || exit != 5 || read("root/once") != "begin\nend\n" {
			t.Errorf("asked again: %d, %v", exit, err)
		}
	})

	t.Run("a job whose process is gone has no known outcome", func(t *testing.T) {
		cl := connect(t, target)
		go func() {
			for !strings.Contains(read("root/gone"), "begin") {
				time.Sleep(10 * time.Millisecond)
			}
			_, _ = connect(t, target).Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "kill -9 -$(cat /var/lib/jarvis/jobs/gone/pid)"}})
		}()
		if _, err := cl.Job(t.Context(), remote.Job{ID: "gone", Command: "echo begin >> /root/gone; sleep 60"}); !errors.Is(err, remote.ErrUnknownOutcome) {
			t.Errorf("Job = %v, want ErrUnknownOutcome", err)
		}
	})

	t.Run("a process that has its number by now is another's", func(t *testing.T) {
		cl := connect(t, target)
		const strange = `d=/var/lib/jarvis/jobs/reused; (setsid sleep 4322 > /dev/null 2>&1 & echo $! > $d/pid.new); kill -9 -$(cat $d/pid); mv $d/pid.new $d/pid`
		go func() {
			for !strings.Contains(read("root/reused"), "begin") {
				time.Sleep(10 * time.Millisecond)
			}
			_, _ = connect(t, target).Run(t.Context(), remote.Command{Args: []string{"sh", "-c", strange}})
		}()
		if _, err := cl.Job(t.Context(), remote.Job{ID: "reused", Command: "echo begin >> /root/reused; sleep 60"}); !errors.Is(err, remote.ErrUnknownOutcome) {
			t.Errorf("Job = %v, want ErrUnknownOutcome", err)
		}
		if a, err := cl.AskJob(t.Context(), "reused", nil); a.State != remote.JobLost || err != nil {
			t.Errorf("AskJob = %+v, %v", a, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, _ = cl.Job(ctx, remote.Job{ID: "reused", Command: "true", Kill: func(error) bool { return true }})
		if res, err := connect(t, target).Run(t.Context(), remote.Command{Args: []string{"pkill", "-f", "sleep 4322"}}); err != nil || res.Exit != 0 {
			t.Errorf("the other process was killed: %d, %v", res.Exit, err)
		}
	})

	t.Run("a cancelled job is killed with all it started", func(t *testing.T) {
		cl := connect(t, target)
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		if _, err := cl.Job(ctx, remote.Job{ID: "killed", Command: "sleep 4321 & sleep 4321", Kill: func(error) bool { return true }}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Job = %v", err)
		}
		res, err := connect(t, target).Run(t.Context(), remote.Command{Args: []string{"pgrep", "-f", "sleep 4321"}})
		if err != nil || res.Exit != 1 {
			t.Errorf("processes are left: %q, %v", res.Stdout, err)
		}
	})

	t.Run("a long log arrives whole and in order", func(t *testing.T) {
		n := 0
		exit, err := connect(t, target).Job(t.Context(), remote.Job{ID: "long", Command: "i=0; while [ $i -lt 20000 ]; do echo \"line $i of a log that is longer than one answer can hold\"; i=$((i+1)); done", Line: func(l string) {
			if l != fmt.Sprintf("line %d of a log that is longer than one answer can hold", n) {
				t.Errorf("line %d is %q", n, l)
			}
			n++
		}})
		if err != nil || exit != 0 || n != 20000 {
			t.Errorf("%d lines, exit %d, %v", n, exit, err)
		}
	})

	t.Run("arguments reach the program as they are", func(t *testing.T) {
		args := []string{"printf", "%s|", "a b", "$HOME", "`id`", "'", `"`, "*", "", "ü"}
		res, err := connect(t, target).Run(t.Context(), remote.Command{Args: args})
		if err != nil || res.Stdout != strings.Join(args[2:], "|")+"|" {
			t.Errorf("%q, %v", res.Stdout, err)
		}
	})
}

// TestWhatAJobStartedAsSomebodyElse has a user's job start things that are root's, or leave its session: `task retry`
// took them for gone, and started a second copy beside the first.
func TestWhatAJobStartedAsSomebodyElse(t *testing.T) {
	h, target := openssh(t, "127.82.0.4:22")
	withUsers(t, h, target.Signers[0])
	root := connect(t, target)
	target.User = "freya"
	cl := connect(t, target)
	sh := func(script string) string {
		t.Helper()
		res, err := root.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(res.Stdout)
	}
	ask := func(id string) remote.JobAnswer {
		t.Helper()
		a, err := cl.AskJob(t.Context(), id, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const jobs = "/home/freya/.local/state/jarvis/jobs/"
	for i, c := range []struct {
		name, start, kill string // kill takes the leader away, and what it has to take away that we see
		want              remote.JobState
	}{
		{"root's, by sudo", "sudo sleep SECS", "kill -9 $(cat $d/pid); pkill -9 -u freya -f '^sh .*cmd$'", remote.JobLives},
		{"in a session of its own", "setsid sleep SECS & wait", "kill -9 -$(cat $d/pid)", remote.JobLives},
		{"in a session of its own, with an environment of its own", "env -i setsid sleep SECS & wait", "kill -9 -$(cat $d/pid)", remote.JobLives},
		{"in a session of its own, with the lock closed", "setsid sleep SECS 3>&- & wait", "kill -9 -$(cat $d/pid)", remote.JobLives},
		{"root's, in a session of its own", "sudo setsid sleep SECS; sleep 60", "kill -9 -$(cat $d/pid); pkill -9 -x sudo", remote.JobUnseen},
		{"nothing is left", "sleep SECS", "kill -9 -$(cat $d/pid)", remote.JobLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, secs := fmt.Sprint("else-", i), fmt.Sprint(7000+i)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := cl.Job(ctx, remote.Job{ID: id, Command: strings.ReplaceAll(c.start, "SECS", secs)})
				done <- err
			}()
			for n := 0; sh("pgrep -fx 'sleep "+secs+"'") == ""; n++ {
				if time.Sleep(20 * time.Millisecond); n > 300 {
					t.Fatal("it does not begin")
				}
			}
			cancel() // the connection, or Jarvis, is gone
			<-done
			sh("d=" + jobs + id + "; " + c.kill)
			for range 3 {
				if a := ask(id); a.State != c.want || c.want == remote.JobUnseen && !strings.Contains(a.Unseen, "(sleep)") {
					t.Fatalf("AskJob = %+v, want %v; there runs\n%s", a, c.want, sh("ps -eo pid,ppid,pgid,sid,user,args"))
				}
			}
			// A number is a beginning of another: its mark is not.
			if a := ask("els"); a.State != remote.JobNone {
				t.Errorf("%+v", a)
			}
			sh("pkill -9 -fx 'sleep " + secs + "'; sleep 0.1")
			if a := ask(id); a.State != remote.JobLost {
				t.Fatalf("with all gone, AskJob = %+v; there runs\n%s", a, sh("ps -eo pid,ppid,pgid,sid,user,args"))
			}
		})
	}
	t.Run("the end of a job finds all of it, and names what it may not end", func(t *testing.T) {
		end := func(id, command string, sudo *remote.Sudo) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := cl.Job(ctx, remote.Job{ID: id, Command: command, Sudo: sudo, Kill: func(error) bool { return true }})
			return err
		}
		if err := end("end-1", "setsid sleep 7101 & env -i setsid sleep 7102 3>&- & setsid env -i sleep 7103 & sudo sleep 7104", nil); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, remote.ErrNotEnded) || !strings.Contains(err.Error(), " (sleep) ") {
			t.Errorf("%v", err)
		}
		if got := sh("pgrep -fa '^sleep 710[14]'"); !strings.HasSuffix(got, "sleep 7104") || strings.Contains(got, "7101") {
			t.Errorf("there runs %s", got)
		}
		if a := ask("end-1"); a.State != remote.JobLives {
			t.Errorf("%+v", a)
		}
		sh("pkill -9 sleep")
		if err := end("end-2", "setsid sleep 7201 & sleep 7202", &remote.Sudo{}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, remote.ErrNotEnded) {
			t.Errorf("%v", err)
		}
		if got := sh("pgrep -fa '^sleep 720'"); got != "" {
			t.Errorf("there runs %s", got)
		}
	})
}
