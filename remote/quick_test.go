package remote_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

func TestQuickOnOpenSSH(t *testing.T) {
	h, target := openssh(t, "127.82.0.6:22")
	c := connect(t, target)
	for _, x := range []struct {
		name, line string
		env        map[string]string
		out, err   string
		exit       int
		signal     string
	}{
		{"a line", "echo hello", nil, "hello\n", "", 0, ""},
		{"no newline at the end", "printf hello", nil, "hello", "", 0, ""},
		{"nothing at all", "true", nil, "", "", 0, ""},
		{"newlines at the end", `printf 'a\n\n\n'`, nil, "a\n\n\n", "", 0, ""},
		{"streams apart, and an exit code", "echo out; echo err >&2; exit 3", nil, "out\n", "err\n", 3, ""},
		{"a plugin", "/usr/lib/nagios/plugins/check_dummy 2 full", nil, "CRITICAL: full\n", "", 2, ""},
		{"a directory does not stay", "cd /tmp; pwd", nil, "/tmp\n", "", 0, ""},
		{"as the next one sees", "pwd", nil, "/root\n", "", 0, ""},
		{"a variable does not stay", "X=1; echo $X$Y", map[string]string{"Y": "it's \"$HOME\" `id` \\"}, "1it's \"$HOME\" `id` \\\n", "", 0, ""},
		{"as the next one sees, too", "echo [$X$Y]", nil, "[]\n", "", 0, ""},
		{"nothing on stdin", "cat; read x || echo none", nil, "none\n", "", 0, ""},
		{"a signal", "kill -SEGV $(sh -c 'echo $PPID')", nil, "", "*", 139, "SEGV"},
		{"a line that looks for itself", "pgrep -f what.is.nowhere", nil, "", "", 1, ""},
		{"and finds nothing of ours in its environment", "env | grep -c JARVIS_LINE", nil, "0\n", "", 1, ""},
		{"a line of another language", "echo 'unclosed", nil, "", "*", 2, ""},
		{"a line that ends in a backslash", `echo a \`, nil, "a \\\n", "", 0, ""},
		{"a comment", "echo a # b", nil, "a\n", "", 0, ""},
		{"two lines", "echo a\necho b", nil, "a\nb\n", "", 0, ""},
		{"a program that is not there", "/usr/bin/nothing here", nil, "", "*", 127, ""},
		{"what ends the shell ends the line alone", "exec sleep 0", nil, "", "", 0, ""},
		{"much", "head -c 3000000 /dev/zero | tr '\\0' x", nil, strings.Repeat("x", remote.MaxOutputBytes), "", 0, ""},
		{"an imposter of the mark", `echo "$JARVIS_RUN"; echo "$JARVIS_RUN x"`, nil, "*", "", 0, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			res, err := c.Quick(ctx, x.line, x.env)
			if err != nil {
				t.Fatal(err)
			}
			if x.out != "*" && res.Stdout != x.out || x.err != "*" && res.Stderr != x.err || res.Exit != x.exit || res.Signal != x.signal {
				t.Errorf("exit %d, signal %q, stdout %.100q (%d), stderr %.100q", res.Exit, res.Signal, res.Stdout, len(res.Stdout), res.Stderr)
			}
		})
	}
	shells := func() string {
		t.Helper()
		res, err := c.Run(t.Context(), remote.Command{Line: "pgrep -c -f 'jarvis_lin[e]' || true"})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(res.Stdout)
	}
	t.Run("one shell did all that", func(t *testing.T) {
		if n := shells(); n != "1" {
			t.Errorf("there are %s", n)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				res, err := c.Quick(t.Context(), fmt.Sprintf("sleep 0.2; echo %d; echo %d >&2", i, -i), nil)
				if err != nil || res.Stdout != fmt.Sprintln(i) || res.Stderr != fmt.Sprintln(-i) {
					t.Errorf("%d: %q %q %v", i, res.Stdout, res.Stderr, err)
				}
			}()
		}
		wg.Wait()
	})
	t.Run("what nobody uses any more is closed", func(t *testing.T) {
		if n := shells(); n == "1" {
			t.Fatal("there is one shell after many at once")
		}
		remote.QuickIdle(c, 300*time.Millisecond)
		defer remote.QuickIdle(c, time.Hour)
		for end := time.Now().Add(real.Patience(20 * time.Second)); shells() != "1"; {
			if time.Now().After(end) {
				t.Fatalf("there are still %s", shells())
			}
			time.Sleep(100 * time.Millisecond)
			if _, err := c.Quick(t.Context(), "true", nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a session of its own has room beside them", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 10 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if _, err := c.Run(t.Context(), remote.Command{Line: "sleep 0.2"}); err != nil {
					t.Error(err)
				}
			}()
		}
		wg.Wait()
	})
	t.Run("what is too long is ended, with all it started", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("too long"))
		defer cancel()
		_, err := c.Quick(ctx, "sleep 1234 & sleep 1234", nil)
		if err == nil || err.Error() != "too long" {
			t.Errorf("%v", err)
		}
		for range 100 {
			res, err := c.Quick(t.Context(), "pgrep -f 'sleep 123[4]'", nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Exit == 1 {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error("it still runs")
	})
	t.Run("what is ended has said something", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("too long"))
		defer cancel()
		res, err := c.Quick(ctx, "echo half; echo a half >&2; sleep 100", nil)
		if err == nil || res.Exit != -1 || res.Stdout != "half\n" || !strings.HasPrefix(res.Stderr, "a half\n") {
			t.Errorf("%+v, %v", res, err)
		}
	})
	t.Run("what a line leaves running is ended with it", func(t *testing.T) {
		if _, err := c.Quick(t.Context(), "(sleep 0.5; echo ghost; echo ghost >&2) & sleep 4321 &", nil); err != nil {
			t.Fatal(err)
		}
		res, err := c.Quick(t.Context(), "sleep 2; echo fine; pgrep -f 'sleep 432[1]'", nil)
		if err != nil || res.Stdout != "fine\n" || res.Stderr != "" {
			t.Errorf("%q %q %v", res.Stdout, res.Stderr, err)
		}
	})
	t.Run("what a line leaves behind spoils no other", func(t *testing.T) {
		if _, err := c.Quick(t.Context(), "setsid sh -c 'sleep 0.3; echo ghost; echo ghost >&2' &", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the ghost speaks while nothing runs; nothing else can tell
		for range 20 {
			res, err := c.Quick(t.Context(), "echo fine", nil)
			if err != nil || res.Stdout != "fine\n" || res.Stderr != "" {
				t.Errorf("%q %q %v", res.Stdout, res.Stderr, err)
			}
		}
	})
	t.Run("a shell that is killed is said, and the next works", func(t *testing.T) {
		_, err := c.Quick(t.Context(), "kill -9 $PPID; sleep 1", nil)
		if !errors.Is(err, remote.ErrLost) {
			t.Errorf("%v", err)
		}
		if res, err := c.Quick(t.Context(), "echo fine", nil); err != nil || res.Stdout != "fine\n" {
			t.Errorf("%q %v", res.Stdout, err)
		}
	})
	t.Run("a login shell that has much to say", func(t *testing.T) {
		inside(t, h, "useradd -m -s /bin/bash -p '*' talky; mkdir -p /home/talky/.ssh; cp /root/.ssh/authorized_keys /home/talky/.ssh; printf 'echo welcome\\necho be good >&2\\n' > /home/talky/.bashrc; chown -R talky: /home/talky")
		target := target
		target.User = "talky"
		c := connect(t, target)
		same := map[string]bool{}
		for range 5 {
			res, err := c.Quick(t.Context(), "echo fine; echo $PPID", nil)
			if err != nil || !strings.HasPrefix(res.Stdout, "fine\n") || res.Stderr != "" {
				t.Errorf("%+v %v", res, err)
			}
			same[res.Stdout] = true
		}
		if len(same) != 1 {
			t.Errorf("%d shells did that", len(same))
		}
	})
	t.Run("a login shell that takes very long runs a line once", func(t *testing.T) {
		inside(t, h, "useradd -m -s /bin/bash -p '*' lazy; mkdir -p /home/lazy/.ssh; cp /root/.ssh/authorized_keys /home/lazy/.ssh; echo 'sleep 6' > /home/lazy/.bashrc; chown -R lazy: /home/lazy")
		target := target
		target.User = "lazy"
		c := connect(t, target)
		res, err := c.Quick(t.Context(), "echo x >> ran; cat ran", nil)
		if err != nil || res.Stdout != "x\n" {
			t.Fatalf("%+v %v", res, err)
		}
		res, err = c.Quick(t.Context(), "cat ran", nil) // by now the late shell has read all it was given
		if err != nil || res.Stdout != "x\n" {
			t.Errorf("%+v %v", res, err)
		}
	})
	t.Run("a host with a shell of its own kind", func(t *testing.T) {
		inside(t, h, "printf '#!/bin/sh\\nexit 42\\n' > /usr/local/bin/odd; chmod 755 /usr/local/bin/odd; useradd -m -p '*' -s /usr/local/bin/odd odd; mkdir -p /home/odd/.ssh; cp /root/.ssh/authorized_keys /home/odd/.ssh; chown -R odd: /home/odd/.ssh")
		target := target
		target.User = "odd"
		res, err := connect(t, target).Quick(t.Context(), "echo a", nil)
		if err != nil || res.Exit != 42 {
			t.Errorf("%+v %v", res, err)
		}
	})
}

// The played hosts of the demo run checks as real ones do: what a shell exports reaches the shells that it starts.
func TestQuickOnAPlayedHost(t *testing.T) {
	_, target := sandbox(t)
	p := remote.NewPool(remote.PoolConfig{})
	defer p.Close()
	for line, want := range map[string]string{
		`echo OK from $(hostname), "$A"`:                            "0 OK from loki, b'c d\n",
		`echo '/ is 97% full, <b>really</b> | /=97%;80;90'; exit 2`: "2 / is 97% full, <b>really</b> | /=97%;80;90\n",
		`echo "a \"b\"" '\'`:                                        "0 a \"b\" \\\n",
	} {
		res, err := p.Quick(t.Context(), target, line, map[string]string{"A": "b'c d"})
		if got := fmt.Sprint(res.Exit, " ", res.Stdout); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
}
