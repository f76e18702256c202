package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab/real"
)

// newKey gives a key as ssh keeps it: its public line, and its private file.
func newKey(t *testing.T) (public, private string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := gossh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(p))), string(pem.EncodeToMemory(block))
}

// The program itself runs against two OpenSSH servers, with a ~/.ssh of its own.
func TestTheProgramRuns(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".ssh")
	hostPub, hostKey := newKey(t)
	userPub, userKey := newKey(t)
	known, conf := "", ""
	for i, name := range []string{"web1", "web2"} {
		addr := fmt.Sprintf("127.83.7.%d", i+1)
		h, err := real.StartHost(t.Context(), addr+":22", "#cloud-config\nhostname: "+name+"\nssh_keys:\n  ed25519_private: "+strconv.Quote(hostKey)+"\n  ed25519_public: "+hostPub+"\nssh_authorized_keys:\n  - "+userPub+"\nchpasswd:\n  users:\n    - {name: root, password: \"*\", type: hash}\n")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Stop)
		known += addr + " " + hostPub + "\n"
		conf += "Host " + name + "\n  HostName " + addr + "\n  User root\n"
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"known_hosts": known, "config": conf, "id_ed25519": userKey, "id_ed25519.pub": userPub + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(home, "everywhere")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program := func(line string) (*exec.Cmd, *strings.Builder) {
		c := exec.CommandContext(t.Context(), bin, "web1,web2", line)
		var out strings.Builder
		c.Env, c.Stdout, c.Stderr = append(os.Environ(), "HOME="+home, "SSH_AUTH_SOCK="), &out, &out
		return c, &out
	}
	c, out := program("echo hello")
	if err := c.Run(); err != nil || !strings.Contains(out.String(), "web1: hello\n") || !strings.Contains(out.String(), "web2: hello\n") || !strings.HasSuffix(out.String(), "2 of 2 hosts did it\n") {
		t.Errorf("%v: %s", err, out)
	}
	c, out = program("exit 3")
	if _ = c.Run(); c.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "web1: exit 3") || !strings.Contains(out.String(), "0 of 2 hosts did it") {
		t.Errorf("%v: %s", c.ProcessState, out)
	}
	c, _ = program("echo begun; sleep 600")
	c.Stdout = nil
	lines, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for in := bufio.NewScanner(lines); in.Scan(); {
		if last = in.Text(); last == "web1: begun" {
			if err := c.Process.Signal(syscall.SIGINT); err != nil { // Ctrl-C
				t.Fatal(err)
			}
		}
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != 1 || last != "0 of 2 hosts did it" {
		t.Errorf("after Ctrl-C: %v, %q", c.ProcessState, last)
	}
	c, out = program("true") // the lock is free again
	if err := c.Run(); err != nil || !strings.HasSuffix(out.String(), "2 of 2 hosts did it\n") {
		t.Errorf("after Ctrl-C: %v: %s", err, out)
	}
}

// The documentation shows this very file.
func TestTheDocsShowTheProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/design/remote.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```go\n"+string(program)+"```\n") {
		t.Error("docs/design/remote.md does not show examples/everywhere/main.go as it is: copy it there")
	}
}
