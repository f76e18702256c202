package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// onTerminal runs a program on a terminal of its own (script(1) of util-linux), and types each answer when it has asked
// for it: talk is a text that it prints, what is typed then, the next text, and so on.
func onTerminal(t *testing.T, line string, talk ...string) string {
	t.Helper()
	cmd := exec.Command("script", "-qec", line, "/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	var mu sync.Mutex
	var out bytes.Buffer
	seen := 0 // what was printed before the last answer
	cmd.Stdout = writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		out.Write(b)
		if len(talk) > 1 && talk[0] != "" && strings.Contains(out.String()[seen:], talk[0]) {
			answer := talk[1]
			talk, seen = talk[2:], out.Len()
			// The terminal echoes until the program has turned that off, just after it asked.
			time.AfterFunc(300*time.Millisecond, func() { _, _ = io.WriteString(in, answer+"\n") })
		}
		return len(b), nil
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	_ = cmd.Wait()
	mu.Lock()
	defer mu.Unlock()
	return out.String()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestManyHostsOnATerminal has what asks and what moves: a passphrase, a password, progress.
func TestManyHostsOnATerminal(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 3, 94)
	id := filepath.Join(r.home, ".ssh", "id")
	locked := filepath.Join(r.home, "locked")
	sh := func(script string) string {
		t.Helper()
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	sh("cp " + id + " " + locked + " && chmod 600 " + locked + " && ssh-keygen -q -p -f " + locked + " -P '' -N 'open sesame'")
	for i := 1; i <= 3; i++ {
		r.inside(t, i, "useradd -m -s /bin/sh ann; echo ann:tiger | chpasswd")
	}

	t.Run("a key with a passphrase", func(t *testing.T) {
		out := onTerminal(t, bin+" exec -o web[1-3] -k "+locked+" hostname", "passphrase of", "open sesame")
		if !strings.Contains(out, "web2: web2") || strings.Contains(out, "sesame") || strings.Count(out, "passphrase of") != 1 {
			t.Error(out)
		}
		if out := onTerminal(t, bin+" exec -o web1 -k "+locked+" hostname", "passphrase of", "wrong"); !strings.Contains(out, "passphrase") || strings.Contains(out, "web1: web1") {
			t.Error(out)
		}
	})
	t.Run("a password, asked once for all", func(t *testing.T) {
		out := onTerminal(t, bin+" exec -p -o ann@web[1-3] whoami", "password:", "tiger")
		if strings.Count(out, ": ann") != 3 || strings.Contains(out, "tiger") || strings.Count(out, "password:") != 1 {
			t.Error(out)
		}
		if out := onTerminal(t, bin+" exec -p -o ann@web1 whoami", "password:", "lion"); !strings.Contains(out, "nothing was done: ann@web1: ") {
			t.Error(out)
		}
	})
	t.Run("what only the agent has", func(t *testing.T) {
		sock := filepath.Join(t.TempDir(), "agent")
		agent := exec.Command("ssh-agent", "-D", "-a", sock)
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = agent.Process.Kill(); _ = agent.Wait() }()
		for i := 0; i < 100; i++ {
			if _, err := os.Stat(sock); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Setenv("SSH_AUTH_SOCK", sock)
		sh("ssh-add -q " + id)
		if err := os.Rename(id, id+".away"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Rename(id+".away", id) }()
		if code, out, errs := jarvis(t, "", "exec", "-o", "web[1-3]", "hostname"); code != 0 || !strings.Contains(out, "web3: web3") {
			t.Errorf("exit %d %s %s", code, out, errs)
		}
	})
	t.Run("how far it is", func(t *testing.T) {
		out := onTerminal(t, bin+" exec -o web[1-3] 'sleep 0.$(hostname | tr -d a-z)'", "", "")
		if !regexp.MustCompile(`running: [1-3]/3, [0-9.]+`).MatchString(out) || !strings.HasSuffix(strings.TrimRight(out, "\r\n"), "\x1b[K") {
			t.Errorf("%q", out)
		}
		sh("head -c 20000000 /dev/urandom > " + r.home + "/big")
		out = onTerminal(t, "cd "+r.home+" && "+bin+" upload -e -r /srv -o web[1-3] big", "", "")
		if !regexp.MustCompile(`sending [0-9.]+ MiB of 19 MiB`).MatchString(out) || !strings.Contains(out, "\x1b[K") {
			t.Errorf("%q", out)
		}
		if code, _, errs := jarvis(t, "", "exec", "-o", "web[1-3]", "sleep 0.2"); code != 0 || errs != "" {
			t.Errorf("not on a terminal it says %q", errs)
		}
	})
	t.Run("a key seen for the first time", func(t *testing.T) {
		known := filepath.Join(r.home, ".ssh", "known_hosts")
		before, err := os.ReadFile(known)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.WriteFile(known, before, 0o600) }()
		lines := strings.SplitAfter(string(before), "\n")
		if err := os.WriteFile(known, []byte(lines[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := jarvis(t, "", "exec", "-o", "web[1-3]", "true"); code == 0 || !strings.Contains(errs, "web[2-3]: no host keys are known for them") {
			t.Errorf("exit %d %s", code, errs)
		}
		if code, out, errs := jarvis(t, "", "exec", "--host-key", "accept-new", "-o", "web[1-3]", "hostname"); code != 0 || !strings.Contains(out, "web3: web3") {
			t.Errorf("exit %d %s", code, errs)
		}
		if after, _ := os.ReadFile(known); sorted(string(after)) != sorted(string(before)) {
			t.Errorf("known_hosts is\n%s", after)
		}
		if code, _, errs := jarvis(t, "", "exec", "-o", "web[1-3]", "true"); code != 0 {
			t.Error(errs)
		}
		// Another key than the known one is refused all the same.
		if err := os.WriteFile(known, []byte(strings.Replace(lines[0], "127.94.0.1", "127.94.0.2", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := jarvis(t, "", "exec", "--host-key", "accept-new", "-o", "web2", "true"); code == 0 || !strings.Contains(errs, "it is another machine") {
			t.Errorf("exit %d %s", code, errs)
		}
	})
}
