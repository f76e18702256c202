package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestUnknownFlagsReachNoHost: a slip of the pen in a flag was a command on all hosts.
func TestUnknownFlagsReachNoHost(t *testing.T) {
	r := newRow(t, 2, 107)
	t.Chdir(r.home)
	if err := os.WriteFile("f", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range r.hosts {
		if err := os.WriteFile(filepath.Join(r.hosts[i].Root, "usr/local/bin/sudoo"), []byte("#!/bin/sh\n: > /root/ran\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		stdin, line string
		code        int
		out, errs   string // parts
	}{
		{"", "exec -o web1 --sudoo id", 2, "", "unknown flag --sudoo"},
		{"", "exec -o web1 -Z sudoo", 2, "", "unknown flag -Z"},
		{"", "exec @web --sudoo id", 2, "", "@web stands where the command begins; hosts are named with -o"},
		{"web1\n", "exec -s @web --sudoo id", 2, "", "@web stands where the command begins; hosts are named with -o"},
		{"", "exec --sudoo -o web1 sudoo", 2, "", "unknown flag --sudoo"},
		{"", "upload -o web1 -e f --sudoo", 2, "", "unknown flag --sudoo"},
		{"", "sync -o web1 -m -n sudoo -e f --sudoo", 2, "", "unknown flag --sudoo"},
		{"", "fetch web1:/etc/motd --sudoo", 2, "", "unknown flag --sudoo"},
		{"", "lock -o web1 --sudoo", 2, "", "unknown flag --sudoo"},
		{"", "run --sudoo loki id", 2, "", "unknown flag --sudoo"},
		// After -- nothing is a flag, and what follows the command's first word is the command's.
		{"", "exec -o web1 -- --sudoo", 1, "", "exit 127"},
		{"", "exec -o web1 echo --sudoo -x", 0, "web1: --sudoo -x\n", ""},
		{"", "exec -o web1 env -C /srv pwd", 0, "web1: /srv\n", ""},
		{"", "exec -o web1 -yC env -C /srv pwd", 0, "web1: /srv\n", ""},
		{"", "exec -a 5s -yd 2 -oweb1 -C pwd", 0, "web1: /root\n", ""},
	} {
		code, out, errs := jarvis(t, c.stdin, strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.code == 2 && strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d\n%s%s", c.line, code, out, errs)
		}
		if got := r.read(1, "root/ran"); !strings.HasPrefix(got, "! ") {
			t.Errorf("%s: it ran", c.line)
			r.inside(t, 1, "rm /root/ran")
		}
	}

	t.Run("a bad line about another host is named once", func(t *testing.T) {
		file := filepath.Join(r.home, ".ssh", "known_hosts")
		before := must[[]byte](t)(os.ReadFile(file))
		defer func() { _ = os.WriteFile(file, before, 0o600) }()
		if err := os.WriteFile(file, append([]byte("elsewhere ssh-ed25519 bad!\n"), before...), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := jarvis(t, "", "exec", "-o", "web[1-2]", "hostname")
		if code != 0 || sorted(out) != "web1: web1\nweb2: web2" || errs != "jarvis: "+file+", line 1 is skipped: the key is not base64\n" {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
	})
	t.Run("accept-new, after a line without its end", func(t *testing.T) {
		file := filepath.Join(r.home, ".ssh", "known_hosts")
		before := string(must[[]byte](t)(os.ReadFile(file)))
		first, _, _ := strings.Cut(before, "\n")
		if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"accept-new", "strict"} {
			if code, out, errs := jarvis(t, "", "exec", "--host-key", how, "-o", "web[1-2]", "hostname"); code != 0 || sorted(out) != "web1: web1\nweb2: web2" {
				t.Errorf("%s: exit %d: %s%s", how, code, out, errs)
			}
		}
		if now := string(must[[]byte](t)(os.ReadFile(file))); now != before {
			t.Errorf("known_hosts is\n%s", now)
		}
	})
}

// TestAHangUpEndsWhatRuns: a terminal that goes away ended the lock, and left what ran under it.
func TestAHangUpEndsWhatRuns(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 1, 108)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		r.inside(t, 1, "rm -f /root/begun")
		cmd := exec.Command(bin, "exec", "-o", "web1", ": > /root/begun; sleep 4455")
		said := &real.Buffer{}
		cmd.Stderr = said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 400 {
			if r.read(1, "root/begun") == "" {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		_ = cmd.Process.Signal(sig)
		if sig == syscall.SIGHUP { // as a shell and the kernel do
			time.Sleep(50 * time.Millisecond)
			_ = cmd.Process.Signal(sig)
		}
		stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stuck.Stop()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || said.String() != "jarvis: interrupted; what ran was ended\n" {
			t.Errorf("%s: exit %d, %s", sig, code, said)
		}
		if code, out, errs := jarvis(t, "", "exec", "-o", "web1", "pgrep -fx 'sleep 4455'"); code != 1 || out != "" {
			t.Errorf("%s: it goes on: %s%s", sig, out, errs)
			r.inside(t, 1, "rm -f /root/begun")
			_, _, _ = jarvis(t, "", "exec", "-y", "-o", "web1", "pkill -fx 'sleep 4455'")
		}
	}

	// Nobody reads what comes, or would come: as after `jarvis exec … | head -n 1`.
	for _, line := range []string{"echo one; sleep 1; echo two; sleep 4455", "echo one; sleep 4455"} {
		out, err := exec.Command("sh", "-c", "timeout 60 "+bin+` exec -o web1 '`+line+`' | head -n 1`).CombinedOutput()
		if err != nil || string(out) != "web1: one\njarvis: everything was stopped: nobody reads the output any more\n" {
			t.Errorf("%s: %v %s", line, err, out)
		}
	}
	if code, out, errs := jarvis(t, "", "exec", "-o", "web1", "pgrep -fx 'sleep 4455'"); code != 1 || out != "" {
		t.Errorf("it goes on: %s%s", out, errs)
		_, _, _ = jarvis(t, "", "exec", "-y", "-o", "web1", "pkill -fx 'sleep 4455'")
	}
}
