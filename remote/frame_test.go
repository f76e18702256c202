package remote_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

// A login shell that greets on both streams, and runs with its commands shown: nothing of that is a command's that
// stands apart.
func TestApartFromTheLoginShell(t *testing.T) {
	h, target := openssh(t, "127.82.0.17:22")
	withUsers(t, h, target.Signers[0])
	inside(t, h, `for u in freya odin nobodys; do printf '%s\n' 'echo Welcome; printf "freya# "; echo warn >&2; set -xv' > /home/$u/.bashrc; done`)
	raven := &remote.Sudo{Password: func() (string, error) { return "raven", nil }}
	for _, c := range []struct {
		name, user  string
		cmd         remote.Command
		out, errors string
		exit        int
	}{
		{"plainly", "freya", remote.Command{Args: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}}, "out\n", "err\n", 3},
		{"a line", "freya", remote.Command{Line: "echo out; echo err >&2"}, "out\n", "err\n", 0},
		{"in a directory, with input", "freya", remote.Command{Args: []string{"sh", "-c", "pwd; cat"}, Dir: "/usr", Stdin: strings.NewReader("in")}, "/usr\nin", "", 0},
		{"by sudo", "freya", remote.Command{Args: []string{"id", "-un"}, Sudo: &remote.Sudo{}}, "root\n", "", 0},
		{"by sudo with a password", "odin", remote.Command{Args: []string{"sh", "-c", "id -un; cat; echo err >&2"}, Sudo: raven, Stdin: strings.NewReader("in")}, "root\nin", "err\n", 0},
		{"nothing said", "freya", remote.Command{Args: []string{"true"}}, "", "", 0},
	} {
		target.User = c.user
		c.cmd.Apart = true
		if res, err := connect(t, target).Run(t.Context(), c.cmd); err != nil || res.Stdout != c.out || res.Stderr != c.errors || res.Exit != c.exit {
			t.Errorf("%s: %+v, %v", c.name, res, err)
		}
		var out strings.Builder
		c.cmd.Output = &out
		if c.cmd.Stdin != nil {
			c.cmd.Stdin = strings.NewReader("in")
		}
		if _, err := connect(t, target).Run(t.Context(), c.cmd); err != nil || out.String() != c.out {
			t.Errorf("%s, as bytes: %q, %v", c.name, out.String(), err)
		}
	}
	target.User = "nobodys"
	if _, err := connect(t, target).Run(t.Context(), remote.Command{Args: []string{"true"}, Sudo: &remote.Sudo{}, Apart: true}); !errors.Is(err, remote.ErrSudo) || !strings.Contains(err.Error(), "sudo: a password is required") {
		t.Errorf("Run = %v", err)
	}
	inside(t, h, "usermod -s /usr/sbin/nologin nobodys")
	if _, err := connect(t, target).Run(t.Context(), remote.Command{Args: []string{"true"}, Apart: true}); err == nil || !strings.Contains(err.Error(), "the login shell does not begin the command: ") {
		t.Errorf("Run = %v", err)
	}
}
